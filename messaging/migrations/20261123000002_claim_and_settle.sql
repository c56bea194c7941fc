-- The path of a send through the ledger: one call to claim, one to settle. Being functions, each is one round trip
-- and one transaction, and the rules of pace stand in one place for sequences and campaigns alike.
-- Lock order everywhere: message, then device, then enrollment.

-- migrate:up

alter table devices add column blocked_until timestamptz not null default '-infinity';  -- the gateway asked to wait

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
    -- Over midnight, e.g. 20:00 to 02:00.
    if local_time >= p_opens or local_time < p_closes then
        return p_moment;
    end if;
    return (today + p_opens) at time zone p_zone;
end $$;

-- Ends a message that no attempt is sending.
create function close_message(p_message uuid, p_status text, p_reason text) returns jsonb
language plpgsql as $$
begin
    update broadcast_messages
       set status = p_status, reason = p_reason, slot_at = null, updated_at = clock_timestamp()
     where id = p_message;
    return jsonb_build_object('outcome', 'settled', 'status', p_status, 'reason', p_reason);
end $$;

-- A lead as messaging.models.Lead reads it.
create function lead_as_json(l leads) returns jsonb
language sql stable as $$
    select jsonb_build_object('phone', l.phone, 'name', l.name, 'niches', l.niches, 'triggers', l.triggers,
                              'target_status', l.target_status, 'device_id', l.device_id, 'time_zone', l.time_zone,
                              'attributes', l.attributes)
$$;

-- What holds a message up until somebody resumes it: the words for people, 'cancelled' where nobody wants it any more,
-- null where nothing does.
create function hold_of(m broadcast_messages) returns text
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

-- Gives the message p_message to the attempt p_token, or says why not. Answers an object whose "outcome" is
--   settled    it has a final status already (status, reason, sent_at)
--   held       until somebody resumes what is paused (reason)
--   deferred   until a moment (until, now, reason); a slot on the device is reserved, the message queued
--   claimed    go ahead (device, gateway, options, hours, attempts, now, due_at)
--   taken_over as claimed, but an earlier attempt may have reached the gateway with it (must_not_send: and nobody
--              may want it any more)
-- p_lifetime: how long after its claim an attempt may still be at the gateway.
-- p_grace: how long after its claim an attempt may begin its call to the gateway.
-- p_now: the moment, null for the database's own clock.
create function claim_message(
    p_message uuid, p_token text, p_lifetime interval, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    m         broadcast_messages;
    d         devices;
    moment    timestamptz;
    doubt     boolean;             -- an earlier attempt may have reached the gateway
    opted_out boolean;
    k         record;              -- the campaign's own pace, if it is a campaign's: the slower of the two holds
    least_delay double precision;  -- seconds
    most_delay  double precision;
    paced     boolean;
    hold      text;
    earliest  timestamptz;
    why       text := 'waits for its slot';
    ready_at  timestamptz;
    my_slot   timestamptz;
    pace      interval;
    stride    interval;
    my_turn   boolean;
begin
    select * into strict m from broadcast_messages where id = p_message for no key update;
    moment := coalesce(p_now, clock_timestamp());
    if m.status in ('sent', 'failed', 'unconfirmed', 'suppressed', 'cancelled') then
        return jsonb_build_object('outcome', 'settled', 'status', m.status, 'reason', m.reason, 'sent_at', m.sent_at);
    end if;

    doubt := m.status = 'processing';
    if doubt and m.claimed_at + p_lifetime > moment then
        return jsonb_build_object('outcome', 'deferred', 'until', m.claimed_at + p_lifetime, 'now', moment,
                                  'reason', 'an earlier attempt may still be sending it');
    end if;
    opted_out := exists (select from suppressions where phone = m.recipient_phone);
    if opted_out and not doubt then
        return close_message(p_message, 'suppressed', 'the recipient opted out');
    end if;

    select * into strict d from devices where id = m.device_id;
    select min_delay, max_delay into k from campaigns where id = m.campaign_id;
    least_delay := greatest(d.min_delay, k.min_delay);
    most_delay := greatest(d.max_delay, k.max_delay);
    paced := most_delay > 0 or d.daily_limit is not null;
    if paced then
        -- Not 'for update': a new message's foreign key holds a share of the device's key, and two such would deadlock.
        select * into strict d from devices where id = m.device_id for no key update;
        moment := coalesce(p_now, clock_timestamp());  -- waiting for the lock took its time
    end if;

    hold := hold_of(m);
    if hold is not null and hold <> 'cancelled' and not opted_out then
        -- Whoever ends the hold waits for these locks, and then finds us among those to be woken; or we have waited for
        -- him, and look again.
        perform from devices where id = m.device_id for share;
        perform from campaigns where id = m.campaign_id for share;
        perform from sequences s join sequence_contacts c on c.sequence_id = s.id
          where c.id = m.sequence_contact_id for share of s;
        hold := hold_of(m);
        if hold is null then
            return jsonb_build_object('outcome', 'deferred', 'until', moment, 'now', moment, 'reason', 'was resumed');
        elsif hold <> 'cancelled' then
            update broadcast_messages set reason = hold, updated_at = moment
             where id = p_message and reason is distinct from hold;
            return jsonb_build_object('outcome', 'held', 'reason', hold);
        end if;
    end if;
    if hold = 'cancelled' and not doubt then
        return close_message(p_message, 'cancelled', 'the enrollment or campaign had ended');
    end if;

    -- From when on the device may send at all.
    earliest := moment;
    if d.blocked_until > earliest then
        earliest := d.blocked_until;
        why := 'the gateway asked device ' || d.id || ' to wait';
    end if;
    if d.daily_limit is not null and d.limit_used >= d.daily_limit
       and d.limit_day >= (earliest at time zone d.time_zone)::date then
        earliest := (d.limit_day + 1)::timestamp at time zone d.time_zone;
        why := 'device ' || d.id || ' has sent its ' || d.daily_limit || ' of the day';
    end if;
    if next_opening(earliest, d.opens_at, d.closes_at, d.time_zone) > earliest then
        earliest := next_opening(earliest, d.opens_at, d.closes_at, d.time_zone);
        why := 'device ' || d.id || ' sends from ' || to_char(d.opens_at, 'HH24:MI') || ' to '
               || to_char(d.closes_at, 'HH24:MI') || ' ' || d.time_zone;
    end if;

    -- The pace is kept against what was really sent, not against what was planned. While an attempt may be on its way
    -- to the gateway, its arrival is unknown: wait for its settling, or for the last moment at which it may arrive.
    pace := make_interval(secs => least_delay);
    ready_at := greatest(earliest, d.last_send_at + pace,
                         case when least_delay > 0 and d.in_flight_until > moment - pace
                              then d.in_flight_until + pace end);
    -- At least a tenth of a second over the minimum: the small delays of sends must not add up to missed slots.
    stride := make_interval(secs => greatest(least_delay + random() * (most_delay - least_delay),
                                             case when least_delay > 0 then least_delay + 0.1 else 0 end));
    my_turn := d.next_slot_at <= moment or coalesce(m.slot_at <= moment, false);

    if my_turn and ready_at <= moment then
        if paced then
            update devices
               set next_slot_at = greatest(next_slot_at, moment + stride),
                   last_send_at = moment,
                   in_flight_until = moment + p_grace,
                   limit_used = case when limit_day = (moment at time zone time_zone)::date
                                     then limit_used + 1 else 1 end,
                   limit_day = (moment at time zone time_zone)::date
             where id = d.id;
        end if;
        update broadcast_messages
           set status = 'processing', processing_worker_id = p_token, claimed_at = moment,
               attempts = attempts + 1, reason = null, updated_at = moment
         where id = p_message;
        return jsonb_build_object('outcome', case when doubt then 'taken_over' else 'claimed' end,
                                  'device', d.id, 'gateway', d.gateway, 'options', d.gateway_options,
                                  'attempts', m.attempts + 1, 'now', moment, 'due_at', m.due_at,
                                  'must_not_send', opted_out or hold is not null,
                                  'hours', jsonb_build_object('opens_at', d.opens_at, 'closes_at', d.closes_at,
                                                              'time_zone', d.time_zone));
    end if;

    if m.slot_at > moment and m.slot_at >= earliest then
        my_slot := m.slot_at;  -- woken before its slot
    else
        -- A slot missed by little moves a little. One missed by much (an outage, a pause) is no right to send:
        -- it goes to the end of the queue, so that a thousand late messages come one by one.
        my_slot := case when d.next_slot_at <= moment
                          or m.slot_at > moment - pace - interval '2 seconds' then ready_at
                        else greatest(ready_at, d.next_slot_at) end;
        my_slot := next_opening(my_slot, d.opens_at, d.closes_at, d.time_zone);
        update devices set next_slot_at = greatest(next_slot_at, my_slot + stride) where id = d.id;
        update broadcast_messages
           set status = case when doubt then status else 'queued' end, slot_at = my_slot, reason = why,
               updated_at = moment
         where id = p_message;
    end if;
    return jsonb_build_object('outcome', 'deferred', 'until', my_slot, 'now', moment, 'reason', why);
end $$;

-- Creates the ledger's row for one step of one enrollment if there is none, and claims it. Beside claim_message's answers:
--   replanned  the sequence was edited since p_revision
-- To what claim_message answers, it adds where the contact stands, and with a claim, what is to be sent.
create function claim_step(
    p_enrollment bigint, p_step bigint, p_revision integer, p_message uuid,
    p_token text, p_lifetime interval, p_grace interval, p_now timestamptz
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
    if known is null then
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
    answer := claim_message(p_message, p_token, p_lifetime, p_grace, p_now);
    if answer ->> 'outcome' in ('claimed', 'taken_over') then
        answer := answer || (
            select jsonb_build_object(
                'step', st.key, 'template', st.text, 'image_url', st.image_url,
                'lead', lead_as_json(l))
            from sequence_steps st, leads l where st.id = p_step and l.id = c.lead_id);
    end if;
    return answer || jsonb_build_object(
        'enrollment', jsonb_build_object('sequence_id', c.sequence_id, 'plan_revision', present,
                                         'timeline', c.timeline, 'next_step_id', c.next_step_id,
                                         'next_due_at', c.next_due_at));
end $$;

-- Records what came of an attempt, if the row still bears its token; false if it does not.
-- p_contact: where the enrollment stands after it {timeline, next_step_id, next_due_at, plan_revision}, or null.
create function settle_message(
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
    update devices
       set in_flight_until = '-infinity', last_send_at = greatest(last_send_at, p_at)
     where id = m.device_id and (min_delay > 0 or in_flight_until > '-infinity');
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
create function release_message(p_message uuid, p_token text, p_reason text, p_wait timestamptz) returns boolean
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
       set in_flight_until = '-infinity', blocked_until = greatest(blocked_until, coalesce(p_wait, '-infinity'))
     where id = m.device_id;
    return true;
end $$;

-- An attempt that may have reached the gateway ends without knowing: the message stays in 'processing', and the next
-- attempt takes it over at once. Only where the gateway honours an idempotency key.
create function doubt_message(p_message uuid, p_token text, p_reason text) returns boolean
language plpgsql as $$
begin
    update broadcast_messages
       set claimed_at = '-infinity', reason = p_reason, updated_at = clock_timestamp()
     where id = p_message and status = 'processing' and processing_worker_id = p_token;
    return found;
end $$;

-- migrate:down

drop function doubt_message, release_message, settle_message, claim_step, claim_message, close_message, hold_of,
    lead_as_json, next_opening;
alter table devices drop column blocked_until;
