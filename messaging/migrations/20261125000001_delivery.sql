-- Delivery through real gateways: a device's own failures park it, templates stand beside texts, a message may have two
-- parts, and what is unconfirmed can be resolved. The functions claim_step, claim_campaign_message,
-- settle_message and release_message are for workers of the version before; they go with the next one.

-- migrate:up

alter table devices
    add column faults   integer     not null default 0,            -- failures in a row that were the device's own
    add column fault_at timestamptz not null default '-infinity';  -- the last of them

alter table sequences add column status_reason text;               -- why it is paused
alter table sequence_steps add column template jsonb;              -- messaging.file_fields.TemplateFile
alter table campaigns add column template jsonb;

alter table broadcast_messages
    add column parts_sent integer not null default 0,              -- of a message that goes out in parts
    add column resends    integer not null default 0,              -- how often an operator had it sent again
    add column earlier_gateway_ids text[] not null default '{}';   -- the gateway's IDs of it before it was sent again

-- What holds a message up until somebody resumes it: the words for people, 'cancelled' where nobody wants it any more,
-- null where nothing does. What an operator has sent again goes out although its enrollment is over.
create or replace function hold_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce(
        (select case status when 'paused' then 'campaign ' || name || ' is paused' || coalesce(': ' || reason, '')
                            when 'cancelled' then 'cancelled' end
           from campaigns where id = m.campaign_id),
        (select case when c.status <> 'active' and m.resends = 0 then 'cancelled'
                     when s.status = 'paused' then 'sequence ' || s.name || ' is paused' || coalesce(': ' || s.status_reason, '')
                end
           from sequence_contacts c join sequences s on s.id = c.sequence_id where c.id = m.sequence_contact_id),
        (select 'device ' || id || ' is paused' || coalesce(': ' || status_reason, '')
           from devices where id = m.device_id and status <> 'active'))
$$;

-- What an attempt needs to send a message that it has claimed.
create function message_contents(p_message uuid) returns jsonb
language sql stable as $$
    select jsonb_build_object('step', coalesce(st.key, ''), 'template', coalesce(st.text, c.text),
                              'image_url', case when c.id is null then st.image_url else c.image_url end,
                              'prepared', coalesce(st.template, c.template), 'parts_sent', m.parts_sent,
                              'lead', lead_as_json(l))
      from broadcast_messages m
      join leads l on l.id = m.lead_id
      left join sequence_steps st on st.id = m.sequence_stepid
      left join campaigns c on c.id = m.campaign_id
     where m.id = p_message
$$;

-- Claims a message that has its row. To claim_message's answer it adds, with a claim, what is to be sent.
-- p_longer: the lifetime in seconds, by gateway, where it is another than p_lifetime.
create function claim_stored_message(
    p_message uuid, p_token text, p_lifetime interval, p_longer jsonb, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    seconds float8 := (select (p_longer ->> d.gateway)::float8 from broadcast_messages m
                         join devices d on d.id = m.device_id where m.id = p_message);
    answer  jsonb  := claim_message(p_message, p_token, coalesce(make_interval(secs => seconds), p_lifetime),
                                    p_grace, p_now);
begin
    if answer ->> 'outcome' in ('claimed', 'taken_over') then
        answer := answer || message_contents(p_message);
    end if;
    return answer;
end $$;

-- Creates the ledger's row for one step of one enrollment if there is none, and claims it. Beside claim_message's answers:
--   replanned  the sequence was edited since p_revision
-- To what claim_message answers, it adds where the contact stands, and with a claim, what is to be sent.
create function claim_step_message(
    p_enrollment bigint, p_step bigint, p_revision integer, p_message uuid,
    p_token text, p_lifetime interval, p_longer jsonb, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    c       sequence_contacts;
    present integer;
    known   text;
    answer  jsonb;
begin
    select * into strict c from sequence_contacts where id = p_enrollment;
    select revision into strict present from sequences where id = c.sequence_id;
    select status into known from broadcast_messages where id = p_message;
    if (known is null or known in ('pending', 'queued')) and present <> p_revision then
        return jsonb_build_object('outcome', 'replanned');
    end if;
    if exists (select from broadcast_messages where id = p_message and resends > 0) then
        -- The contact is past it, whatever becomes of it now.
        return jsonb_build_object('outcome', 'settled', 'status', 'unconfirmed', 'reason', 'an operator has it sent again');
    end if;
    if known is null then
        -- Before the step, which the insert holds: an edit takes the two in this order.
        perform from sequences where id = c.sequence_id for key share;
        insert into broadcast_messages
               (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at)
        values (p_message, p_step, c.id, c.lead_id, c.phone, c.device_id, c.next_due_at)
        on conflict do nothing;
        -- The insert may have waited for an edit of the sequence, which locks its steps.
        select revision into strict present from sequences where id = c.sequence_id;
        if present <> p_revision then
            delete from broadcast_messages where id = p_message and status = 'pending' and attempts = 0;
            return jsonb_build_object('outcome', 'replanned');
        end if;
        if not exists (select from broadcast_messages where id = p_message) then
            -- The step went to this phone through another device.
            return jsonb_build_object('outcome', 'settled', 'status', 'cancelled',
                                      'reason', 'another device has a message of this step for this phone');
        end if;
    end if;
    answer := claim_stored_message(p_message, p_token, p_lifetime, p_longer, p_grace, p_now);
    return answer || jsonb_build_object(
        'enrollment', jsonb_build_object('sequence_id', c.sequence_id, 'plan_revision', present,
                                         'timeline', c.timeline, 'next_step_id', c.next_step_id,
                                         'next_due_at', c.next_due_at));
end $$;

-- Records what came of an attempt, if the row still bears its token; false if it does not. A message that was sent ends
-- the device's failures in a row.
-- p_contact: where the enrollment stands after it {timeline, next_step_id, next_due_at, plan_revision}, or null.
create function settle_attempt(
    p_message uuid, p_token text, p_status text, p_at timestamptz, p_gateway_message_id text, p_reason text,
    p_content text, p_image_url text, p_contact jsonb
) returns boolean
language plpgsql as $$
declare
    m broadcast_messages;
begin
    update broadcast_messages
       set status = p_status,
           sent_at = case when p_status = 'sent' then p_at end,
           gateway_message_id = p_gateway_message_id, reason = p_reason,
           content = p_content, image_url = p_image_url, updated_at = p_at
     where id = p_message and status = 'processing' and processing_worker_id = p_token
    returning * into m;
    if not found then
        return false;
    end if;
    -- An attempt that was suspended may settle while a later one of the device is on its way: that one counts then.
    update devices
       set in_flight_until = case when last_send_at <= m.claimed_at then '-infinity' else in_flight_until end,
           last_send_at = greatest(last_send_at, p_at),
           faults = case when p_status = 'sent' then 0 else faults end
     where id = m.device_id
       and (min_delay > 0 or in_flight_until > '-infinity' or (faults > 0 and p_status = 'sent'));
    if p_contact is not null then
        update sequence_contacts
           set timeline = p_contact -> 'timeline',
               next_step_id = (p_contact ->> 'next_step_id')::bigint,
               next_due_at = (p_contact ->> 'next_due_at')::timestamptz,
               plan_revision = (p_contact ->> 'plan_revision')::integer
         where id = m.sequence_contact_id;
    end if;
    return true;
end $$;

-- Gives a claim back after an attempt that surely did not send. p_wait: the gateway asked the device to wait until then.
create function release_attempt(p_message uuid, p_token text, p_reason text, p_wait timestamptz) returns boolean
language plpgsql as $$
declare
    m broadcast_messages;
begin
    update broadcast_messages
       set status = 'queued', slot_at = null, reason = p_reason, updated_at = clock_timestamp()
     where id = p_message and status = 'processing' and processing_worker_id = p_token
    returning * into m;
    if not found then
        return false;
    end if;
    update devices
       set in_flight_until = case when last_send_at <= m.claimed_at then '-infinity' else in_flight_until end,
           blocked_until = greatest(blocked_until, coalesce(p_wait, '-infinity'))
     where id = m.device_id;
    return true;
end $$;

-- Notes that so many parts of a message have gone out, and that the attempt goes on with the next one within p_grace.
-- False where the attempt does not hold the message any more.
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

-- Counts a failure that was the device's own. Those of attempts that were claimed before the last one was known are the
-- same failure. Answers until when the device waits; null where it is parked (or paused) now, by the p_limit-th in a row.
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
        return greatest(d.blocked_until, moment);
    elsif d.faults + 1 >= p_limit then
        update devices
           set status = 'paused', faults = 0, fault_at = moment,
               status_reason = 'parked after ' || p_limit || ' failures in a row: ' || p_reason
         where id = p_device;
        return null;
    end if;
    update devices
       set faults = faults + 1, fault_at = moment,
           blocked_until = greatest(blocked_until, moment + p_wait * power(3, faults))
     where id = p_device
    returning blocked_until into moment;
    return moment;
end $$;

-- Holds the campaign or sequence of a message: what is wrong would be wrong for everybody. Not where it was edited or
-- resumed since the claim: that may have mended it.
create function hold_contents(p_message uuid, p_claimed timestamptz, p_reason text) returns void
language plpgsql as $$
declare
    m broadcast_messages;
begin
    select * into strict m from broadcast_messages where id = p_message;
    if m.campaign_id is not null then
        update campaigns set status = 'paused', reason = p_reason, updated_at = clock_timestamp()
         where id = m.campaign_id and status = 'running' and updated_at <= p_claimed;
    else
        update sequences s set status = 'paused', status_reason = p_reason, updated_at = clock_timestamp()
          from sequence_contacts c
         where c.id = m.sequence_contact_id and s.id = c.sequence_id and s.status = 'active'
           and s.updated_at <= p_claimed;
    end if;
end $$;

-- Writes a gateway's receipt of a message, named by its own ID or else by the gateway's; whether that was news. A message
-- that was sent again has had several IDs at the gateway, and what an earlier one met says nothing of the present one,
-- unless it was delivered.
create function record_receipt(
    p_gateway text, p_message uuid, p_gateway_id text, p_status text, p_at timestamptz, p_reason text
) returns boolean
language plpgsql as $$
declare
    m       broadcast_messages;
    again   boolean;
    earlier boolean;  -- of another attempt than the one that counts
    same    boolean;  -- of the very attempt
begin
    select b.* into m from broadcast_messages b join devices d on d.id = b.device_id
     where b.id = p_message and d.gateway = p_gateway for no key update of b;
    if not found then
        select b.* into m from broadcast_messages b join devices d on d.id = b.device_id
         where b.gateway_message_id = p_gateway_id and d.gateway = p_gateway
         order by b.created_at desc limit 1 for no key update of b;
    end if;
    if m.id is null then
        return false;
    end if;
    again := m.retried + m.resends > 0;
    same := coalesce(m.gateway_message_id = p_gateway_id, false);
    earlier := coalesce(p_gateway_id = any (m.earlier_gateway_ids) or m.gateway_message_id <> p_gateway_id, false);
    if p_status = 'failed' then
        if m.status not in ('sent', 'unconfirmed', 'processing') or m.delivered_at is not null
           or earlier or (again and not same) then
            return false;
        end if;
        update broadcast_messages
           set status = 'failed', sent_at = null, reason = coalesce(p_reason, 'the gateway could not deliver it'),
               gateway_message_id = coalesce(gateway_message_id, p_gateway_id), updated_at = clock_timestamp()
         where id = m.id;
        return true;
    elsif p_status = 'sent' and (m.status = 'sent' or earlier or (m.status = 'failed' and same)) then
        return false;
    elsif m.status = 'sent' and (m.read_at is not null or (p_status = 'delivered' and m.delivered_at is not null)) then
        return false;
    end if;
    update broadcast_messages
       set status = 'sent', sent_at = coalesce(sent_at, p_at), slot_at = null, reason = null,
           gateway_message_id = coalesce(gateway_message_id, p_gateway_id),
           delivered_at = case when p_status in ('delivered', 'read') then coalesce(delivered_at, p_at) else delivered_at end,
           read_at = case when p_status = 'read' then p_at else read_at end,
           updated_at = clock_timestamp()
     where id = m.id;
    return true;
exception when unique_violation then
    return false;  -- the same step went to this phone through another device in the meantime
end $$;

-- migrate:down

drop function record_receipt, hold_contents, device_fault, note_parts, release_attempt, settle_attempt, claim_step_message, claim_stored_message,
    message_contents;
create or replace function hold_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce(
        (select case status when 'paused' then 'campaign ' || name || ' is paused' when 'cancelled' then 'cancelled' end
           from campaigns where id = m.campaign_id),
        (select case when c.status <> 'active' then 'cancelled'
                     when s.status = 'paused' then 'sequence ' || s.name || ' is paused' end
           from sequence_contacts c join sequences s on s.id = c.sequence_id where c.id = m.sequence_contact_id),
        (select 'device ' || id || ' is paused' || coalesce(': ' || status_reason, '')
           from devices where id = m.device_id and status <> 'active'))
$$;
alter table broadcast_messages drop column parts_sent, drop column resends, drop column earlier_gateway_ids;
alter table campaigns drop column template;
alter table sequence_steps drop column template;
alter table sequences drop column status_reason;
alter table devices drop column faults, drop column fault_at;
