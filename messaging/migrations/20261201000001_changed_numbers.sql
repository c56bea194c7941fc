-- Changed numbers that show later that two leads, which had become one, are two persons: in a circle of changes, or by a
-- report that comes late. So joining two leads and their enrollments can be undone.

-- migrate:up

-- Takes locks for a migration, such as 'leads in share row exclusive mode', while workers of the release before go on. Whoever
-- wants a table waits behind us, so we wait for a short time, let go of all, and try again. An autovacuum lets go of its table
-- when somebody has waited for it for deadlock_timeout (1 s): so from the third time on we wait for longer. In a deadlock it is
-- we who let go.
create function lock_tables(variadic p_locks text[]) returns void
language plpgsql as $$
declare
    before   text := current_setting('lock_timeout');
    deadlock integer := extract(epoch from current_setting('deadlock_timeout')::interval) * 1000;
    tries    integer := 0;
    wanted   text;
begin
    loop
        perform set_config('lock_timeout', ceil(deadlock * case tries when 0 then 0.3 when 1 then 0.6 else 1.5 end) || 'ms', true);
        begin
            foreach wanted in array p_locks loop
                execute 'lock table ' || wanted;
            end loop;
            exit;
        exception when lock_not_available or deadlock_detected then
            perform pg_sleep(least(0.1 * 2 ^ least(tries, 5), 2));  -- to 2 s
        end;
        tries := tries + 1;
    end loop;
    perform set_config('lock_timeout', before, true);
end $$;

-- One table after the other, each when it is needed, would be a deadlock with whoever has the second one and wants the first.
select lock_tables('broadcast_messages in access exclusive mode', 'sequence_contacts in share row exclusive mode');

alter table broadcast_messages add column went_to text;  -- the phone that it went to, where its recipient has another one since

-- Leads that have become one with another lead, as they were.
create table joined_leads (
    phone       text primary key,                            -- that it had
    lead        jsonb       not null,
    other       jsonb       not null,                        -- the lead that it became one with, before
    into_lead   bigint      not null,                        -- the lead that it is part of now
    contacts    bigint[]    not null,                        -- its enrollments
    joined_at   timestamptz not null default clock_timestamp()
);
create index joined_leads_into on joined_leads (into_lead);

-- Enrollments that rest while another enrollment of the same person goes on in the same sequence. They are paused, and
-- end with that one.
create table joined_contacts (
    contact_id    bigint  primary key,
    into_contact  bigint  not null
);
create index joined_contacts_into on joined_contacts (into_contact);

-- Changes that were part of a circle: their owners have exchanged their numbers. Another report of the same change says
-- nothing new.
create table exchanged_numbers (
    old_phone   text        not null,
    new_phone   text        not null,
    changed_at  timestamptz not null,
    primary key (old_phone, new_phone)
);

create function end_joined_contacts() returns trigger
language plpgsql as $$
begin
    update sequence_contacts c
       set status = case when new.status = 'opted_out' then 'opted_out' else 'stopped' end,
           reason = case when new.status = 'completed' then 'its owner has the phone ' || new.phone || ' now, which has been through the sequence'
                         else new.reason end,
           next_step_id = null, next_due_at = null, ended_at = clock_timestamp(), plan_changed_at = clock_timestamp()
      from joined_contacts j
     where j.into_contact = new.id and c.id = j.contact_id and c.status = 'active';
    delete from joined_contacts where into_contact = new.id;
    return null;
end $$;

create trigger end_joined_contacts after update of status on sequence_contacts
    for each row when (old.status = 'active' and new.status <> 'active') execute function end_joined_contacts();

-- What a resting enrollment says of itself.
create function joined_reason(p_phone text) returns text
language sql immutable as $$ select 'its owner has the phone ' || p_phone || ' now, which is in the sequence too' $$;

-- Gives an enrollment this phone. The enrollment of the sequence that has it, if any, gets the other's phone.
create function place_contact(p_contact bigint, p_phone text) returns void
language plpgsql as $$
declare
    c     sequence_contacts;
    there bigint;
begin
    select * into strict c from sequence_contacts where id = p_contact;
    if c.phone = p_phone then
        return;
    end if;
    select id into there from sequence_contacts where sequence_id = c.sequence_id and phone = p_phone;
    if there is not null then
        update sequence_contacts set phone = 'of ' || id, key_phone = coalesce(key_phone, phone) where id = there;
    end if;
    update sequence_contacts set phone = p_phone, key_phone = coalesce(key_phone, c.phone) where id = p_contact;
    if there is not null then
        update sequence_contacts set phone = c.phone where id = there;
    end if;
end $$;

-- Lets an enrollment rest while the other one goes on. What waits for it is made again when it goes on.
create function rest_contact(p_contact bigint, p_other bigint) returns void
language plpgsql as $$
begin
    delete from broadcast_messages where sequence_contact_id = p_contact and is_waiting(status) and resends = 0;
    update joined_contacts set into_contact = p_other where into_contact = p_contact;
    insert into joined_contacts (contact_id, into_contact) values (p_contact, p_other);
    update sequence_contacts c
       set paused_at = coalesce(paused_at, clock_timestamp()),
           paused_reason = case when paused_at is null then joined_reason((select phone from sequence_contacts where id = p_other))
                                else paused_reason end,
           plan_changed_at = clock_timestamp()
     where id = p_contact;
end $$;

-- As move_phone, which this replaces. Of two enrollments in one sequence, that of p_new goes on if it is active, and the
-- other one rests; but an enrollment that has ended only because its owner has another phone stands in nobody's way.
--   pairs   those that do not go on [{sequence, old, new}]
create function move_phone_v2(p_old text, p_new text) returns jsonb
language plpgsql as $$
declare
    old_lead  bigint;
    new_lead  bigint;
    mine      sequence_contacts;
    other     sequence_contacts;
    pairs     jsonb   := '[]';
    contacts  integer := 0;
    messages  integer;
begin
    -- Keeps audiences from being frozen during the move.
    perform pg_advisory_xact_lock(audience_lock());
    perform from leads where phone in (p_old, p_new) order by phone for update;
    perform from broadcast_messages where recipient_phone in (p_old, p_new) order by id for update;
    select id into old_lead from leads where phone = p_old;
    select id into new_lead from leads where phone = p_new;

    -- A campaign's message that both phones were to get: what has gone out or may have counts, and else the one to the
    -- new phone.
    update broadcast_messages m
       set status = 'cancelled', slot_at = null, updated_at = clock_timestamp(),
           reason = case when m.recipient_phone = p_old then 'its recipient has the phone ' || p_new || ' now, which has a message of its own'
                         else 'it went to ' || p_old || ', which its recipient had before' end
      from broadcast_messages o
     where m.campaign_id is not null and o.campaign_id = m.campaign_id and is_waiting(m.status)
       and ((m.recipient_phone = p_new and o.recipient_phone = p_old and not is_waiting(o.status)
             and (o.status in ('sent', 'unconfirmed', 'processing')))
            or (m.recipient_phone = p_old and o.recipient_phone = p_new));

    -- Enrollments. Another one is in the way only if its owner has the new phone, and it goes on or was ended. Beside one
    -- that is completed, this one goes on, and passes over what that one has had.
    for mine in select * from sequence_contacts where phone = p_old order by id loop
        select * into other from sequence_contacts where sequence_id = mine.sequence_id and phone = p_new;
        if not found then
            perform place_contact(mine.id, p_new);
            contacts := contacts + 1;
        elsif other.lead_id is distinct from new_lead or other.lead_id = mine.lead_id or other.status = 'completed'
              or other.reason like 'its owner has the phone %' or exists (select from joined_contacts where contact_id = other.id) then
            if mine.status = 'active' and not exists (select from joined_contacts where contact_id = mine.id) then
                perform place_contact(mine.id, p_new);
                contacts := contacts + 1;
            end if;
        else
            pairs := pairs || jsonb_build_object('sequence', (select name from sequences where id = mine.sequence_id), 'old', mine.id, 'new', other.id);
            if mine.status = 'active' and other.status = 'active' then
                if not exists (select from joined_contacts where contact_id = mine.id) then
                    perform rest_contact(mine.id, other.id);
                end if;
            elsif mine.status = 'active' then
                update broadcast_messages m
                   set status = 'cancelled', slot_at = null, updated_at = clock_timestamp(), reason = joined_reason(p_new)
                 where m.sequence_contact_id = mine.id and is_waiting(m.status);
                update sequence_contacts
                   set status = 'stopped', reason = joined_reason(p_new), next_step_id = null, next_due_at = null,
                       ended_at = clock_timestamp(), plan_changed_at = clock_timestamp()
                 where id = mine.id;
            end if;
        end if;
    end loop;

    if old_lead is not null and new_lead is not null then
        insert into joined_leads (phone, lead, other, into_lead, contacts)
        select p_old, to_jsonb(ol), to_jsonb(nl), new_lead,
               array(select c.id from sequence_contacts c
                      where c.lead_id = old_lead
                        and not exists (select from joined_leads j where j.into_lead = old_lead and c.id = any (j.contacts)))
          from leads ol, leads nl
         where ol.id = old_lead and nl.id = new_lead
            on conflict (phone) do update
           set lead = excluded.lead, other = excluded.other, into_lead = excluded.into_lead, contacts = excluded.contacts,
               joined_at = excluded.joined_at;
        update joined_leads set into_lead = new_lead where into_lead = old_lead;
        update leads n
           set name = coalesce(nullif(n.name, ''), o.name),
               niches = n.niches || array(select w from unnest(o.niches) w where w <> all (n.niches)),
               triggers = n.triggers || array(select w from unnest(o.triggers) w where w <> all (n.triggers)),
               target_status = case when 'customer' in (n.target_status, o.target_status) then 'customer' else n.target_status end,
               device_id = coalesce(n.device_id, o.device_id), time_zone = coalesce(n.time_zone, o.time_zone),
               attributes = merged_attributes(o.attributes, n.attributes), updated_at = clock_timestamp(),
               -- What was said last about consent, under either phone.
               (consent_at, consent_source, consent_note, consent_withdrawn_at) = (
                   select k.consent_at, k.consent_source, k.consent_note, k.consent_withdrawn_at
                     from leads k
                    where k.id in (old_lead, new_lead)
                    order by greatest(k.consent_at, k.consent_withdrawn_at) desc nulls last, k.id = new_lead desc
                    limit 1)
          from leads o
         where n.id = new_lead and o.id = old_lead;
        update sequence_contacts set lead_id = new_lead where lead_id = old_lead;
        update broadcast_messages set lead_id = new_lead where lead_id = old_lead;
        delete from leads where id = old_lead;
    elsif old_lead is not null then
        update leads set phone = p_new, updated_at = clock_timestamp() where id = old_lead;
    end if;

    -- The messages of what has the new phone now.
    update broadcast_messages m
       set recipient_phone = p_new, key_phone = case when m.campaign_id is not null then coalesce(m.key_phone, p_old) end,
           went_to = case when m.status in ('sent', 'unconfirmed', 'processing') then coalesce(m.went_to, p_old) end
     where m.recipient_phone = p_old
       and not exists (select from broadcast_messages n
                        where n.recipient_phone = p_new
                          and (n.campaign_id = m.campaign_id or n.sequence_stepid = m.sequence_stepid))
       and (m.sequence_contact_id is null
            or exists (select from sequence_contacts c where c.id = m.sequence_contact_id and c.phone = p_new));
    get diagnostics messages = row_count;

    update inbound_messages m
       set phone = p_new,
           to_review = case when m.to_review is distinct from 'unmatched' or coalesce(old_lead, new_lead) is null then m.to_review
                            when m.kind in ('number_changed', 'user_id_changed', 'preference') or m.meaning in ('stop', 'start') then null
                            when m.meaning = 'maybe_stop' then 'maybe_stop' else 'answer' end
     where m.phone = p_old;
    update identities set phone = p_new where phone = p_old;
    update wanted_enrollments w set phone = p_new
     where w.phone = p_old
       and not exists (select from wanted_enrollments n where n.sequence_id = w.sequence_id and n.phone = p_new);
    delete from wanted_enrollments where phone = p_old;
    return jsonb_build_object('lead', old_lead is not null, 'joined', old_lead is not null and new_lead is not null,
                              'contacts', contacts, 'messages', messages, 'pairs', pairs);
end $$;

-- The circle of changes that p_phone is in, if each number of it was a lead's own: these leads have exchanged their
-- numbers. Null: there is none.
create function exchange_of(p_phone text) returns text[]
language plpgsql stable as $$
declare
    circle text[] := array[p_phone];
    next   text   := p_phone;
begin
    loop
        select new_phone into next from phone_changes where old_phone = next;
        exit when not found or next = any (circle) or cardinality(circle) >= 50;
        circle := circle || next;
    end loop;
    if next is distinct from p_phone
       -- As many leads as numbers: those that have become part of others, and those that have one of the numbers now.
       or (select count(*) from joined_leads where phone = any (circle))
          + (select count(*) from leads where phone = any (circle)) <> cardinality(circle)
       -- The other leads have the number that they changed to; that of p_phone is about to.
       or exists (select from phone_changes c
                   where c.old_phone = any (circle) and not exists (select from joined_leads where phone = c.old_phone)
                     and not exists (select from leads where phone = case when c.old_phone = p_phone then p_phone else c.new_phone end))
    then
        return null;
    end if;
    return circle;
end $$;

-- A lead that was joined with another one is a person apart after all, and has the phone p_to. No lead has that phone.
create function separate_lead(p_phone text, p_to text) returns void
language plpgsql as $$
declare
    j     joined_leads;
    apart bigint;
    one   bigint;
begin
    delete from joined_leads where phone = p_phone returning * into strict j;
    insert into leads (phone, name, niches, triggers, target_status, device_id, time_zone, attributes,
                       consent_at, consent_source, consent_note, consent_withdrawn_at, created_at)
    select p_to, l.name, l.niches, l.triggers, l.target_status, device_in_use(l.device_id), l.time_zone, l.attributes,
           l.consent_at, l.consent_source, l.consent_note, l.consent_withdrawn_at, l.created_at
      from jsonb_populate_record(null::leads, j.lead) l
    returning id into apart;
    -- What the other one has only from this lead.
    update leads l
       set niches = array(select w from unnest(l.niches) w where w <> all (a.niches) or w = any (b.niches)),
           triggers = array(select w from unnest(l.triggers) w where w <> all (a.triggers) or w = any (b.triggers)),
           attributes = coalesce((select jsonb_object_agg(k, v) from jsonb_each(l.attributes) as own (k, v)
                                   where b.attributes ? k or a.attributes -> k is distinct from v), '{}'),
           name = case when b.name = '' and l.name = a.name then '' else l.name end, updated_at = clock_timestamp()
      from jsonb_populate_record(null::leads, j.lead) a, jsonb_populate_record(null::leads, j.other) b
     where l.id = j.into_lead;
    update sequence_contacts set lead_id = apart where id = any (j.contacts);
    update broadcast_messages set lead_id = apart where sequence_contact_id = any (j.contacts);
    update broadcast_messages m
       set lead_id = apart
     where m.lead_id = j.into_lead and m.campaign_id is not null and coalesce(m.key_phone, m.recipient_phone) = p_phone;
    foreach one in array j.contacts loop
        perform place_contact(one, p_to);
        update sequence_contacts
           set paused_at = case when paused_reason like 'its owner has the phone %' then null else paused_at end,
               paused_reason = case when paused_reason like 'its owner has the phone %' then null else paused_reason end,
               plan_changed_at = clock_timestamp()
         where id = one and status = 'active';
    end loop;
    delete from joined_contacts where contact_id = any (j.contacts);
end $$;

-- Gives the messages of these leads' enrollments the phones that these have now; not to those whose place another message
-- of the step has.
create function follow_contacts(p_leads bigint[]) returns void
language plpgsql as $$
declare
    moving uuid[];
    stuck  uuid[];
begin
    moving := array(select m.id from broadcast_messages m
                      join sequence_contacts c on c.id = m.sequence_contact_id
                     where c.lead_id = any (p_leads) and m.recipient_phone <> c.phone
                       and not exists (select from joined_contacts j where j.contact_id = c.id)
                     order by m.id for update of m);
    loop
        stuck := array(select m.id from broadcast_messages m
                         join sequence_contacts c on c.id = m.sequence_contact_id
                         join broadcast_messages there on there.sequence_stepid = m.sequence_stepid and there.recipient_phone = c.phone
                        where m.id = any (moving) and there.id <> all (moving));
        exit when stuck = '{}';
        moving := array(select id from unnest(moving) id where id <> all (stuck));
    end loop;
    -- First out of each other's way.
    update broadcast_messages
       set recipient_phone = 'of ' || id,
           went_to = case when status in ('sent', 'unconfirmed', 'processing') then coalesce(went_to, recipient_phone) else went_to end
     where id = any (moving);
    update broadcast_messages m set recipient_phone = c.phone
      from sequence_contacts c where m.id = any (moving) and c.id = m.sequence_contact_id;
end $$;

-- Takes back that enrollments of these leads pass over steps that others have had, as far as they have not come to them:
-- it is decided again.
create function forget_left_out(p_leads bigint[]) returns void
language sql as $$
    delete from broadcast_messages m
     using sequence_contacts c, sequence_steps t
     where c.lead_id = any (p_leads) and c.status = 'active' and m.sequence_contact_id = c.id and t.id = m.sequence_stepid
       and m.status = 'cancelled' and m.reason like 'it went to %' and m.attempts = 0 and not c.timeline -> 'done' ? t.key
$$;

-- As before, but an attempt does not come back at once while an inbound message is being recorded.
create or replace function hold_message(m broadcast_messages, p_moment timestamptz, p_grace interval) returns jsonb
language plpgsql as $$
declare
    hold    text;
    kind    text;
    nothing constant jsonb := jsonb_build_object('outcome', 'deferred', 'until', p_moment, 'now', p_moment,
                                                 'reason', 'was resumed');
begin
    -- Not waited for: a transaction that records an inbound message takes this lock first, and messages' locks later.
    -- It may take some time, so the attempt does not come back at once.
    if not pg_try_advisory_xact_lock_shared(inbound_lock(m.recipient_phone)) then
        return nothing || jsonb_build_object('until', p_moment + interval '250 milliseconds',
                                             'reason', 'a message of its recipient is being recorded');
    end if;
    perform from devices where id = m.device_id for share;
    perform from campaigns where id = m.campaign_id for share;
    perform from sequences s join sequence_contacts c on c.sequence_id = s.id
      where c.id = m.sequence_contact_id for share of s;
    hold := hold_of(m, p_moment + p_grace);
    if hold is null then
        return nothing;
    end if;
    kind := case when pause_of(m) is null then 'window' else 'pause' end;
    update broadcast_messages set reason = hold, waits_for = kind, updated_at = p_moment
     where id = m.id and (reason, waits_for) is distinct from (hold, kind);
    return jsonb_build_object('outcome', 'held', 'reason', hold,
                              'until', case when m.expires_at > p_moment then m.expires_at end);
end $$;

-- migrate:down

drop function follow_contacts, forget_left_out, separate_lead, exchange_of, move_phone_v2, rest_contact, place_contact, joined_reason;
drop trigger end_joined_contacts on sequence_contacts;
drop function end_joined_contacts;
drop table exchanged_numbers, joined_contacts, joined_leads;
alter table broadcast_messages drop column went_to;

create or replace function hold_message(m broadcast_messages, p_moment timestamptz, p_grace interval) returns jsonb
language plpgsql as $$
declare
    hold    text;
    kind    text;
    nothing constant jsonb := jsonb_build_object('outcome', 'deferred', 'until', p_moment, 'now', p_moment,
                                                 'reason', 'was resumed');
begin
    -- Not waited for: a transaction that records an inbound message takes this lock first, and messages' locks later.
    if not pg_try_advisory_xact_lock_shared(inbound_lock(m.recipient_phone)) then
        return nothing;
    end if;
    perform from devices where id = m.device_id for share;
    perform from campaigns where id = m.campaign_id for share;
    perform from sequences s join sequence_contacts c on c.sequence_id = s.id
      where c.id = m.sequence_contact_id for share of s;
    hold := hold_of(m, p_moment + p_grace);
    if hold is null then
        return nothing;
    end if;
    kind := case when pause_of(m) is null then 'window' else 'pause' end;
    update broadcast_messages set reason = hold, waits_for = kind, updated_at = p_moment
     where id = m.id and (reason, waits_for) is distinct from (hold, kind);
    return jsonb_build_object('outcome', 'held', 'reason', hold,
                              'until', case when m.expires_at > p_moment then m.expires_at end);
end $$;
drop function lock_tables;
