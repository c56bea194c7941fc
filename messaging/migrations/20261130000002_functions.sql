-- The path of a message through the ledger: one call claims it, one call settles it. As each is a function, it takes
-- one round trip and one transaction, and the rules of pace are in one place for sequences and campaigns.
-- Locks are taken in one order everywhere: the message's, then the device's, then the enrollment's.
--
-- Parameters begin with p_. Variables: m is a message, d a device, c an enrollment (sequence_contacts). A parameter
-- p_now or p_moment is the present moment; if p_now is null, it is the database's clock.
-- Order of this file: helpers; claim_message and its parts; its callers; moves to another device; outcomes of attempts;
-- receipts; what answers count for.

-- migrate:up

-- The first moment from p_moment on at which a device with these sending hours is open.
create function next_opening(p_moment timestamptz, p_opens time, p_closes time, p_zone text) returns timestamptz
language plpgsql stable as $$
declare
    local_moment timestamp := p_moment at time zone p_zone;
    local_time   time := local_moment::time;
    today        date := local_moment::date;
begin
    if p_opens is null then
        return p_moment;
    end if;
    if p_opens < p_closes then
        if local_time >= p_opens and local_time < p_closes then
            return p_moment;
        end if;
        return (case when local_time < p_opens then today else today + 1 end + p_opens) at time zone p_zone;
    end if;
    -- Hours across midnight, e.g. 20:00 to 02:00.
    if local_time >= p_opens or local_time < p_closes then
        return p_moment;
    end if;
    return (today + p_opens) at time zone p_zone;
end $$;

-- A lead in the form that messaging.leads.lead.Lead reads.
create function lead_as_json(l leads) returns jsonb
language sql stable as $$
    select jsonb_build_object('phone', l.phone, 'name', l.name, 'niches', l.niches, 'triggers', l.triggers,
                              'target_status', l.target_status, 'device_id', l.device_id, 'time_zone', l.time_zone,
                              'attributes', l.attributes)
$$;

-- A lead's consent after a word on it. p_given: null says nothing, false takes it back; p_at: when, null if that is not
-- said. So that a file that is imported again changes nothing, and an old one does not bring back what was taken back since:
--   what is said with another note or another date replaces what is stored; a mere yes does not;
--   what was taken back is given anew only by what is dated later, or was said with an enrollment;
--   a no that is older than the consent does not count; one without a date takes back what there is.
create function consent_after(
    l leads, p_given boolean, p_at timestamptz, p_note text, p_source text,
    out consent_at timestamptz, out consent_source text, out consent_note text, out consent_withdrawn_at timestamptz
) language plpgsql stable as $$
declare
    given_now boolean := false;
    taken_now boolean := false;
begin
    if p_given and l.consent_at is not null then
        given_now := p_source <> 'inbound' and (p_at <> l.consent_at or p_note <> coalesce(l.consent_note, ''));
    elsif p_given then
        given_now := l.consent_withdrawn_at is null or coalesce(p_at > l.consent_withdrawn_at, p_source = 'enrollment');
    elsif not p_given and l.consent_at is not null then
        taken_now := coalesce(p_at >= l.consent_at, true);
    elsif not p_given then
        taken_now := p_at > coalesce(l.consent_withdrawn_at, '-infinity');
    end if;
    if given_now then
        consent_at := coalesce(p_at, case when l.consent_note is null then l.consent_at end, clock_timestamp());
    elsif taken_now then
        consent_withdrawn_at := coalesce(p_at, clock_timestamp());
    else
        consent_at := l.consent_at;
        consent_withdrawn_at := l.consent_withdrawn_at;
    end if;
    consent_source := case when given_now or taken_now then p_source else l.consent_source end;
    consent_note := case when given_now then coalesce(p_note, l.consent_note) when taken_now then p_note else l.consent_note end;
end $$;

-- The ID of a campaign's message, the same as messaging.sending.message_ids.campaign_message_id: a UUID of version 8
-- from SHA-256, as in RFC 9562, appendix B.2. (Version 5 would need SHA-1, which PostgreSQL has only in an extension.)
create function campaign_message_id(p_campaign bigint, p_phone text) returns uuid
language sql immutable parallel safe as $$
    select encode(set_byte(set_byte(digest, 6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128),
                  'hex')::uuid
      from substring(sha256(decode('e315735096cd4eb6b78594f64b6114c6', 'hex')
                            || convert_to('campaign:' || p_campaign || ':' || p_phone, 'UTF8'))
                     from 1 for 16) as digest
$$;

-- The device that sends for this one: itself, or its replacement.
create function device_in_use(p_device text) returns text
language sql stable as $$
    select coalesce((select replaced_by from devices where id = p_device), p_device)
$$;

-- The advisory lock under which audiences are frozen (shared) and devices replaced (alone).
create function audience_lock() returns bigint
language sql immutable as $$ select 7271993 $$;

-- The only device; null if there are several, or none.
create function only_device() returns text
language sql stable as $$
    select min(id) from devices where replaced_by is null having count(*) = 1
$$;

-- The phone that the owner of p_phone has now: itself, unless they have changed it.
create function present_phone(p_phone text) returns text
language plpgsql stable as $$
declare
    seen  text[]      := array[p_phone];
    since timestamptz := '-infinity';
begin
    -- Who came to a phone after its former owner had left it is somebody else, or came back to it.
    loop
        select new_phone, changed_at into p_phone, since
          from phone_changes where old_phone = seen[cardinality(seen)] and changed_at >= since;
        if not found then
            return seen[cardinality(seen)];
        end if;
        if p_phone = any (seen) then
            return p_phone;
        end if;
        seen := seen || p_phone;
    end loop;
end $$;

-- The phones that the owner of p_phone has had, with p_phone itself.
create function former_phones(p_phone text) returns text[]
language sql stable as $$
    with recursive back (phone) as (
        select p_phone union select c.old_phone from phone_changes c join back b on c.new_phone = b.phone
    )
    select array_agg(phone order by phone) from back where phone = p_phone or present_phone(phone) = p_phone
$$;

-- The advisory lock of a phone: shared by transactions that store something under it, alone for its change.
create function phone_lock(p_phone text) returns bigint
language sql immutable as $$ select hashtextextended('phone ' || p_phone, 0) $$;

-- The phone that the owner of p_phone has now, which does not change until the transaction ends.
create function hold_phone(p_phone text) returns text
language plpgsql as $$
declare
    present text;
begin
    loop
        perform pg_advisory_xact_lock_shared(phone_lock(p_phone));
        present := present_phone(p_phone);
        exit when present = p_phone;
        p_phone := present;
    end loop;
    return p_phone;
end $$;

-- The leads that a campaign would go to if it started now. Each gets the message from its own device; a lead without
-- one gets it from the only device, or has a null device if there are several. zone: the time zone of the recipient's
-- local time. opted_out: from messages of the campaign's category, or from everything. without_consent: the campaign
-- requires it.
create function campaign_audience(p_campaign bigint)
returns table (lead_id bigint, phone text, device_id text, zone text, opted_out boolean, without_consent boolean)
language sql stable as $$
    select l.id, l.phone, d.id, coalesce(l.time_zone, d.time_zone, 'UTC'),
           exists (select from suppressions s where s.phone = l.phone and s.category in ('all', c.category)),
           c.require_consent and l.consent_at is null
      from campaigns c
      join leads l on (c.niche is null or l.niches @> array[c.niche])
                  and (c.target_status = 'all' or l.target_status = c.target_status)
      left join devices o on o.id = coalesce(l.device_id, (select only_device()))
      left join devices d on d.id = coalesce(o.replaced_by, o.id)
      cross join lateral (select array_agg(device_in_use(named)) as ids from unnest(c.device_ids) named) wanted
     where c.id = p_campaign and (c.device_ids is null or d.id = any (wanted.ids))
       -- An import that ran while the phone changed may have stored the old one again.
       and not exists (select from phone_changes p where p.old_phone = l.phone and present_phone(l.phone) <> l.phone)
$$;

-- The reason of what ends with an opt-out, for people to read.
create function opted_out_of(p_category text) returns text
language sql immutable parallel safe as $$
    select 'the recipient opted out' || case when p_category = 'marketing' then ' of marketing messages' else '' end
$$;

-- The category of a message: that of its campaign or sequence, as it is now.
create function category_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce((select category from campaigns where id = m.campaign_id),
                    (select s.category from sequence_contacts c join sequences s on s.id = c.sequence_id
                      where c.id = m.sequence_contact_id))
$$;

-- True if a message's campaign or sequence requires consent, and its lead has given none, or taken it back.
create function lacks_consent(m broadcast_messages) returns boolean
language sql stable as $$
    select exists (select from leads l where l.id = m.lead_id and l.consent_at is null)
       and coalesce((select k.require_consent from campaigns k where k.id = m.campaign_id),
                    (select s.require_consent from sequence_contacts c join sequences s on s.id = c.sequence_id
                      where c.id = m.sequence_contact_id))
$$;

-- Why a message is not wanted any more, and the status with which it ends; nulls if it is wanted. A message that an
-- operator sends again goes out although its contact is past the step, but not to a phone that opted out or took its
-- consent back. One message passes an opt-out: that which confirms it, while this very opt-out stands and no other
-- source has opted the phone out of everything.
create function unwanted(m broadcast_messages, out status text, out reason text)
language plpgsql stable as $$
declare
    opted_out text;  -- from what; 'all' counts first, and is the smaller word
begin
    if m.purpose = 'opt-out confirmation' then
        if not exists (select from suppressions s
                        where s.phone = m.recipient_phone and s.inbound_message_id = m.inbound_message_id) then
            status := 'cancelled';
            reason := 'the opt-out was taken back';
        elsif exists (select from suppressions s
                       where s.phone = m.recipient_phone and s.category = 'all'
                         and s.inbound_message_id is distinct from m.inbound_message_id) then
            status := 'suppressed';
            reason := opted_out_of('all');
        end if;
        return;
    end if;
    select min(s.category) into opted_out
      from suppressions s where s.phone = m.recipient_phone and s.category in ('all', category_of(m));
    if opted_out is not null then
        status := 'suppressed';
        reason := opted_out_of(opted_out);
    elsif lacks_consent(m) then
        status := 'cancelled';
        reason := 'the recipient has not consented, or not any more';
    elsif m.campaign_id is not null then
        select 'cancelled', 'the campaign was cancelled' into status, reason
          from campaigns c where c.id = m.campaign_id and c.status = 'cancelled';
    elsif m.resends = 0 then
        select 'cancelled', case when c.status <> 'active' then 'the enrollment had ended'
                                 when t.removed_at is not null then 'the step was removed from the sequence'
                                 when c.timeline -> 'done' ? t.key then 'the contact has moved past the step'
                                 else 'skipped: ' || c.go_reason end
          into status, reason
          from sequence_contacts c
          join sequence_steps t on t.id = m.sequence_stepid
          left join sequence_steps g on g.id = c.go_step_id and g.removed_at is null
         where c.id = m.sequence_contact_id
           and (c.status <> 'active' or t.removed_at is not null or c.timeline -> 'done' ? t.key
                or t.position < g.position);
    end if;
end $$;

-- A text in the form in which values of attributes are compared: neither case nor kinds of spaces matter.
create function folded(p_text text) returns text
language sql immutable parallel safe as $$
    select lower(btrim(regexp_replace(normalize(p_text, nfkc), '\s+', ' ', 'g')))
$$;

-- True for an answer: what a person wrote or chose, of any kind. Reactions, choices in WhatsApp's own settings and changed
-- numbers are none, and what was typed on the device's phone is none either.
create function is_answer(i inbound_messages) returns boolean
language sql immutable as $$
    select not i.from_me and i.kind not in ('reaction', 'preference', 'number_changed', 'user_id_changed')
$$;

-- The replies of a contact in this enrollment: what its phone has sent, since it was enrolled, to a device that writes to it; and
-- what quotes a message of it, whatever phone the gateway names. Gateways give sent_at in whole seconds. What was received
-- before the enrollment is no reply, and neither is a keyword that opts out or enrolls.
create function replies_of(c sequence_contacts) returns setof inbound_messages
language sql stable as $$
    select r.*
      from inbound_messages r
     where (r.phone = c.phone
            or r.answers = any (array(select b.gateway_message_id from broadcast_messages b
                                       where b.sequence_contact_id = c.id and b.gateway_message_id is not null)))
       and is_answer(r) and r.meaning not in ('stop', 'enroll')
       and r.received_at > c.enrolled_at and r.sent_at >= date_trunc('second', c.enrolled_at)
       and (r.device_id = c.device_id
            or exists (select from broadcast_messages b where b.sequence_contact_id = c.id and b.device_id = r.device_id))
$$;

-- The last message of an enrollment that went out, or may have: all null if there is none.
create function last_sent(c sequence_contacts) returns broadcast_messages
language sql stable as $$
    select b.*
      from broadcast_messages b
     where b.sequence_contact_id = c.id and (b.accepted_at is not null or b.status in ('sent', 'unconfirmed'))
     order by b.begun_at desc nulls last
     limit 1
$$;

-- When a contact first replied to the last message that went out; null if it has not yet. A reply that was received before the
-- message began to be sent is not one to it; neither is one that was sent before and came late, unless it quotes the message.
create function first_reply(c sequence_contacts) returns timestamptz
language plpgsql stable as $$
declare
    last broadcast_messages := last_sent(c);
begin
    return (select min(r.sent_at)
              from replies_of(c) r
             where r.received_at > coalesce(last.begun_at, c.enrolled_at)
               and (r.sent_at >= date_trunc('second', coalesce(last.begun_at, c.enrolled_at))
                    or r.answers = last.gateway_message_id));
end $$;

-- True if a message was last seen to wait until its recipient writes.
create function awaits_window(m broadcast_messages) returns boolean
language sql immutable as $$ select m.waits_for is not distinct from 'window' and is_waiting(m.status) $$;

-- True if the sequence itself says what comes of a reply now: the contact's next step waits for one, also while the message
-- before it is being sent; or a step that is still to come asks whether the contact has replied; or its message waits
-- until the contact writes, as the service window is closed.
create function expects_reply(c sequence_contacts) returns boolean
language sql stable as $$
    select exists (
        select from sequence_steps next
          join sequence_steps t on t.sequence_id = next.sequence_id and t.removed_at is null and t.position >= next.position
         where next.id = c.next_step_id and not c.timeline -> 'done' ? t.key
           and (t.conditions ? 'replied'
                or t.wait_for is not null and not exists (
                       select from sequence_steps b
                        where b.sequence_id = t.sequence_id and b.removed_at is null and not c.timeline -> 'done' ? b.key
                          and b.position >= next.position and b.position < t.position
                          and not exists (select from broadcast_messages m
                                           where m.sequence_contact_id = c.id and m.sequence_stepid = b.id
                                             and m.status = 'processing'))))
        or exists (select from broadcast_messages m
                    where m.sequence_contact_id = c.id and m.sequence_stepid = c.next_step_id and awaits_window(m))
$$;

-- The first condition of a message's step that does not hold now, and what is so instead, for people to read; null if all
-- hold. A message that an operator sends again goes out whatever its conditions say.
create function failed_condition(m broadcast_messages) returns text
language plpgsql stable as $$
declare
    asked      jsonb;               -- the step's conditions
    c          sequence_contacts;
    l          leads;
    last       broadcast_messages;  -- what was sent before
    replied_at timestamptz;
    wanted     record;              -- an attribute {key, value}, and the values of which it is to have one
    found_text text;
begin
    if m.sequence_stepid is null or m.resends > 0 then
        return null;
    end if;
    select conditions into asked from sequence_steps where id = m.sequence_stepid;
    if asked is null then
        return null;
    end if;
    select * into strict c from sequence_contacts where id = m.sequence_contact_id;
    select * into strict l from leads where id = m.lead_id;
    if asked ? 'replied' then
        select min(sent_at) into replied_at from replies_of(c);
        if replied_at is null and (asked ->> 'replied')::boolean then
            return 'replied: true, but no reply has come';
        elsif replied_at is not null and not (asked ->> 'replied')::boolean then
            return 'replied: false, but a reply came on ' || to_char(replied_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
        end if;
    end if;
    if asked ?| array['delivered', 'read'] then
        last := last_sent(c);
        found_text := coalesce('the message before (' || (select key from sequence_steps where id = last.sequence_stepid) || ')',
                               'no message before');
        if (last.delivered_at is not null) <> (asked ->> 'delivered')::boolean then
            return 'delivered: ' || (asked ->> 'delivered') || ', but ' || found_text || ' was '
                   || case when last.delivered_at is null and last.id is not null then 'not ' else '' end || 'delivered';
        elsif (last.read_at is not null) <> (asked ->> 'read')::boolean then
            return 'read: ' || (asked ->> 'read') || ', but ' || found_text || ' was '
                   || case when last.read_at is null and last.id is not null then 'not ' else '' end || 'read';
        end if;
    end if;
    for wanted in select a.key, a.value from jsonb_each(asked -> 'attribute') a order by a.key loop
        found_text := coalesce(l.attributes ->> wanted.key, '');
        if not exists (select from jsonb_array_elements_text(wanted.value) v where folded(v) = folded(found_text)) then
            return wanted.key || ': '
                   || (select string_agg(case when v = '' then '""' else left(v, 40) end, ' or ')
                         from jsonb_array_elements_text(wanted.value) v)
                   || ', but it is ' || case when found_text = '' then 'empty' else left(found_text, 40) end;
        end if;
    end loop;
    if asked ? 'niche' and not asked -> 'niche' ?| l.niches then
        return 'niche: ' || (select string_agg(v, ' or ') from jsonb_array_elements_text(asked -> 'niche') v)
               || ', which the lead does not have';
    elsif l.target_status <> asked ->> 'status' then
        return 'status: ' || (asked ->> 'status') || ', but the lead is a ' || l.target_status;
    end if;
    return null;
end $$;

-- The reason of a message that expired before it could be sent, for people to read.
create function expiry_of(p_expires_at timestamptz) returns text
language sql immutable as $$
    select 'it was to go out before ' || to_char(p_expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
$$;

-- Why a message is not sent any more at p_moment, and the status with which it ends; nulls if it may be sent. It is not
-- wanted any more, or it has expired.
create function ending_of(m broadcast_messages, p_moment timestamptz, out status text, out reason text)
language plpgsql stable as $$
begin
    select u.status, u.reason into status, reason from unwanted(m) u;
    if status is null and m.expires_at <= p_moment then
        status := 'expired';
        reason := expiry_of(m.expires_at);
    end if;
end $$;

-- The first moment from p_moment on that is within the recipient's hours. Only campaigns at each recipient's own time
-- have such hours, unless they say if_passed: send. The hours begin at the campaign's time and end at 21:00, the end of
-- the hours in which people may be called (47 CFR 64.1200(c)(1)); if the campaign's time is 20:00 or later, they last
-- one hour.
create function recipient_opening(m broadcast_messages, p_moment timestamptz) returns timestamptz
language plpgsql stable as $$
declare
    opens time;
    zone  text;
begin
    select c.scheduled_at::time, coalesce(l.time_zone, d.time_zone) into opens, zone
      from campaigns c, leads l, devices d
     where c.id = m.campaign_id and l.id = m.lead_id and d.id = m.device_id
       and c.time_zone = 'recipient' and c.scheduled_at is not null and not c.start_now and c.if_passed <> 'send';
    if not found then
        return p_moment;
    end if;
    return next_opening(p_moment, opens, case when opens < '20:00' then '21:00' else opens + interval '1 hour' end, zone);
exception when invalid_parameter_value then
    return p_moment;  -- this server does not know the zone
end $$;

-- Until when a device with a service window may send free text to a phone: 24 hours from the person's last message to it
-- (Meta, "Customer service windows"). Null if they have written none. What is no message does not count; nor does a
-- reaction, as Meta does not say that it does.
create function window_until(p_phone text, p_device text) returns timestamptz
language sql stable as $$
    select max(sent_at) + interval '24 hours'
      from inbound_messages
     where phone = p_phone and device_id = p_device and not from_me
       and kind not in ('reaction', 'preference', 'number_changed', 'user_id_changed')
$$;

-- How a message of a device with a service window would go out at p_moment: as 'text' within the window; as 'template'
-- outside of it, or if that is all that it has. If the gateway has refused the text, the window is closed until the
-- person writes again. Outside of it, free text alone does not go out: 'fail' or 'wait', as its
-- campaign or sequence says.
create function form_of(m broadcast_messages, p_moment timestamptz) returns text
language sql stable as $$
    select case when c.template is not null and (c.text !~ '\S' or w.closed) then 'template'
                when w.closed then c.outside_window else 'text' end
      from (select coalesce(t.text, k.text, m.contents ->> 'text') as text,
                   coalesce(t.template, k.template, m.contents -> 'template') as template,
                   coalesce(s.outside_window, k.outside_window, 'fail') as outside_window
              from (values (true)) one (row)
              left join sequence_steps t on t.id = m.sequence_stepid
              left join sequences s on s.id = t.sequence_id
              left join campaigns k on k.id = m.campaign_id) c
     cross join lateral (select coalesce(window_until(m.recipient_phone, m.device_id)
                                         <= greatest(p_moment, m.window_refused_at + interval '24 hours'), true) as closed) w
$$;

-- Why free text does not go out outside the service window, for people to read.
create function outside_window(m broadcast_messages) returns text
language sql immutable as $$
    select 'outside the 24-hour window: they have not written to device ' || m.device_id || ' in the last 24 hours'
           || case when m.window_refused_at is not null then ', as Meta says' else '' end
$$;

-- What is paused and so holds the message, for people to read; null if nothing is.
create function pause_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce(
        (select 'campaign ' || name || ' is paused' || coalesce(': ' || reason, '')
           from campaigns where id = m.campaign_id and status = 'paused'),
        (select case when c.paused_at is not null and c.status = 'active'
                     then 'the contact is paused' || coalesce(': ' || c.paused_reason, '')
                     when s.status = 'paused' then 'sequence ' || s.name || ' is paused' || coalesce(': ' || s.status_reason, '')
                end
           from sequence_contacts c join sequences s on s.id = c.sequence_id where c.id = m.sequence_contact_id),
        (select 'device ' || id || ' is paused' || coalesce(': ' || status_reason, '')
           from devices where id = m.device_id and status <> 'active' and replaced_by is null))
$$;

-- What holds the message, for people to read; null if nothing does. It is paused; or it waits for the service window,
-- unless it may have gone out already.
create function hold_of(m broadcast_messages, p_moment timestamptz default clock_timestamp()) returns text
language sql stable as $$
    select coalesce(
        pause_of(m),
        (select outside_window(m) || '; it waits until they write'
           from devices
          where id = m.device_id and service_window and m.status <> 'processing' and form_of(m, p_moment) = 'wait'))
$$;

-- What an attempt needs to send a message that it has claimed at p_moment. Within the service window it gets no template,
-- as the text goes out.
create function message_contents(p_message uuid, p_moment timestamptz) returns jsonb
language sql stable as $$
    select jsonb_build_object('step', coalesce(st.key, ''), 'text', coalesce(st.text, c.text, m.contents ->> 'text', ''),
                              'image_url', case when m.contents is not null then m.contents ->> 'image_url'
                                                when c.id is null then st.image_url else c.image_url end,
                              'approved_template', case when d.service_window and form_of(m, p_moment) = 'text' then null
                                                        else coalesce(st.template, c.template, m.contents -> 'template') end,
                              'parts_sent', m.parts_sent,
                              'lead', case when l.id is null then jsonb_build_object('phone', m.recipient_phone)
                                           else lead_as_json(l) end)
      from broadcast_messages m
      left join leads l on l.id = m.lead_id
      join devices d on d.id = m.device_id
      left join sequence_steps st on st.id = m.sequence_stepid
      left join campaigns c on c.id = m.campaign_id
     where m.id = p_message
$$;

-- The advisory lock of a transaction that records an inbound message, for each name of its sender. A claim that finds
-- nothing from a person takes it too, so that the two do not miss each other.
create function inbound_lock(p_name text) returns bigint
language sql immutable as $$ select hashtextextended('inbound ' || p_name, 0) $$;

-- Ends a message that no attempt is sending.
create function close_message(p_message uuid, p_status text, p_reason text) returns jsonb
language plpgsql as $$
begin
    update broadcast_messages
       set status = p_status, reason = p_reason, slot_at = null, updated_at = clock_timestamp()
     where id = p_message;
    return jsonb_build_object('outcome', 'settled', 'status', p_status, 'reason', p_reason);
end $$;

-- Notes the hold on a message. A transaction that ends the hold waits for the locks taken here, and then finds the
-- message among those to wake. If that transaction came first, this one waits for it, and answers that the message is
-- to try again at once.
create function hold_message(m broadcast_messages, p_moment timestamptz, p_grace interval) returns jsonb
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

-- The first moment at which a device may send at all, and what it waits for until then; null if it need not wait.
-- p_place: the day in whose limit the message already has a place; it needs no second one.
create function earliest_send(
    d devices, p_place date, p_moment timestamptz, out free_at timestamptz, out why text
)
language plpgsql stable as $$
begin
    free_at := p_moment;
    if d.waits_until > free_at then
        free_at := d.waits_until;
        why := case when d.faults > 0 then 'device ' || d.id || ' waits after a failure'
                    else 'the gateway asked device ' || d.id || ' to wait' end || coalesce(': ' || d.waits_reason, '');
    end if;
    if d.daily_limit is not null and d.limit_used >= d.daily_limit and p_place is distinct from d.limit_day
       and d.limit_day >= (free_at at time zone d.time_zone)::date then
        free_at := (d.limit_day + 1)::timestamp at time zone d.time_zone;
        why := 'device ' || d.id || ' has sent its ' || d.daily_limit || ' of the day';
    end if;
    if next_opening(free_at, d.opens_at, d.closes_at, d.time_zone) > free_at then
        free_at := next_opening(free_at, d.opens_at, d.closes_at, d.time_zone);
        why := 'device ' || d.id || ' sends from ' || to_char(d.opens_at, 'HH24:MI') || ' to '
               || to_char(d.closes_at, 'HH24:MI') || ' ' || d.time_zone;
    end if;
end $$;

-- When a device's pace lets a message go out.
create type device_turn as (
    free_at  timestamptz,  -- the first moment at which the device may send at all
    why      text,         -- what the message waits for
    ready_at timestamptz,  -- the same, and far enough from the send before
    gap      interval,     -- the least time between two sends
    stride   interval      -- the time from this message's slot to the next one
);

-- p_place: see earliest_send. p_least, p_most: the delay between two sends, in seconds. The pace counts from real
-- sends, not from planned ones. While an attempt may be on its way to the gateway, its arrival is unknown: the next
-- send waits until that attempt is settled, or until the last moment at which it may arrive.
create function next_turn(
    d devices, p_place date, p_least double precision, p_most double precision, p_moment timestamptz
) returns device_turn
language plpgsql as $$
declare
    turn device_turn;
begin
    select e.free_at, coalesce(e.why, 'waits for its slot') into turn.free_at, turn.why
      from earliest_send(d, p_place, p_moment) e;
    turn.gap := make_interval(secs => p_least);
    turn.ready_at := greatest(turn.free_at, d.last_send_at + turn.gap,
                              case when p_least > 0 and d.in_flight_until > p_moment - turn.gap
                                   then d.in_flight_until + turn.gap end);
    -- At least a tenth of a second over the minimum, so that small delays of sends do not add up to missed slots.
    turn.stride := make_interval(secs => greatest(p_least + random() * (p_most - p_least),
                                                  case when p_least > 0 then p_least + 0.1 else 0 end));
    return turn;
end $$;

-- Takes the device's turn for a message that goes out now, and a place in the daily limit if it has none (p_place).
create function take_turn(
    d devices, p_place date, p_moment timestamptz, p_stride interval, p_grace interval
) returns void
language sql as $$
    update devices
       set next_slot_at = greatest(next_slot_at, p_moment + p_stride),
           last_send_at = p_moment,
           in_flight_until = p_moment + p_grace,
           limit_used = case when limit_day is distinct from (p_moment at time zone time_zone)::date then 1
                             when limit_day = p_place then limit_used else limit_used + 1 end,
           limit_day = (p_moment at time zone time_zone)::date
     where id = d.id
$$;

-- Moves a message that no attempt holds to another device. It gives up its slot and its place in the daily limit of the
-- old one.
create function move_message(m broadcast_messages, p_device text) returns broadcast_messages
language sql as $$
    update broadcast_messages set device_id = p_device, slot_at = null, place_day = null, updated_at = clock_timestamp()
     where id = m.id returning *
$$;

-- Gives the claim of a message to the attempt p_token. p_place: the day in whose limit it has a place, or null.
create function hand_over(
    m broadcast_messages, d devices, p_token text, p_must_not_send boolean, p_place date, p_moment timestamptz
) returns jsonb
language plpgsql as $$
begin
    update broadcast_messages
       set status = 'processing', processing_worker_id = p_token, claimed_at = p_moment, answered_at = null,
           begun_at = case when m.status = 'processing' then m.begun_at else p_moment end,
           place_day = coalesce(p_place, place_day), attempts = attempts + 1, reason = null, waits_for = null,
           updated_at = p_moment
     where id = m.id;
    return jsonb_build_object('outcome', case when m.status = 'processing' then 'taken_over' else 'claimed' end,
                              'device_id', d.id, 'gateway', d.gateway, 'options', d.gateway_options,
                              'attempts', m.attempts + 1, 'now', p_moment, 'due_at', m.due_at,
                              'must_not_send', p_must_not_send, 'device_replaced', d.replaced_by is not null,
                              'hours', jsonb_build_object('opens_at', d.opens_at, 'closes_at', d.closes_at,
                                                          'time_zone', d.time_zone));
end $$;

-- Postpones a message that would go out at p_moment, which is outside its recipient's hours, to the next moment at
-- which both the device and the recipient's hours are open. Until then it keeps no slot on the device, and no place in
-- its campaign's window, and its turn comes after the device's other messages. It ends if the campaign leaves such
-- recipients out, or if there is no such moment.
create function postpone(m broadcast_messages, d devices, p_moment timestamptz, p_now timestamptz) returns jsonb
language plpgsql as $$
declare
    opening   timestamptz := p_moment;
    both_open boolean     := false;                     -- the device and the recipient's hours, at that moment
    in_doubt  boolean     := m.status = 'processing';   -- it may have gone out, so it must not end here
    why       text        := 'the local time of the recipient had passed';
begin
    for look in 1..4 loop
        opening := next_opening(recipient_opening(m, opening), d.opens_at, d.closes_at, d.time_zone);
        both_open := recipient_opening(m, opening) = opening;
        exit when both_open;
    end loop;
    if not both_open and not in_doubt then
        return close_message(m.id, 'expired', why || ', and device ' || d.id || ' does not send in its day');
    elsif not in_doubt and exists (select from campaigns where id = m.campaign_id and if_passed = 'leave_out') then
        return close_message(m.id, 'expired', why);
    elsif m.expires_at <= opening and not in_doubt then
        return close_message(m.id, 'expired', expiry_of(m.expires_at) || ', and ' || why);
    end if;
    why := why || ': it waits for the next day';
    update broadcast_messages
       set status = case when in_doubt then status else 'pending' end, due_at = case when in_doubt then due_at else opening end,
           campaign_position = case when in_doubt then campaign_position else
               1 + (select max(o.campaign_position)
                      from broadcast_messages o
                     where o.campaign_id = m.campaign_id and o.campaign_shard = m.campaign_shard
                       and o.device_id = m.device_id and is_unsettled(o.status)) end,
           slot_at = case when in_doubt then opening end, reason = why, waits_for = null, updated_at = p_now
     where id = m.id;
    return jsonb_build_object('outcome', 'deferred', 'until', opening, 'now', p_now, 'reason', why);
end $$;

-- Reserves a slot on the device for a message that comes too early, unless it has one that still holds. A message that
-- would expire before the slot ends at once, and takes none.
create function reserve_slot(m broadcast_messages, d devices, turn device_turn, p_moment timestamptz) returns jsonb
language plpgsql as $$
declare
    slot       timestamptz := m.slot_at;
    -- A message that has a later slot, which still holds, needs no new one.
    needs_slot boolean     := not coalesce(m.slot_at > p_moment and m.slot_at >= turn.free_at, false);
begin
    if needs_slot then
        -- A slot that was just missed moves a little. One that was missed by much (an outage, a pause) gives no right
        -- to send: the message goes to the end of the queue, so that a thousand late messages go out one by one.
        slot := case when d.next_slot_at <= p_moment or m.slot_at > p_moment - turn.gap - interval '2 seconds'
                     then turn.ready_at else greatest(turn.ready_at, d.next_slot_at) end;
        slot := next_opening(slot, d.opens_at, d.closes_at, d.time_zone);
    end if;
    if m.expires_at <= slot and m.status <> 'processing' then
        return close_message(m.id, 'expired', expiry_of(m.expires_at) || ', and its turn would come at '
                                              || to_char(slot at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC');
    elsif m.campaign_id is not null and recipient_opening(m, slot) > slot then
        return postpone(m, d, slot, p_moment);
    elsif needs_slot then
        update devices set next_slot_at = greatest(next_slot_at, slot + turn.stride) where id = d.id;
        update broadcast_messages
           set status = case when m.status = 'processing' then m.status else 'queued' end, slot_at = slot,
               reason = turn.why, waits_for = 'device', updated_at = p_moment
         where id = m.id;
    end if;
    return jsonb_build_object('outcome', 'deferred', 'until', slot, 'now', p_moment, 'reason', turn.why);
end $$;

-- Gives the message p_message to the attempt p_token, or answers why not. The answer is an object whose "outcome" is
--   settled    the message has a final status already (status, reason, sent_at)
--   held       something is paused (reason): wait until it is resumed, or until the message expires (until; null: never)
--   deferred   try again at a moment (until, now, reason), for example at the slot that was reserved on the device
--   claimed    send it (device_id, gateway, options, hours, attempts, now, due_at)
--   taken_over as claimed, but an earlier attempt may have reached the gateway. With must_not_send, the message is not
--              wanted any more or its device was replaced: the attempt only finds out what became of it, and needs no
--              slot
-- p_lifetime: how long after its claim an attempt may still be at the gateway.
-- p_grace: how long after its claim an attempt may begin its call to the gateway.
-- p_now: the moment, or null for the database's own clock.
create function claim_message(
    p_message uuid, p_token text, p_lifetime interval, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    m           broadcast_messages;
    d           devices;
    campaign    record;            -- its own pace and clocks; the slower of its pace and the device's holds
    ending      record;            -- why the message is not sent any more, if so
    hold        text;              -- what is paused, or that it waits for the service window
    condition   text;              -- of its step, which does not hold
    form        text;              -- of a device with a service window: form_of
    turn        device_turn;
    moment      timestamptz;
    least_delay double precision;  -- between two sends, in seconds
    most_delay  double precision;
    paced       boolean;           -- the device has a pace or a limit: its row is locked
    in_doubt    boolean;           -- an earlier attempt may have reached the gateway
begin
    -- A settled message stays settled. An attempt that may still be at the gateway is waited for.
    select * into strict m from broadcast_messages where id = p_message for no key update;
    moment := coalesce(p_now, clock_timestamp());
    in_doubt := m.status = 'processing';
    if not is_unsettled(m.status) then
        return jsonb_build_object('outcome', 'settled', 'status', m.status, 'reason', m.reason, 'sent_at', m.sent_at);
    elsif in_doubt and m.claimed_at + p_lifetime > moment then
        return jsonb_build_object('outcome', 'deferred', 'until', m.claimed_at + p_lifetime, 'now', moment,
                                  'reason', 'an earlier attempt may still be sending it');
    end if;

    -- The device that sends the message, and the pace that holds for it.
    select * into strict d from devices where id = m.device_id;
    if d.replaced_by is not null and not in_doubt then
        m := move_message(m, d.replaced_by);
        select * into strict d from devices where id = m.device_id;
    end if;
    select min_delay, max_delay, time_zone into campaign from campaigns where id = m.campaign_id;
    least_delay := greatest(d.min_delay, campaign.min_delay);
    most_delay := greatest(d.max_delay, campaign.max_delay);
    paced := most_delay > 0 or d.daily_limit is not null;
    if paced then
        -- Not 'for update': the foreign key of a new message holds a key-share lock on the device, and two such would
        -- deadlock.
        select * into strict d from devices where id = m.device_id for no key update;
        moment := coalesce(p_now, clock_timestamp());  -- waiting for the lock may have taken some time
    end if;

    -- A message that is not sent any more, or that is on hold. (After a pause, its conditions are those of that moment.)
    ending := ending_of(m, moment);
    hold := hold_of(m, moment + p_grace);
    condition := failed_condition(m);
    form := case when d.service_window then form_of(m, moment + p_grace) end;
    if in_doubt and (ending.status is not null or condition is not null or d.replaced_by is not null
                     or form in ('fail', 'wait')) then
        return hand_over(m, d, p_token, true, null, moment);
    elsif ending.status is not null then
        return close_message(p_message, ending.status, ending.reason);
    elsif d.replaced_by is not null then  -- replaced while this waited for its row: try again
        return jsonb_build_object('outcome', 'deferred', 'until', moment, 'now', moment, 'reason', 'its device was replaced');
    elsif hold is not null and (condition is null or pause_of(m) is not null) then
        return hold_message(m, moment, p_grace);
    elsif condition is not null then
        return close_message(p_message, 'cancelled', 'condition: ' || condition);
    elsif form = 'fail' then
        return close_message(p_message, 'failed', outside_window(m) || '; give it a template for such recipients');
    end if;

    -- If it is the message's turn, the attempt gets the claim.
    turn := next_turn(d, m.place_day, least_delay, most_delay, moment);
    if turn.ready_at > moment or (d.next_slot_at > moment and (m.slot_at is null or m.slot_at > moment)) then
        return reserve_slot(m, d, turn, moment);
    end if;
    if campaign.time_zone = 'recipient' and recipient_opening(m, moment) > moment then
        return postpone(m, d, moment, moment);
    elsif paced then
        perform take_turn(d, m.place_day, moment, turn.stride, p_grace);
    end if;
    return hand_over(m, d, p_token, false, case when paced then (moment at time zone d.time_zone)::date end, moment);
end $$;

-- How long after its claim an attempt may still be at the gateway. p_longer: seconds by gateway, for gateways where
-- this is not p_lifetime.
create function claim_life(m broadcast_messages, p_lifetime interval, p_longer jsonb) returns interval
language sql stable as $$
    select coalesce(make_interval(secs => (p_longer ->> d.gateway)::float8), p_lifetime)
      from devices d where d.id = m.device_id
$$;

-- True if a message was claimed, no attempt holds it any more, and none is about to take it over. If the message is
-- wanted, leave time for its workflow's next attempt, for its slot, and for a hold to end. If it is not wanted any
-- more, its workflow has moved on and will not come back to it.
create function is_abandoned(m broadcast_messages, p_lifetime interval, p_longer jsonb, p_now timestamptz) returns boolean
language plpgsql stable as $$
declare
    claim_ends_at timestamptz := m.claimed_at + claim_life(m, p_lifetime, p_longer);
begin
    if m.status <> 'processing' or claim_ends_at + interval '5 seconds' > p_now then
        return false;
    elsif (unwanted(m)).status is not null then
        return true;
    end if;
    return case when isfinite(claim_ends_at) then claim_ends_at + interval '2 minutes'
                else m.updated_at + interval '10 minutes' end < p_now
       and (m.slot_at is null or m.slot_at + interval '2 minutes' < p_now)
       and hold_of(m) is null;
end $$;

-- Claims a message whose row is in the ledger. If the message is claimed, adds what is to be sent to the answer of
-- claim_message. p_lifetime, p_longer: see claim_life.
create function claim_stored_message(
    p_message uuid, p_token text, p_lifetime interval, p_longer jsonb, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    m      broadcast_messages;
    answer jsonb;
begin
    select * into strict m from broadcast_messages where id = p_message;
    answer := claim_message(p_message, p_token, claim_life(m, p_lifetime, p_longer), p_grace, p_now);
    if answer ->> 'outcome' in ('claimed', 'taken_over') then
        answer := answer || message_contents(p_message, (answer ->> 'now')::timestamptz + p_grace);
    end if;
    return answer;
end $$;

-- Creates the ledger's row for one step of one enrollment. Answers null; or, if no row may be made, the answer for
-- claim_step_message.
create function create_step_message(
    c sequence_contacts, p_step bigint, p_revision integer, p_message uuid
) returns jsonb
language plpgsql as $$
begin
    -- Locked before the step, which the insert locks: an edit takes the two locks in this order.
    perform from sequences where id = c.sequence_id for key share;
    insert into broadcast_messages
           (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, expires_at)
    values (p_message, p_step, c.id, c.lead_id, c.phone, c.device_id, c.next_due_at,
            c.next_due_at + (select expires_after from sequence_steps where id = p_step))
    on conflict do nothing;
    -- The insert may have waited for an edit of the sequence, which locks the steps, or for a change of the contact's
    -- phone.
    if p_revision <> (select revision from sequences where id = c.sequence_id)
       or c.phone <> (select phone from sequence_contacts where id = c.id) then
        delete from broadcast_messages where id = p_message and status = 'pending' and attempts = 0;
        return jsonb_build_object('outcome', 'replanned');
    end if;
    if not exists (select from broadcast_messages where id = p_message) then
        return jsonb_build_object('outcome', 'settled', 'status', 'cancelled',
                                  'reason', 'another message of this step is there for this phone');
    end if;
    return null;
end $$;

-- Creates the ledger's row for one step of one enrollment if there is none, and claims it. To the outcomes of
-- claim_message it adds one:
--   replanned  the workflow must replan: the sequence was edited since p_revision, the contact's time zone has
--              changed, or the contact's next step has changed or it has none (it left the sequence)
-- To the answer it adds where the contact stands and, if the message is claimed, what is to be sent.
create function claim_step_message(
    p_enrollment bigint, p_step bigint, p_revision integer, p_message uuid,
    p_token text, p_lifetime interval, p_longer jsonb, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    c             sequence_contacts;
    revision_now  integer;  -- of the sequence
    zone          text;     -- of the contact, as it is stored now
    status_before text;     -- of the message; null: it has no row
    refusal       jsonb;    -- why it got none
    answer        jsonb;
begin
    select * into strict c from sequence_contacts where id = p_enrollment;
    select s.revision, coalesce(l.time_zone, s.time_zone) into strict revision_now, zone
      from sequences s, leads l where s.id = c.sequence_id and l.id = c.lead_id;
    select status into status_before from broadcast_messages where id = p_message;
    if (status_before is null or is_waiting(status_before))
       and (revision_now <> p_revision or zone <> c.timeline ->> 'zone'
            or (c.status = 'active' and c.plan_changed_at is not null)
            or (status_before is null and c.next_step_id is distinct from p_step)) then
        return jsonb_build_object('outcome', 'replanned');
    end if;
    if exists (select from broadcast_messages where id = p_message and resends > 0) then
        -- The contact has moved past the message, whatever becomes of it.
        return jsonb_build_object('outcome', 'settled', 'status', 'unconfirmed', 'reason', 'an operator has it sent again');
    end if;
    if status_before is null then
        refusal := create_step_message(c, p_step, p_revision, p_message);
        if refusal is not null then
            return refusal;
        end if;
    elsif is_waiting(status_before) and c.next_step_id = p_step then
        -- The step was replanned while the message waited, or the contact was moved to another device.
        update broadcast_messages m
           set due_at = c.next_due_at, expires_at = c.next_due_at + t.expires_after,
               device_id = c.device_id, slot_at = case when m.device_id = c.device_id then m.slot_at end,
               place_day = case when m.device_id = c.device_id then m.place_day end
          from sequence_steps t
         where m.id = p_message and t.id = p_step and is_waiting(m.status)
           and (m.due_at, m.expires_at, m.device_id)
               is distinct from (c.next_due_at, c.next_due_at + t.expires_after, c.device_id);
    end if;
    answer := claim_stored_message(p_message, p_token, p_lifetime, p_longer, p_grace, p_now);
    return answer || jsonb_build_object(
        'enrollment', jsonb_build_object('sequence_id', c.sequence_id, 'device_id', c.device_id, 'plan_revision', revision_now,
                                         'timeline', c.timeline, 'next_step_id', c.next_step_id,
                                         'next_due_at', c.next_due_at, 'zone', zone));
end $$;

-- An audience {device: leads} after the leads of p_moved {device: leads} were moved to p_device.
create function audience_after_move(p_audience jsonb, p_moved jsonb, p_device text) returns jsonb
language sql immutable as $$
    select jsonb_object_agg(device, leads)
      from (select device, sum(leads) as leads
              from (select key, value::integer from jsonb_each_text(p_audience)
                    union all
                    select key, -value::integer from jsonb_each_text(p_moved)
                    union all
                    select p_device, value::integer from jsonb_each_text(p_moved)) as changes (device, leads)
             group by device) summed
$$;

-- Moves those of p_messages that no attempt holds to p_device. Answers how many there were, and the campaigns whose
-- shards have to look again. A message that had its turn on the old device gets p_reason, by which it is found and
-- woken.
create function move_messages(
    p_messages uuid[], p_device text, p_reason text, out messages integer, out campaigns text[]
) language plpgsql as $$
declare
    moved jsonb;  -- {campaign: {old device: messages}}
begin
    with old as (
        select id, device_id from broadcast_messages
         where id = any (p_messages) and is_waiting(status) and device_id <> p_device
         order by id for no key update
    ), given as (
        update broadcast_messages m
           set device_id = p_device, slot_at = null, place_day = null, updated_at = clock_timestamp(),
               reason = case when m.status = 'queued' or m.reason is not null then p_reason end, waits_for = null
          from old where m.id = old.id returning m.campaign_id, old.device_id
    ), of_campaigns as (
        select campaign_id, jsonb_object_agg(device_id, n) as by_device
          from (select campaign_id, device_id, count(*) as n from given group by campaign_id, device_id) counted
         where campaign_id is not null
         group by campaign_id
    )
    select (select count(*) from given), (select coalesce(jsonb_object_agg(campaign_id, by_device), '{}') from of_campaigns)
      into messages, moved;
    update campaigns c set audience = audience_after_move(c.audience, moved -> c.id::text, p_device), updated_at = clock_timestamp()
     where c.id = any (array(select jsonb_object_keys(moved)::bigint));
    campaigns := array(select c.name from campaigns c
                        where c.id = any (array(select jsonb_object_keys(moved)::bigint)) order by c.name);
end $$;

-- Moves leads to a device, with all messages that are to be sent to them and that no attempt holds.
create function move_leads(p_phones text[], p_device text) returns jsonb
language plpgsql as $$
declare
    moved    record;
    contacts integer;
    leads    integer;
begin
    moved := move_messages(array(select id from broadcast_messages
                                  where recipient_phone = any (p_phones) and is_waiting(status)
                                    and device_id <> p_device),
                           p_device, 'moved to device ' || p_device);
    update sequence_contacts set device_id = p_device
     where phone = any (p_phones) and status = 'active' and device_id <> p_device;
    get diagnostics contacts = row_count;
    update leads set device_id = p_device, updated_at = clock_timestamp()
     where phone = any (p_phones) and device_id is distinct from p_device;
    get diagnostics leads = row_count;
    return jsonb_build_object('devices', array[p_device], 'leads', leads, 'contacts', contacts,
                              'messages', moved.messages, 'campaigns', moved.campaigns,
                              'in_flight', (select count(*) from broadcast_messages
                                             where recipient_phone = any (p_phones) and status = 'processing'
                                               and device_id <> p_device));
end $$;

-- Replaces p_old by p_new, which sends from now on what p_old was to send. A message that an attempt holds or has left
-- in doubt stays with p_old until it is settled; if it is given back, it moves to p_new at its next claim
-- (claim_message).
create function replace_device(p_old text, p_new text) returns jsonb
language plpgsql as $$
declare
    moved    record;
    contacts integer;
    leads    integer;
begin
    -- Keeps audiences from being frozen during the move: they would still get the old device.
    perform pg_advisory_xact_lock(audience_lock());
    moved := move_messages(array(select id from broadcast_messages
                                  where device_id = p_old and is_waiting(status)),
                           p_new, 'device ' || p_old || ' was replaced by ' || p_new);
    update devices
       set replaced_by = case when id = p_new then null else p_new end
     where id in (p_old, p_new) or replaced_by = p_old;
    update sequence_contacts set device_id = p_new where device_id = p_old and status = 'active';
    get diagnostics contacts = row_count;
    update leads set device_id = p_new, updated_at = clock_timestamp() where device_id = p_old;
    get diagnostics leads = row_count;
    return jsonb_build_object('devices', array[p_old, p_new], 'leads', leads, 'contacts', contacts,
                              'messages', moved.messages, 'campaigns', moved.campaigns,
                              'in_flight', (select count(*) from broadcast_messages
                                             where device_id = p_old and status = 'processing'));
end $$;

-- Gives the owner of p_old the phone p_new: lead, enrollments, messages both ways. The rows of the ledger keep their IDs,
-- and the unique indexes compare the new phone, so what went to the old phone cannot go to the new one again. Answers
--   lead       a lead had p_old
--   joined     a lead had p_new too: the two are one now
--   contacts, messages   how many were moved
--   pairs      enrollments of both in one sequence [{sequence, old, new}]: that of p_new goes on, and the one of p_old
--              keeps its phone and ends
-- The caller holds the lock of both phones.
create function move_phone(p_old text, p_new text) returns jsonb
language plpgsql as $$
declare
    old_lead  bigint;
    new_lead  bigint;
    pairs     jsonb;
    contacts  integer;
    messages  integer;
begin
    -- Keeps audiences from being frozen during the move.
    perform pg_advisory_xact_lock(audience_lock());
    perform from leads where phone in (p_old, p_new) order by phone for update;
    perform from broadcast_messages where recipient_phone in (p_old, p_new) order by id for update;
    select id into old_lead from leads where phone = p_old;
    select id into new_lead from leads where phone = p_new;

    -- A campaign's message, or a step's, that both phones were to get: what has gone out or may have counts, and else the
    -- one to the new phone.
    update broadcast_messages m
       set status = 'cancelled', slot_at = null, updated_at = clock_timestamp(),
           reason = case when m.recipient_phone = p_old then 'its recipient has the phone ' || p_new || ' now, which has a message of its own'
                         else 'it went to ' || p_old || ', which its recipient had before' end
      from broadcast_messages o
     where m.campaign_id is not null and o.campaign_id = m.campaign_id and is_waiting(m.status)
       and ((m.recipient_phone = p_new and o.recipient_phone = p_old and not is_waiting(o.status)
             and (o.status in ('sent', 'unconfirmed', 'processing')))
            or (m.recipient_phone = p_old and o.recipient_phone = p_new));

    if old_lead is not null and new_lead is not null then
        update leads n
           set name = coalesce(nullif(n.name, ''), o.name),
               niches = n.niches || array(select w from unnest(o.niches) w where w <> all (n.niches)),
               triggers = n.triggers || array(select w from unnest(o.triggers) w where w <> all (n.triggers)),
               target_status = case when 'customer' in (n.target_status, o.target_status) then 'customer' else n.target_status end,
               device_id = coalesce(n.device_id, o.device_id), time_zone = coalesce(n.time_zone, o.time_zone),
               attributes = o.attributes || n.attributes, updated_at = clock_timestamp(),
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

    -- Enrollments of both in one sequence.
    select coalesce(jsonb_agg(jsonb_build_object('sequence', s.name, 'old', o.id, 'new', n.id) order by s.name), '[]') into pairs
      from sequence_contacts o
      join sequence_contacts n on n.sequence_id = o.sequence_id and n.phone = p_new
      join sequences s on s.id = o.sequence_id
     where o.phone = p_old;
    update broadcast_messages m
       set status = 'cancelled', slot_at = null, updated_at = clock_timestamp(),
           reason = 'its recipient has the phone ' || p_new || ' now, which is in the sequence too'
      from jsonb_array_elements(pairs) pair
     where m.sequence_contact_id = (pair ->> 'old')::bigint and is_waiting(m.status);
    update sequence_contacts c
       set status = 'stopped', reason = 'its owner has the phone ' || p_new || ' now, which is in the sequence too',
           next_step_id = null, next_due_at = null, ended_at = clock_timestamp(), plan_changed_at = clock_timestamp()
      from jsonb_array_elements(pairs) pair
     where c.id = (pair ->> 'old')::bigint and c.status = 'active';

    -- The others go on under the new phone.
    update sequence_contacts c
       set phone = p_new, key_phone = coalesce(c.key_phone, p_old)
     where c.phone = p_old
       and not exists (select from sequence_contacts n where n.sequence_id = c.sequence_id and n.phone = p_new);
    get diagnostics contacts = row_count;
    update broadcast_messages m
       set recipient_phone = p_new, key_phone = case when m.campaign_id is not null then coalesce(m.key_phone, p_old) end
     where m.recipient_phone = p_old
       and not exists (select from broadcast_messages n
                        where n.recipient_phone = p_new
                          and (n.campaign_id = m.campaign_id or n.sequence_stepid = m.sequence_stepid))
       and not exists (select from jsonb_array_elements(pairs) pair where m.sequence_contact_id = (pair ->> 'old')::bigint);
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

-- Stores where a contact stands {timeline, next_step_id, next_due_at, plan_revision, left_out, gone}. A contact that has
-- left its sequence gets no next step, whatever an attempt that was under way has found. left_out: the steps {step_id,
-- message_id} that an edit put before a step that the contact has had; each gets a row in the ledger that says so.
-- gone: the contact is at the step now that a reply has sent it to.
create function move_contact(p_contact bigint, p_to jsonb) returns void
language plpgsql as $$
declare
    gone boolean := coalesce((p_to ->> 'gone')::boolean, false);
begin
    if p_to -> 'left_out' <> '[]' then
        insert into broadcast_messages as m (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id,
                                             due_at, status, reason)
        select (l ->> 'message_id')::uuid, (l ->> 'step_id')::bigint, c.id, c.lead_id, c.phone, c.device_id,
               coalesce(c.next_due_at, clock_timestamp()), 'cancelled',
               'left out: an edit put the step before one that the contact had had'
          from sequence_contacts c, jsonb_array_elements(p_to -> 'left_out') l
         where c.id = p_contact and c.status = 'active'
            on conflict (id) do update set status = excluded.status, reason = excluded.reason, slot_at = null,
                                           updated_at = clock_timestamp()
                    where is_waiting(m.status) and m.resends = 0;
    end if;
    update sequence_contacts
       set timeline = p_to -> 'timeline',
           next_step_id = case when status = 'active' then (p_to ->> 'next_step_id')::bigint end,
           next_due_at = case when status = 'active' then (p_to ->> 'next_due_at')::timestamptz end,
           plan_revision = (p_to ->> 'plan_revision')::integer,
           go_step_id = case when not gone then go_step_id end,
           -- The new position follows an older plan than the stored one, or another zone than is known now, or a reply came:
           -- the sequence was edited, the zone corrected, or the person answered, while the message was sent.
           plan_changed_at = case when status <> 'active' then plan_changed_at
                                  when (go_step_id is not null and not gone)
                                       or plan_revision > (p_to ->> 'plan_revision')::integer
                                       or p_to #>> '{timeline,zone}' is distinct from
                                          (select coalesce(l.time_zone, s.time_zone) from leads l, sequences s
                                            where l.id = sequence_contacts.lead_id and s.id = sequence_contacts.sequence_id)
                                  then coalesce(plan_changed_at, clock_timestamp()) end
     where id = p_contact;
    -- The contact may have replied while the message before was being sent. Whoever records a reply locks the contact first, so
    -- either that transaction sees the new position, or this statement sees the reply.
    if p_to #>> '{timeline,replied_at}' is null
       and exists (select from sequence_steps where id = (p_to ->> 'next_step_id')::bigint and wait_for is not null) then
        update sequence_contacts c
           set plan_changed_at = clock_timestamp()
         where c.id = p_contact and c.status = 'active' and c.plan_changed_at is null and first_reply(c) is not null;
    end if;
end $$;

-- Records the outcome of an attempt. Answers the message's status and reason; null if this attempt's outcome does not
-- count any more, because another attempt holds the message or it waits to be sent again. A status that a receipt has
-- set before stays, as receipts know more. A success is never lost: from an attempt that does not hold the message any
-- more, it counts like a receipt. p_contact: the contact's new position for move_contact, or null.
create function settle_attempt(
    p_message uuid, p_token text, p_status text, p_at timestamptz, p_gateway_message_id text, p_reason text,
    p_content text, p_image_url text, p_contact jsonb
) returns jsonb
language plpgsql as $$
declare
    m             broadcast_messages;
    status_before text;
    gateway_name  text;
    freed         boolean;  -- it surely did not go out: it gives its place in the daily limit back
begin
    select * into strict m from broadcast_messages where id = p_message for no key update;
    if m.processing_worker_id is distinct from p_token then
        if p_status = 'sent' then
            perform record_receipt((select gateway from devices where id = m.device_id), p_message, p_gateway_message_id,
                                   'sent', p_at, null);
            update broadcast_messages set content = p_content, image_url = p_image_url
             where id = p_message and status = 'sent' and content is null;
        end if;
        return null;
    elsif m.answered_at is not null then
        -- The outcome was recorded before, and the answer was lost.
        return case when m.status in ('sent', 'failed', 'unconfirmed')
                    then jsonb_build_object('status', m.status, 'reason', m.reason) end;
    elsif m.status not in ('processing', 'unconfirmed', 'sent', 'failed') and p_status <> 'sent' then
        return null;
    end if;
    status_before := m.status;
    freed := p_status = 'failed' and status_before in ('processing', 'unconfirmed');
    update broadcast_messages
       set status = case when status_before in ('sent', 'failed') then status_before else p_status end,
           reason = case when status_before in ('sent', 'failed') then reason else p_reason end,
           answered_at = p_at,
           accepted_at = case when p_status = 'sent' then p_at else accepted_at end,
           sent_at = case when status_before = 'failed' then null when p_status = 'sent' then p_at else sent_at end,
           earlier_gateway_ids = case when gateway_message_id <> p_gateway_message_id
                                      then earlier_gateway_ids || gateway_message_id else earlier_gateway_ids end,
           gateway_message_id = coalesce(p_gateway_message_id, gateway_message_id),
           content = coalesce(p_content, content), image_url = coalesce(p_image_url, image_url),
           place_day = case when freed then null else place_day end,
           slot_at = case when is_waiting(status_before) then null else slot_at end,
           updated_at = p_at
     where id = p_message
    returning status, reason into m.status, m.reason;
    -- A suspended attempt may settle while a later attempt of the device is under way: then the later one counts.
    update devices
       set in_flight_until = case when last_send_at <= m.claimed_at then '-infinity' else in_flight_until end,
           last_send_at = greatest(last_send_at, p_at),
           limit_used = limit_used - case when freed and limit_day = m.place_day then 1 else 0 end,
           faults = case when p_status = 'sent' then 0 else faults end,
           refusals = case when p_status = 'sent' then 0 else refusals end
     where id = m.device_id
       and (min_delay > 0 or in_flight_until > '-infinity' or (faults + refusals > 0 and p_status = 'sent')
            or (freed and limit_day = m.place_day));
    if p_contact is not null then
        -- Not a second time: a receipt may have settled the message, and the contact was moved on then.
        perform move_contact(c.id, p_contact) from sequence_contacts c, sequence_steps t
          where c.id = m.sequence_contact_id and t.id = m.sequence_stepid and not c.timeline -> 'done' ? t.key;
    end if;
    if p_gateway_message_id is not null then
        -- A transaction with a receipt of this ID waits for this lock, and then finds the message. If it came first,
        -- this one finds the receipt that it has kept.
        select d.gateway into gateway_name from devices d where d.id = m.device_id;
        perform pg_advisory_xact_lock(receipt_lock(gateway_name, p_gateway_message_id));
        if exists (select from early_receipts where gateway = gateway_name and gateway_message_id = p_gateway_message_id) then
            perform apply_early_receipts(p_message);
            select status, reason into m.status, m.reason from broadcast_messages where id = p_message;
        end if;
    end if;
    return jsonb_build_object('status', m.status, 'reason', m.reason);
exception when unique_violation then
    return null;  -- the same step went to this phone through another device in the meantime
end $$;

-- Makes settled messages due again, from the first attempt on; answers how many. Attempts that were made before cannot
-- settle them any more. p_by: an 'operator' decided so (broadcast_messages.resends), or failed messages get a 'retry'
-- (broadcast_messages.retried). The caller has locked the messages.
create function send_again(p_messages uuid[], p_by text, p_now timestamptz) returns bigint
language plpgsql as $$
declare
    messages bigint;
begin
    update broadcast_messages
       set status = 'pending', attempts = 0, slot_at = null, reason = null, waits_for = null,
           retried = retried + case p_by when 'retry' then 1 else 0 end,
           resends = resends + case p_by when 'operator' then 1 else 0 end,
           earlier_gateway_ids = array_remove(earlier_gateway_ids || gateway_message_id, null), gateway_message_id = null,
           processing_worker_id = null, answered_at = null, accepted_at = null, place_day = null,
           updated_at = coalesce(p_now, clock_timestamp())
     where id = any (p_messages);
    get diagnostics messages = row_count;
    return messages;
end $$;

-- Lets a campaign go on after some of its messages were made due again. Its row changes even if it is running, so that
-- its workflows read the row again: they have passed these messages.
create function reopen_campaign(p_campaign bigint) returns void
language sql as $$
    update campaigns
       set status = case when status = 'finished' then 'running' else status end, ended_at = null,
           updated_at = clock_timestamp()
     where id = p_campaign
$$;

-- This many refusals in a row that are alike and whose meaning is not known park a device. It is more than for faults,
-- as a few recipients in a row may be the cause.
create function refusals_in_a_row() returns integer
language sql immutable as $$ select 5 $$;

-- Records that the gateway will never take a message. p_sign: what such answers have in common, if their meaning is not
-- known; null if the answer is about this recipient alone. Several alike in a row park the device, as then the device
-- is the likely cause; from then on, a message with the same answer is given back, and the answer's status is 'queued'.
-- Answers like settle_attempt.
create function refuse_attempt(
    p_message uuid, p_token text, p_at timestamptz, p_reason text, p_content text, p_image_url text, p_contact jsonb,
    p_sign text
) returns jsonb
language plpgsql as $$
declare
    m       broadcast_messages;
    d       devices;
    alike   integer;  -- how many in a row, including this one
    park_at constant integer := refusals_in_a_row();
begin
    select * into strict m from broadcast_messages where id = p_message for no key update;
    if m.status = 'processing' and m.processing_worker_id = p_token and m.answered_at is null then
        select * into strict d from devices where id = m.device_id for no key update;
        alike := case when p_sign is null then 0 when d.refusal = p_sign then d.refusals + 1 else 1 end;
        if d.refusals <> alike or d.refusal is distinct from p_sign then
            update devices set refusal = p_sign, refusals = alike where id = d.id;
        end if;
        if alike >= park_at then
            update devices
               set status = 'paused',
                   status_reason = 'parked after ' || park_at || ' answers in a row that were all alike: ' || p_reason
             where id = d.id and status = 'active';
            perform release_attempt(p_message, p_token, p_reason, null);
            return jsonb_build_object('status', 'queued', 'reason', p_reason);
        end if;
    end if;
    return settle_attempt(p_message, p_token, 'failed', p_at, null, p_reason, p_content, p_image_url, p_contact);
end $$;

-- Gives back a claim after an attempt that surely did not send, and its place in the daily limit. p_wait: the gateway
-- asked the device to wait until then.
create function release_attempt(p_message uuid, p_token text, p_reason text, p_wait timestamptz) returns boolean
language plpgsql as $$
declare
    m     broadcast_messages;
    place date;  -- the day in whose limit it had a place
begin
    select place_day into place from broadcast_messages where id = p_message for no key update;
    update broadcast_messages
       set status = 'queued', slot_at = null, reason = p_reason,
           place_day = case when parts_sent > 0 then place_day end,
           answered_at = clock_timestamp(), updated_at = clock_timestamp()
     where id = p_message and status = 'processing' and processing_worker_id = p_token and answered_at is null
    returning * into m;
    if not found then
        return false;
    end if;
    update devices
       set in_flight_until = case when last_send_at <= m.claimed_at then '-infinity' else in_flight_until end,
           limit_used = limit_used - case when m.place_day is null and limit_day = place then 1 else 0 end,
           waits_reason = case when p_wait > waits_until then p_reason else waits_reason end,
           waits_until = greatest(waits_until, coalesce(p_wait, '-infinity'))
     where id = m.device_id;
    return true;
end $$;

-- Gives back a message whose text the gateway has refused as outside the service window, so that the next claim decides
-- anew. False if it was not sent as text by the window, or the attempt does not hold it any more.
create function refuse_window(p_message uuid, p_token text, p_at timestamptz, p_reason text) returns boolean
language plpgsql as $$
declare
    m broadcast_messages;
begin
    select b.* into m from broadcast_messages b join devices d on d.id = b.device_id
     where b.id = p_message and d.service_window for no key update of b;
    if not found or form_of(m, m.claimed_at) <> 'text' or not release_attempt(p_message, p_token, p_reason, null) then
        return false;
    end if;
    update broadcast_messages set window_refused_at = p_at where id = p_message;
    return true;
end $$;

-- Ends an attempt that may have reached the gateway and does not know: the message stays in 'processing'. The next
-- attempt takes it over when the claim has run out; or at once (p_retry_now), for gateways that honour an idempotency
-- key.
create function doubt_message(
    p_message uuid, p_token text, p_reason text, p_content text, p_image_url text, p_retry_now boolean
) returns boolean
language plpgsql as $$
begin
    update broadcast_messages
       set claimed_at = case when p_retry_now then '-infinity' else claimed_at end, reason = p_reason,
           content = coalesce(p_content, content), image_url = coalesce(p_image_url, image_url),
           answered_at = clock_timestamp(), updated_at = clock_timestamp()
     where id = p_message and status = 'processing' and processing_worker_id = p_token and answered_at is null;
    return found;
end $$;

-- Notes how many parts of a message have gone out, and that the attempt begins the next part within p_grace. False if
-- the attempt does not hold the message any more.
create function note_parts(p_message uuid, p_token text, p_parts integer, p_grace interval, p_now timestamptz)
returns boolean
language plpgsql as $$
declare
    m broadcast_messages;
    moment timestamptz := coalesce(p_now, clock_timestamp());
begin
    update broadcast_messages set parts_sent = p_parts, updated_at = moment
     where id = p_message and status = 'processing' and processing_worker_id = p_token
    returning * into m;
    if not found then
        return false;
    end if;
    update devices set last_send_at = greatest(last_send_at, moment), in_flight_until = moment + p_grace
     where id = m.device_id and in_flight_until > '-infinity';
    return true;
end $$;

-- Counts a failure that was the device's own. Failures of attempts that were claimed before the last failure was known
-- count as the same one. Answers until when the device waits; null if it is parked now, by the p_limit-th failure in a
-- row, or is paused.
create function device_fault(
    p_device text, p_claimed timestamptz, p_reason text, p_limit integer, p_wait interval, p_now timestamptz
) returns timestamptz
language plpgsql as $$
declare
    d      devices;
    moment timestamptz;
begin
    select * into strict d from devices where id = p_device for no key update;
    moment := coalesce(p_now, clock_timestamp());
    if d.status <> 'active' then
        return null;
    elsif d.faults > 0 and d.fault_at >= p_claimed then
        return greatest(d.waits_until, moment);
    elsif d.faults + 1 >= p_limit then
        update devices
           set status = 'paused', faults = 0, fault_at = moment,
               status_reason = 'parked after ' || p_limit || ' failures in a row: ' || p_reason
         where id = p_device;
        return null;
    end if;
    update devices
       set faults = faults + 1, fault_at = moment,
           waits_until = greatest(waits_until, moment + p_wait * power(3, faults)), waits_reason = p_reason
     where id = p_device
    returning waits_until into moment;
    return moment;
end $$;

-- Pauses the campaign or sequence of a message, as the error would meet every recipient. Not if it was edited or
-- resumed since the claim, which may have mended it. A message that is of neither fails, as nobody can mend it.
create function hold_contents(p_message uuid, p_claimed timestamptz, p_reason text) returns void
language plpgsql as $$
declare
    m broadcast_messages;
begin
    select * into strict m from broadcast_messages where id = p_message;
    if m.purpose is not null then
        perform close_message(p_message, 'failed', p_reason) where is_waiting(m.status);
    elsif m.campaign_id is not null then
        update campaigns set status = 'paused', reason = p_reason, updated_at = clock_timestamp()
         where id = m.campaign_id and status = 'running' and updated_at <= p_claimed;
    else
        update sequences s set status = 'paused', status_reason = p_reason, updated_at = clock_timestamp()
          from sequence_contacts c
         where c.id = m.sequence_contact_id and s.id = c.sequence_id and s.status = 'active'
           and s.updated_at <= p_claimed;
    end if;
end $$;

-- The advisory lock of a transaction that brings a receipt, and of one that learns the gateway's ID of a message, so
-- that they do not miss each other.
create function receipt_lock(p_gateway text, p_gateway_id text) returns bigint
language sql immutable as $$
    select hashtextextended(p_gateway || ' ' || p_gateway_id, 0)
$$;

-- Counts messages in a row that a gateway accepted and then could not deliver. p_sign: what these failures have in
-- common; null if the recipient was the cause, which ends the count, as a message that arrives does (record_receipt).
-- Several alike in a row park the device.
create function note_late_refusal(p_device text, p_sign text, p_reason text) returns void
language plpgsql as $$
declare
    d       devices;
    alike   integer;  -- how many in a row, including this one
    park_at constant integer := refusals_in_a_row();
begin
    select * into strict d from devices where id = p_device for no key update;
    alike := case when p_sign is null then 0 when d.late_refusal = p_sign then d.late_refusals + 1 else 1 end;
    update devices set late_refusal = p_sign, late_refusals = alike
     where id = d.id and (late_refusals <> alike or late_refusal is distinct from p_sign);
    if alike >= park_at then
        update devices
           set status = 'paused',
               status_reason = 'parked after ' || park_at || ' accepted messages in a row that failed alike: ' || p_reason
         where id = d.id and status = 'active';
    end if;
end $$;

-- Keeps a receipt whose message is not known yet: for an hour, and about 20,000 of them, since a gateway may report
-- messages that are not ours. New receipts remove those that are too old.
create function keep_receipt(
    p_gateway text, p_gateway_id text, p_status text, p_at timestamptz, p_reason text, p_sign text, p_wrong_content boolean
) returns void
language plpgsql as $$
declare
    latest bigint;
begin
    insert into early_receipts (gateway, gateway_message_id, status, happened_at, reason, sign, wrong_content)
    values (p_gateway, p_gateway_id, p_status, p_at, p_reason, p_sign, p_wrong_content) returning id into latest;
    if latest % 100 = 0 then  -- not at every receipt, as this may read all rows
        delete from early_receipts
         where id in (select id from early_receipts
                       where id <= latest - 20000 or received_at < clock_timestamp() - interval '1 hour'
                       order by id limit 1000 for update skip locked);
    end if;
end $$;

-- Records the receipts of a message that came before its gateway's ID was known.
create function apply_early_receipts(p_message uuid) returns void
language plpgsql as $$
declare
    r early_receipts;
begin
    for r in with taken as (
        delete from early_receipts e using broadcast_messages m, devices d
         where m.id = p_message and d.id = m.device_id
           and e.gateway = d.gateway and e.gateway_message_id = m.gateway_message_id
        returning e.*
    ) select * from taken order by id loop
        perform record_receipt(r.gateway, p_message, r.gateway_message_id, r.status, r.happened_at, r.reason,
                               r.sign, r.wrong_content);
    end loop;
end $$;

-- Locks and answers the message that a receipt names: by our ID, or else the latest with the gateway's ID. All null if
-- there is none.
create function message_of_receipt(p_gateway text, p_message uuid, p_gateway_id text) returns broadcast_messages
language plpgsql as $$
declare
    m broadcast_messages;
begin
    select b.* into m from broadcast_messages b join devices d on d.id = b.device_id
     where b.id = p_message and d.gateway = p_gateway for no key update of b;
    if not found then
        select b.* into m from broadcast_messages b join devices d on d.id = b.device_id
         where b.gateway_message_id = p_gateway_id and d.gateway = p_gateway
         order by b.created_at desc limit 1 for no key update of b;
    end if;
    return m;
end $$;

-- Records that a gateway could not deliver the message m after all; answers whether that was news.
create function record_late_failure(
    m broadcast_messages, p_gateway_id text, p_reason text, p_sign text, p_wrong_content boolean
) returns boolean
language plpgsql as $$
begin
    if m.status not in ('sent', 'unconfirmed', 'processing', 'failed') or m.delivered_at is not null then
        return false;
    end if;
    update broadcast_messages
       set status = 'failed', sent_at = null, reason = case when status = 'failed' then reason
                                                            else coalesce(p_reason, 'the gateway could not deliver it') end,
           gateway_message_id = coalesce(gateway_message_id, p_gateway_id), updated_at = clock_timestamp()
     where id = m.id and (status <> 'failed' or gateway_message_id is null);
    if m.status = 'failed' then
        return false;
    elsif p_wrong_content then
        perform hold_contents(m.id, m.claimed_at, p_reason);
    else
        perform note_late_refusal(m.device_id, p_sign, p_reason);
    end if;
    return true;
end $$;

-- Records a gateway's receipt of a message, named by our ID or else by the gateway's; answers whether that was news.
-- The result is the same in whatever order, and however often, receipts and the answer come: read and delivered outrank
-- failed, and failed outranks sent (the table in docs/design.md). A message that was sent again has had several IDs at
-- the gateway. A receipt of an earlier send says nothing about the present one, unless the earlier one was delivered.
create function record_receipt(
    p_gateway text, p_message uuid, p_gateway_id text, p_status text, p_at timestamptz, p_reason text,
    p_sign text default null, p_wrong_content boolean default false
) returns boolean
language plpgsql as $$
declare
    m          broadcast_messages;
    of_earlier boolean;      -- it is about an earlier send
    of_present boolean;      -- it is surely about the present send
    accepted   timestamptz;
    delivered  timestamptz;
    seen       timestamptz;
begin
    m := message_of_receipt(p_gateway, p_message, p_gateway_id);
    if m.id is null and p_message is null and p_gateway_id is not null then
        -- A transaction that learns this ID later finds the receipt kept here; if it came first, this one finds the
        -- message.
        perform pg_advisory_xact_lock(receipt_lock(p_gateway, p_gateway_id));
        m := message_of_receipt(p_gateway, null, p_gateway_id);
        if m.id is null then
            perform keep_receipt(p_gateway, p_gateway_id, p_status, p_at, p_reason, p_sign, p_wrong_content);
        end if;
    end if;
    if m.id is null then
        return false;
    end if;
    of_earlier := coalesce(p_gateway_id = any (m.earlier_gateway_ids) or m.gateway_message_id <> p_gateway_id, false);
    -- An unknown ID belongs to the present send if the IDs of all earlier sends are known.
    of_present := case when p_gateway_id is null then m.retried + m.resends = 0
                       when m.gateway_message_id is not null then m.gateway_message_id = p_gateway_id
                       else not of_earlier and cardinality(m.earlier_gateway_ids) >= m.retried + m.resends end;
    if p_status = 'failed' then
        if of_present then
            return record_late_failure(m, p_gateway_id, p_reason, p_sign, p_wrong_content);
        elsif m.status = 'processing' and not of_earlier and p_gateway_id is not null then
            -- The gateway's answer will tell which send it belongs to.
            perform keep_receipt(p_gateway, p_gateway_id, p_status, p_at, p_reason, p_sign, p_wrong_content);
        end if;
        return false;
    elsif p_status = 'sent' and of_earlier then
        return false;
    end if;

    -- The answer itself knows best when the message was accepted.
    accepted := case when m.accepted_at = m.answered_at then m.accepted_at
                     else least(coalesce(m.accepted_at, m.sent_at), p_at) end;
    if p_status = 'sent' and m.status = 'failed' and m.gateway_message_id = p_gateway_id then
        update broadcast_messages set accepted_at = accepted where id = m.id and accepted_at is distinct from accepted;
        return false;
    end if;
    delivered := case when p_status = 'sent' then m.delivered_at else least(m.delivered_at, p_at) end;
    seen := case when p_status = 'read' then least(m.read_at, p_at) else m.read_at end;
    if m.status = 'sent' and (accepted, delivered, seen) is not distinct from (m.sent_at, m.delivered_at, m.read_at)
       and (m.gateway_message_id is not null or p_gateway_id is null) then
        return false;
    end if;
    update broadcast_messages
       set status = 'sent', accepted_at = accepted, sent_at = accepted, delivered_at = delivered, read_at = seen,
           slot_at = null, reason = null, gateway_message_id = coalesce(gateway_message_id, p_gateway_id),
           updated_at = clock_timestamp()
     where id = m.id;
    if p_status <> 'sent' then
        update devices set late_refusals = 0 where id = m.device_id and late_refusals > 0;
    end if;
    if m.gateway_message_id is null and p_gateway_id is not null then
        perform apply_early_receipts(m.id);
    end if;
    return true;
exception when unique_violation then
    return false;  -- the same step went to this phone through another device in the meantime
end $$;

-- Records the receipts of one request, each in a transaction of its own as if it had come alone, but without a round
-- trip for each. Only the last commit waits for the disk; after it, all of them are on the disk. news: how many said
-- something new. Fails at the first receipt that the database refuses; those before it stay.
create procedure record_receipts(
    p_gateway text, p_messages uuid[], p_gateway_ids text[], p_statuses text[], p_ats timestamptz[], p_reasons text[],
    p_signs text[], p_wrong_contents boolean[], inout news integer
)
language plpgsql as $$
declare
    n integer;
begin
    news := 0;
    for n in 1 .. cardinality(p_statuses) loop
        perform set_config('synchronous_commit', 'off', true);
        if record_receipt(p_gateway, p_messages[n], p_gateway_ids[n], p_statuses[n], p_ats[n], p_reasons[n],
                          p_signs[n], p_wrong_contents[n]) then
            news := news + 1;
        end if;
        commit;
    end loop;
    perform pg_logical_emit_message(true, 'receipts', '');  -- a commit without a write would not wait for the disk
    commit;
end
$$;

-- What a message is called in lists: its step or campaign, or else its purpose.
create function message_name(m broadcast_messages) returns text
language sql stable as $$
    select coalesce((select s.name || ' / ' || t.key from sequence_steps t join sequences s on s.id = t.sequence_id
                      where t.id = m.sequence_stepid),
                    (select 'campaign ' || name from campaigns where id = m.campaign_id), m.purpose)
$$;

-- The messages that an answer counts for, of each campaign and each enrollment at most one: the message that it quotes,
-- else the last one that went to this phone from this device before, within the reply window, which is three days for
-- campaigns. Gateways give the times of answers in whole seconds, so an answer may have been written up to a second later,
-- but before it came here.
create function answered_messages(i inbound_messages) returns setof broadcast_messages
language sql stable rows 1 as $$
    select distinct on (m.campaign_id, m.sequence_contact_id) m.*
      from broadcast_messages m
     where m.recipient_phone = i.phone and m.status = 'sent' and m.purpose is null and is_answer(i)
       and (i.answers = any (m.gateway_message_id || m.earlier_gateway_ids)
            or (m.device_id = i.device_id or device_in_use(m.device_id) = device_in_use(i.device_id))
               and m.sent_at < least(i.sent_at + interval '1 second', i.received_at)
               and i.sent_at < m.sent_at + coalesce(
                       (select s.reply_within from sequence_contacts c join sequences s on s.id = c.sequence_id
                         where c.id = m.sequence_contact_id), interval '3 days'))
     order by m.campaign_id, m.sequence_contact_id,
              coalesce(i.answers = any (m.gateway_message_id || m.earlier_gateway_ids), false) desc, m.sent_at desc
$$;

-- The message that an opt-out counts for: the message that it quotes, else the last one that went to this phone before,
-- whatever sent it and however long ago.
create function message_before(i inbound_messages) returns setof broadcast_messages
language sql stable rows 1 as $$
    select m.*
      from broadcast_messages m
     where m.recipient_phone = i.phone and m.status = 'sent' and m.purpose is null
       and (i.answers = any (m.gateway_message_id || m.earlier_gateway_ids)
            or m.sent_at < least(i.sent_at + interval '1 second', i.received_at))
     order by coalesce(i.answers = any (m.gateway_message_id || m.earlier_gateway_ids), false) desc, m.sent_at desc
     limit 1
$$;

-- migrate:down

drop function message_before, answered_messages, message_name;
drop procedure record_receipts;
drop function record_receipt, record_late_failure, message_of_receipt, apply_early_receipts, keep_receipt, note_late_refusal,
    receipt_lock, hold_contents, device_fault, note_parts, doubt_message, refuse_window, release_attempt, refuse_attempt,
    refusals_in_a_row, reopen_campaign, send_again, settle_attempt, move_contact, move_phone, replace_device, move_leads, move_messages,
    audience_after_move, claim_step_message,
    create_step_message, claim_stored_message, is_abandoned, claim_life, claim_message, reserve_slot, postpone,
    hand_over, move_message, take_turn, next_turn, earliest_send, hold_message, close_message, message_contents,
    hold_of, recipient_opening, ending_of, expiry_of, failed_condition, expects_reply, first_reply, last_sent, replies_of,
    is_answer, folded, unwanted, lacks_consent, category_of, opted_out_of, campaign_audience, hold_phone, phone_lock, former_phones, present_phone,
    only_device, audience_lock,
    pause_of, awaits_window, outside_window, form_of, window_until, inbound_lock,
    device_in_use, campaign_message_id, consent_after, lead_as_json, next_opening;
drop type device_turn;
