-- The schema as the migrations make it: tables, constraints, indexes and functions. Nothing reads this file but people,
-- who see here what a change of the schema comes to. Written by 'make schema'; change the migrations, which also say what
-- each table, column and function is for.

SET check_function_bodies = false;

CREATE TYPE public.device_turn AS (
	free_at timestamp with time zone,
	why text,
	ready_at timestamp with time zone,
	gap interval,
	stride interval
);

CREATE FUNCTION public.acts_by_itself() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select coalesce(nullif(current_setting('drumbeat.via', true), ''), 'itself') = 'itself'
$$;

CREATE FUNCTION public.alert_stands(p_kind text, p_subject text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select case p_kind
        when 'device_parked' then exists (select from devices where id = p_subject and status = 'paused'
                                             and status_reason like 'parked after %' and replaced_by is null)
        when 'campaign_held' then exists (select from campaigns where name = p_subject and status in ('paused', 'draft')
                                             and reason is not null)
        when 'sequence_held' then exists (select from sequences where name = p_subject and status = 'paused'
                                             and status_reason is not null)
        when 'message_unconfirmed' then exists (select from broadcast_messages where device_id = p_subject and status = 'unconfirmed'
                                                   and purpose is distinct from 'test')
        when 'message_overdue' then exists (select from broadcast_messages m
                                             where m.device_id = p_subject and m.status in ('pending', 'queued') and is_overdue(m))
        when 'enrollment_refused' then exists (
            select from refused_enrollments r where r.sequence = p_subject and r.refused_at > clock_timestamp() - interval '30 days'
               and not exists (select from sequence_contacts c join sequences s on s.id = c.sequence_id
                                where s.name = r.sequence and c.phone = r.phone))
        -- until another worker, with all its roles, has come in its place
        when 'worker_gone' then exists (
            select from workers w where w.id = p_subject and w.ended_at is null and w.seen_at < clock_timestamp() - interval '10 seconds'
               and not exists (select from workers o where o.task_queue = w.task_queue and o.roles @> w.roles and o.started_at > w.seen_at))
        when 'receiver_failing' then exists (select from receivers where name = p_subject and failing_since is not null)
        when 'event_undelivered' then exists (select from outbox o join receivers r on r.id = o.receiver_id
                                               where r.name = p_subject and o.given_up_at is not null)
        else true
    end
$$;

CREATE TABLE public.broadcast_messages (
    id uuid NOT NULL,
    sequence_stepid bigint,
    sequence_contact_id bigint,
    campaign_id bigint,
    purpose text,
    contents jsonb,
    inbound_message_id bigint,
    lead_id bigint,
    recipient_phone text NOT NULL,
    key_phone text,
    device_id text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    slot_at timestamp with time zone,
    campaign_shard integer,
    campaign_position integer,
    attempts integer DEFAULT 0 NOT NULL,
    processing_worker_id text,
    claimed_at timestamp with time zone,
    begun_at timestamp with time zone,
    answered_at timestamp with time zone,
    place_day date,
    content text,
    image_url text,
    parts_sent integer DEFAULT 0 NOT NULL,
    retried integer DEFAULT 0 NOT NULL,
    resends integer DEFAULT 0 NOT NULL,
    gateway_message_id text,
    earlier_gateway_ids text[] DEFAULT '{}'::text[] NOT NULL,
    window_refused_at timestamp with time zone,
    reason text,
    waits_for text,
    accepted_at timestamp with time zone,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    read_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    went_to text,
    CONSTRAINT broadcast_messages_claim CHECK (((status <> 'processing'::text) OR ((processing_worker_id IS NOT NULL) AND (claimed_at IS NOT NULL)))),
    CONSTRAINT broadcast_messages_confirmation CHECK (((NOT (purpose IS DISTINCT FROM 'opt-out confirmation'::text)) = (inbound_message_id IS NOT NULL))),
    CONSTRAINT broadcast_messages_contents CHECK (((purpose IS NULL) = (contents IS NULL))),
    CONSTRAINT broadcast_messages_enrollment CHECK (((sequence_stepid IS NULL) = (sequence_contact_id IS NULL))),
    CONSTRAINT broadcast_messages_fed CHECK ((((campaign_id IS NULL) = (campaign_shard IS NULL)) AND ((campaign_id IS NULL) = (campaign_position IS NULL)))),
    CONSTRAINT broadcast_messages_of_one CHECK ((num_nonnulls(sequence_stepid, campaign_id, purpose) = 1)),
    CONSTRAINT broadcast_messages_purpose CHECK ((purpose = ANY (ARRAY['opt-out confirmation'::text, 'test'::text]))),
    CONSTRAINT broadcast_messages_sent CHECK (((status = 'sent'::text) = (sent_at IS NOT NULL))),
    CONSTRAINT broadcast_messages_status CHECK ((status = ANY (ARRAY['pending'::text, 'queued'::text, 'processing'::text, 'sent'::text, 'failed'::text, 'unconfirmed'::text, 'suppressed'::text, 'cancelled'::text, 'expired'::text]))),
    CONSTRAINT broadcast_messages_waits CHECK ((waits_for = ANY (ARRAY['pause'::text, 'window'::text, 'device'::text])))
);

CREATE TABLE public.inbound_messages (
    id bigint NOT NULL,
    device_id text NOT NULL,
    gateway_message_id text NOT NULL,
    kind text NOT NULL,
    phone text,
    identities text[] DEFAULT '{}'::text[] NOT NULL,
    name text,
    from_me boolean DEFAULT false NOT NULL,
    text text,
    payload text,
    media_id text,
    answers text,
    referral jsonb,
    asks text[] DEFAULT '{}'::text[] NOT NULL,
    meaning text NOT NULL,
    confirmation text,
    effects jsonb DEFAULT '[]'::jsonb NOT NULL,
    to_review text,
    reviewed_at timestamp with time zone,
    sent_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT inbound_messages_meaning CHECK ((meaning = ANY (ARRAY['stop'::text, 'start'::text, 'maybe_stop'::text, 'enroll'::text, 'none'::text]))),
    CONSTRAINT inbound_messages_to_review CHECK ((to_review = ANY (ARRAY['answer'::text, 'maybe_stop'::text, 'number_changed'::text, 'numbers_joined'::text, 'unmatched'::text, 'enrolled'::text, 'not_enrolled'::text])))
);

CREATE FUNCTION public.answered_messages(i public.inbound_messages) RETURNS SETOF public.broadcast_messages
    LANGUAGE sql STABLE ROWS 1
    AS $$
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

CREATE FUNCTION public.apply_early_receipts(p_message uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.audience_after_move(p_audience jsonb, p_moved jsonb, p_device text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    select jsonb_object_agg(device, leads)
      from (select device, sum(leads) as leads
              from (select key, value::integer from jsonb_each_text(p_audience)
                    union all
                    select key, -value::integer from jsonb_each_text(p_moved)
                    union all
                    select p_device, value::integer from jsonb_each_text(p_moved)) as changes (device, leads)
             group by device) summed
$$;

CREATE FUNCTION public.audience_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$ select 7271993 $$;

CREATE FUNCTION public.awaits_window(m public.broadcast_messages) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$ select m.waits_for is not distinct from 'window' and is_waiting(m.status) $$;

CREATE FUNCTION public.campaign_audience(p_campaign bigint) RETURNS TABLE(lead_id bigint, phone text, device_id text, zone text, opted_out boolean, without_consent boolean)
    LANGUAGE sql STABLE
    AS $$
    select a.lead_id, a.phone, a.device_id, a.zone, a.opted_out, a.without_consent
      from campaign_leads(p_campaign) a
     where a.of_niche and a.of_status and a.of_devices and a.of_phone
$$;

CREATE FUNCTION public.campaign_leads(p_campaign bigint) RETURNS TABLE(lead_id bigint, phone text, device_id text, zone text, of_niche boolean, of_status boolean, of_devices boolean, of_phone boolean, opted_out boolean, without_consent boolean)
    LANGUAGE sql STABLE
    AS $$
    select l.id, l.phone, d.id, coalesce(l.time_zone, d.time_zone, 'UTC'),
           c.niche is null or l.niches @> array[c.niche],
           c.target_status = 'all' or l.target_status = c.target_status,
           c.device_ids is null or coalesce(d.id = any (wanted.ids), false),
           -- An import that ran while the phone changed may have stored the old one again.
           p.old_phone is null or present_phone(l.phone) = l.phone,
           exists (select from suppressions s where s.phone = l.phone and s.category in ('all', c.category)),
           c.require_consent and l.consent_at is null
      from campaigns c
      cross join leads l
      left join devices o on o.id = coalesce(l.device_id, (select only_device()))
      left join devices d on d.id = coalesce(o.replaced_by, o.id)
      left join phone_changes p on p.old_phone = l.phone
      cross join lateral (select array_agg(device_in_use(named)) as ids from unnest(c.device_ids) named) wanted
     where c.id = p_campaign
$$;

CREATE FUNCTION public.campaign_message_id(p_campaign bigint, p_phone text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select encode(set_byte(set_byte(digest, 6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128),
                  'hex')::uuid
      from substring(sha256(decode('e315735096cd4eb6b78594f64b6114c6', 'hex')
                            || convert_to('campaign:' || p_campaign || ':' || p_phone, 'UTF8'))
                     from 1 for 16) as digest
$$;

CREATE FUNCTION public.category_of(m public.broadcast_messages) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select coalesce((select category from campaigns where id = m.campaign_id),
                    (select s.category from sequence_contacts c join sequences s on s.id = c.sequence_id
                      where c.id = m.sequence_contact_id),
                    m.contents ->> 'category')
$$;

CREATE FUNCTION public.changes_between(p_old jsonb, p_new jsonb, VARIADIC p_names text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    select coalesce(jsonb_object_agg(c.name, case when n.written like '%!' or length((p_old -> c.name)::text) > 200
                                                         or length((p_new -> c.name)::text) > 200 then '[]'
                                                  else jsonb_build_array(p_old -> c.name, p_new -> c.name) end), '{}')
      from unnest(p_names) n (written)
     cross join lateral (select rtrim(n.written, '!') as name) c
     where p_old -> c.name is distinct from p_new -> c.name
$$;

CREATE FUNCTION public.claim_life(m public.broadcast_messages, p_lifetime interval, p_longer jsonb) RETURNS interval
    LANGUAGE sql STABLE
    AS $$
    select coalesce(make_interval(secs => (p_longer ->> d.gateway)::float8), p_lifetime)
      from devices d where d.id = m.device_id
$$;

CREATE FUNCTION public.claim_message(p_message uuid, p_token text, p_lifetime interval, p_grace interval, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.claim_step_message(p_enrollment bigint, p_step bigint, p_revision integer, p_message uuid, p_token text, p_lifetime interval, p_longer jsonb, p_grace interval, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.claim_stored_message(p_message uuid, p_token text, p_lifetime interval, p_longer jsonb, p_grace interval, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.close_message(p_message uuid, p_status text, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
begin
    update broadcast_messages
       set status = p_status, reason = p_reason, slot_at = null, updated_at = clock_timestamp()
     where id = p_message;
    return jsonb_build_object('outcome', 'settled', 'status', p_status, 'reason', p_reason);
end $$;

CREATE TABLE public.leads (
    id bigint NOT NULL,
    phone text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    niches text[] DEFAULT '{}'::text[] NOT NULL,
    triggers text[] DEFAULT '{}'::text[] NOT NULL,
    target_status text DEFAULT 'prospect'::text NOT NULL,
    device_id text,
    time_zone text,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    consent_at timestamp with time zone,
    consent_source text,
    consent_note text,
    consent_withdrawn_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT leads_consent CHECK (((consent_at IS NULL) OR ((consent_source IS NOT NULL) AND (consent_withdrawn_at IS NULL)))),
    CONSTRAINT leads_consent_source CHECK ((consent_source = ANY (ARRAY['import'::text, 'enrollment'::text, 'inbound'::text]))),
    CONSTRAINT leads_phone_e164 CHECK ((phone ~ '^\+[1-9][0-9]{1,14}$'::text)),
    CONSTRAINT leads_target_status CHECK ((target_status = ANY (ARRAY['prospect'::text, 'customer'::text])))
);

CREATE FUNCTION public.consent_after(l public.leads, p_given boolean, p_at timestamp with time zone, p_note text, p_source text, OUT consent_at timestamp with time zone, OUT consent_source text, OUT consent_note text, OUT consent_withdrawn_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.contents_of(m public.broadcast_messages, p_moment timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_build_object('step', coalesce(st.key, ''), 'text', coalesce(st.text, c.text, m.contents ->> 'text', ''),
                              'image_url', case when m.contents is not null then m.contents ->> 'image_url'
                                                when c.id is null then st.image_url else c.image_url end,
                              'approved_template', case when d.service_window and form_of(m, p_moment) = 'text' then null
                                                        else coalesce(st.template, c.template, m.contents -> 'template') end,
                              'parts_sent', m.parts_sent,
                              'lead', case when l.id is null then jsonb_build_object('phone', m.recipient_phone)
                                           when m.purpose = 'test'
                                           then lead_as_json(l) || jsonb_build_object('phone', m.recipient_phone)
                                           else lead_as_json(l) end)
      from devices d
      left join leads l on l.id = m.lead_id
      left join sequence_steps st on st.id = m.sequence_stepid
      left join campaigns c on c.id = m.campaign_id
     where d.id = m.device_id
$$;

CREATE TABLE public.sequence_contacts (
    id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    lead_id bigint,
    phone text NOT NULL,
    key_phone text,
    device_id text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    reason text,
    workflow_id text NOT NULL,
    run_id text NOT NULL,
    timeline jsonb NOT NULL,
    plan_revision integer NOT NULL,
    paused_at timestamp with time zone,
    paused_reason text,
    answered_at timestamp with time zone,
    go_step_id bigint,
    go_at timestamp with time zone,
    go_reason text,
    next_step_id bigint,
    next_due_at timestamp with time zone,
    plan_changed_at timestamp with time zone,
    signalled_at timestamp with time zone,
    enrolled_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT sequence_contacts_ended CHECK (((status = 'active'::text) = (ended_at IS NULL))),
    CONSTRAINT sequence_contacts_go CHECK (((go_step_id IS NULL) OR ((go_at IS NOT NULL) AND (go_reason IS NOT NULL)))),
    CONSTRAINT sequence_contacts_status CHECK ((status = ANY (ARRAY['active'::text, 'completed'::text, 'stopped'::text, 'opted_out'::text])))
);

CREATE FUNCTION public.create_step_message(c public.sequence_contacts, p_step bigint, p_revision integer, p_message uuid) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.device_fault(p_device text, p_claimed timestamp with time zone, p_reason text, p_limit integer, p_wait interval, p_now timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.device_in_use(p_device text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select coalesce((select replaced_by from devices where id = p_device), p_device)
$$;

CREATE FUNCTION public.doubt_message(p_message uuid, p_token text, p_reason text, p_content text, p_image_url text, p_retry_now boolean) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
    update broadcast_messages
       set claimed_at = case when p_retry_now then '-infinity' else claimed_at end, reason = p_reason,
           content = coalesce(p_content, content), image_url = coalesce(p_image_url, image_url),
           answered_at = clock_timestamp(), updated_at = clock_timestamp()
     where id = p_message and status = 'processing' and processing_worker_id = p_token and answered_at is null;
    return found;
end $$;

CREATE TABLE public.devices (
    id text NOT NULL,
    gateway text NOT NULL,
    gateway_options jsonb DEFAULT '{}'::jsonb NOT NULL,
    service_window boolean DEFAULT false NOT NULL,
    min_delay double precision DEFAULT 5 NOT NULL,
    max_delay double precision DEFAULT 15 NOT NULL,
    daily_limit integer,
    opens_at time without time zone,
    closes_at time without time zone,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    next_slot_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    last_send_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    in_flight_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    limit_day date,
    limit_used integer DEFAULT 0 NOT NULL,
    waits_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    waits_reason text,
    faults integer DEFAULT 0 NOT NULL,
    fault_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    refusal text,
    refusals integer DEFAULT 0 NOT NULL,
    late_refusal text,
    late_refusals integer DEFAULT 0 NOT NULL,
    replaced_by text,
    stop_keywords text[],
    start_keywords text[],
    opt_out_confirmation text,
    fetched_until timestamp with time zone,
    fetched_chats_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    shown_as text,
    CONSTRAINT devices_delays CHECK (((min_delay >= (0)::double precision) AND (max_delay >= min_delay))),
    CONSTRAINT devices_hours CHECK ((((opens_at IS NULL) = (closes_at IS NULL)) AND ((opens_at IS NULL) OR (opens_at <> closes_at)))),
    CONSTRAINT devices_limit CHECK (((daily_limit IS NULL) OR (daily_limit > 0))),
    CONSTRAINT devices_replaced CHECK ((replaced_by <> id)),
    CONSTRAINT devices_status CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text])))
);

CREATE FUNCTION public.earliest_send(d public.devices, p_place date, p_moment timestamp with time zone, OUT free_at timestamp with time zone, OUT why text) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.emit(p_type text, p_happened_at timestamp with time zone, p_data jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into outbox (receiver_id, event_id, type, happened_at, data)
    select r.id, e.event_id, p_type, p_happened_at, p_data
      from (select gen_random_uuid() as event_id) e, receivers r
     where r.types && array[p_type, split_part(p_type, '.', 1) || '.*']
     order by r.id
$$;

CREATE FUNCTION public.end_joined_contacts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.ending_of(m public.broadcast_messages, p_moment timestamp with time zone, OUT status text, OUT reason text) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
begin
    select u.status, u.reason into status, reason from unwanted(m) u;
    if status is null and m.expires_at <= p_moment then
        status := 'expired';
        reason := expiry_of(m.expires_at);
    end if;
end $$;

CREATE FUNCTION public.enrollment_refused() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform report_alert('enrollment_refused', new.sequence, new.phone || ': ' || new.reason);
    return null;
end $$;

CREATE FUNCTION public.event_noted() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    more jsonb := '{}';
begin
    if new.kind = 'device.parked' then
        perform report_alert('device_parked', new.device, new.reason);
    elsif new.kind in ('campaign.held', 'campaign.not_started') then
        perform report_alert('campaign_held', new.campaign, new.reason);
    elsif new.kind = 'sequence.held' then
        perform report_alert('sequence_held', new.sequence, new.reason);
    elsif new.kind = 'message.unconfirmed' then
        perform report_alert('message_unconfirmed', new.device, new.phone || coalesce(': ' || new.reason, ''));
    end if;
    if not exists (select from receivers where types && array[new.kind, split_part(new.kind, '.', 1) || '.*']) then
        return null;
    end if;
    if new.message_id is not null then
        more := coalesce((select message_event(m) from broadcast_messages m where m.id = new.message_id), '{}');
    elsif new.kind = 'contact.replied' then
        more := coalesce((select jsonb_build_object('kind', i.kind, 'name', i.name, 'text', i.text, 'payload', i.payload,
                                                    'meaning', i.meaning, 'gateway_message_id', i.gateway_message_id,
                                                    'answers', i.answers, 'sent_at', i.sent_at)
                            from inbound_messages i where i.id = (new.data ->> 'inbound_message')::bigint), '{}');
    end if;
    perform emit(new.kind, new.at, jsonb_strip_nulls(new.data || more || jsonb_build_object(
        'actor', new.actor, 'via', new.via, 'phone', new.phone, 'sequence', new.sequence, 'campaign', new.campaign,
        'device', new.device, 'reason', new.reason)));
    return null;
end $$;

CREATE FUNCTION public.exchange_of(p_phone text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.expects_reply(c public.sequence_contacts) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
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

CREATE FUNCTION public.expiry_of(p_expires_at timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select 'it was to go out before ' || to_char(p_expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
$$;

CREATE FUNCTION public.failed_condition(m public.broadcast_messages) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
declare
    asked jsonb;               -- the step's conditions
    c     sequence_contacts;
    l     leads;
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
    return unmet_condition(asked, c, l);
end $$;

CREATE FUNCTION public.first_reply(c public.sequence_contacts) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    AS $$
declare
    last broadcast_messages := last_sent(c);
begin
    return (select min(r.sent_at)
              from replies_of(c) r
             where r.received_at > coalesce(last.begun_at, c.enrolled_at)
               and (r.sent_at >= date_trunc('second', coalesce(last.begun_at, c.enrolled_at))
                    or r.answers = last.gateway_message_id));
end $$;

CREATE FUNCTION public.folded(p_text text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select lower(btrim(regexp_replace(normalize(p_text, nfkc), '\s+', ' ', 'g')))
$$;

CREATE FUNCTION public.follow_contacts(p_leads bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_left_out(p_leads bigint[]) RETURNS void
    LANGUAGE sql
    AS $$
    delete from broadcast_messages m
     using sequence_contacts c, sequence_steps t
     where c.lead_id = any (p_leads) and c.status = 'active' and m.sequence_contact_id = c.id and t.id = m.sequence_stepid
       and m.status = 'cancelled' and m.reason like 'it went to %' and m.attempts = 0 and not c.timeline -> 'done' ? t.key
$$;

CREATE FUNCTION public.forget_lock() RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$ select 7271995 $$;

CREATE FUNCTION public.forgotten_mark(p_name text, p_inner bytea, p_outer bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$
    select sha256(p_outer || sha256(p_inner || convert_to(p_name, 'UTF8')))
$$;

CREATE FUNCTION public.form_of(m public.broadcast_messages, p_moment timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    AS $$
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

CREATE FUNCTION public.former_phones(p_phone text) RETURNS text[]
    LANGUAGE sql STABLE
    AS $$
    with recursive back (phone) as (
        select p_phone union select c.old_phone from phone_changes c join back b on c.new_phone = b.phone
    )
    select array_agg(phone order by phone) from back where phone = p_phone or present_phone(phone) = p_phone
$$;

CREATE FUNCTION public.hand_over(m public.broadcast_messages, d public.devices, p_token text, p_must_not_send boolean, p_place date, p_moment timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.has_attributes(p_stored jsonb, p_given jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select p_stored @> (p_given - 'tags') and words_of(p_given ->> 'tags') <@ words_of(p_stored ->> 'tags')
$$;

CREATE FUNCTION public.hold_contents(p_message uuid, p_claimed timestamp with time zone, p_reason text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.hold_message(m public.broadcast_messages, p_moment timestamp with time zone, p_grace interval) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.hold_of(m public.broadcast_messages, p_moment timestamp with time zone DEFAULT clock_timestamp()) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select coalesce(
        pause_of(m),
        (select outside_window(m) || '; it waits until they write'
           from devices
          where id = m.device_id and service_window and m.status <> 'processing' and form_of(m, p_moment) = 'wait'))
$$;

CREATE FUNCTION public.hold_of_restore() RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select 'everything is paused: the ledger was restored to an earlier moment; ''audit --repair'' says what may have been sent since'
     where exists (select from restores where confirmed_at is null) or not ledger_is_at_home()
$$;

CREATE FUNCTION public.hold_phone(p_phone text) RETURNS text
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.inbound_lock(p_name text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$ select hashtextextended('inbound ' || p_name, 0) $$;

CREATE FUNCTION public.is_abandoned(m public.broadcast_messages, p_lifetime interval, p_longer jsonb, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.is_answer(i public.inbound_messages) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    select not i.from_me and i.kind not in ('reaction', 'preference', 'number_changed', 'user_id_changed')
$$;

CREATE FUNCTION public.is_forgotten(VARIADIC p_names text[]) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
begin
    if not exists (select from forgotten) then
        return false;
    elsif exists (select from forgotten_keys k where not exists (select from keys_of_forgotten() h where h.id = k.id)) then
        raise exception 'this process has not the key by which forgotten persons are known' using errcode = 'P0002';
    end if;
    return exists (select from unnest(p_names) n (name), keys_of_forgotten() k, forgotten f
                    where f.mark = forgotten_mark(n.name, k.inner_pad, k.outer_pad));
end $$;

CREATE FUNCTION public.is_overdue(m public.broadcast_messages) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select (m.status = 'queued' or (m.status = 'pending' and m.campaign_id is null)) and m.purpose is distinct from 'test'
       and coalesce(m.slot_at, m.due_at) < clock_timestamp() - interval '15 minutes'
       and m.updated_at < clock_timestamp() - interval '15 minutes' and hold_of(m) is null
$$;

CREATE FUNCTION public.is_routine(p_kind text, p_via text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select p_kind = 'contact.replied' or (p_via in ('itself', 'reply') and p_kind in ('contact.enrolled', 'contact.completed'))
$$;

CREATE FUNCTION public.is_unsettled(p_status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ select p_status in ('pending', 'queued', 'processing') $$;

CREATE FUNCTION public.is_waiting(p_status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ select p_status in ('pending', 'queued') $$;

CREATE FUNCTION public.is_wanted(p_type text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select exists (select from receivers where types && array[p_type, split_part(p_type, '.', 1) || '.*'])
$$;

CREATE FUNCTION public.joined_reason(p_phone text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ select 'its owner has the phone ' || p_phone || ' now, which is in the sequence too' $$;

CREATE FUNCTION public.keep_receipt(p_gateway text, p_gateway_id text, p_status text, p_at timestamp with time zone, p_reason text, p_sign text, p_wrong_content boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.keys_of_forgotten() RETURNS TABLE(id text, inner_pad bytea, outer_pad bytea)
    LANGUAGE sql STABLE
    AS $$
    select k.id, k.inner_pad, k.outer_pad from forgotten_keys k where k.inner_pad is not null
    union all
    select split_part(w, ':', 1), decode(split_part(w, ':', 2), 'hex'), decode(split_part(w, ':', 3), 'hex')
      from unnest(string_to_array(nullif(current_setting('drumbeat.forget_keys', true), ''), ',')) w
$$;

CREATE FUNCTION public.lacks_consent(m public.broadcast_messages) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select exists (select from leads l where l.id = m.lead_id and l.consent_at is null)
       and coalesce((select k.require_consent from campaigns k where k.id = m.campaign_id),
                    (select s.require_consent from sequence_contacts c join sequences s on s.id = c.sequence_id
                      where c.id = m.sequence_contact_id))
$$;

CREATE FUNCTION public.last_sent(c public.sequence_contacts) RETURNS public.broadcast_messages
    LANGUAGE sql STABLE
    AS $$
    select b.*
      from broadcast_messages b
     where b.sequence_contact_id = c.id and (b.accepted_at is not null or b.status in ('sent', 'unconfirmed'))
     order by b.begun_at desc nulls last
     limit 1
$$;

CREATE FUNCTION public.lead_as_json(l public.leads) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_build_object('phone', l.phone, 'name', l.name, 'niches', l.niches, 'triggers', l.triggers,
                              'target_status', l.target_status, 'device_id', l.device_id, 'time_zone', l.time_zone,
                              'attributes', l.attributes)
$$;

CREATE FUNCTION public.ledger_is_at_home() RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select coalesce((select h.xmin::text::bigint = h.written_by % 4294967296 and h.tableoid = h.in_table
                            and coalesce(h.timeline = ledger_timeline(), true)
                       from ledger_home h), true)
$$;

CREATE FUNCTION public.ledger_timeline() RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select case when pg_is_in_recovery() then null else left(pg_walfile_name(pg_current_wal_lsn()), 8) end
$$;

CREATE FUNCTION public.lock_tables(VARIADIC p_locks text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.merged_attributes(p_stored jsonb, p_given jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select p_stored || p_given
           || case when p_stored ? 'tags' and p_given ? 'tags'
                   then jsonb_build_object('tags', array_to_string(words_of((p_stored ->> 'tags') || ',' || (p_given ->> 'tags')), ', '))
                   else '{}' end
$$;

CREATE FUNCTION public.message_before(i public.inbound_messages) RETURNS SETOF public.broadcast_messages
    LANGUAGE sql STABLE ROWS 1
    AS $$
    select m.*
      from broadcast_messages m
     where m.recipient_phone = i.phone and m.status = 'sent' and m.purpose is null
       and (i.answers = any (m.gateway_message_id || m.earlier_gateway_ids)
            or m.sent_at < least(i.sent_at + interval '1 second', i.received_at))
     order by coalesce(i.answers = any (m.gateway_message_id || m.earlier_gateway_ids), false) desc, m.sent_at desc
     limit 1
$$;

CREATE FUNCTION public.message_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    -- First what costs least: most of the time nobody wants to know.
    if not exists (select from receivers where types && '{message.*,message.sent,message.failed,message.expired,message.delivered,message.read}') then
        return null;
    end if;
    if new.status <> old.status and new.status in ('sent', 'failed', 'expired') and is_wanted('message.' || new.status) then
        perform emit('message.' || new.status, coalesce(new.sent_at, clock_timestamp()), message_event(new));
    end if;
    if old.delivered_at is null and new.delivered_at is not null and is_wanted('message.delivered') then
        perform emit('message.delivered', new.delivered_at, message_event(new));
    end if;
    if old.read_at is null and new.read_at is not null and is_wanted('message.read') then
        perform emit('message.read', new.read_at, message_event(new));
    end if;
    return null;
end $$;

CREATE FUNCTION public.message_contents(p_message uuid, p_moment timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select contents_of(m, p_moment) from broadcast_messages m where m.id = p_message
$$;

CREATE FUNCTION public.message_event(m public.broadcast_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_strip_nulls(jsonb_build_object(
        'message_id', m.id, 'phone', m.recipient_phone, 'device', m.device_id,
        'sequence', (select s.name from sequence_steps t join sequences s on s.id = t.sequence_id where t.id = m.sequence_stepid),
        'step', (select t.key from sequence_steps t where t.id = m.sequence_stepid),
        'campaign', (select c.name from campaigns c where c.id = m.campaign_id),
        'purpose', m.purpose, 'status', m.status, 'attempts', m.attempts, 'reason', m.reason,
        'gateway_message_id', m.gateway_message_id,
        'sent_at', m.sent_at, 'delivered_at', m.delivered_at, 'read_at', m.read_at))
$$;

CREATE FUNCTION public.message_name(m public.broadcast_messages) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select coalesce((select s.name || ' / ' || t.key from sequence_steps t join sequences s on s.id = t.sequence_id
                      where t.id = m.sequence_stepid),
                    (select 'campaign ' || name from campaigns where id = m.campaign_id),
                    m.purpose || coalesce(' of ' || (m.contents ->> 'of'), ''))
$$;

CREATE FUNCTION public.message_of_receipt(p_gateway text, p_message uuid, p_gateway_id text) RETURNS public.broadcast_messages
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.move_contact(p_contact bigint, p_to jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.move_leads(p_phones text[], p_device text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.move_message(m public.broadcast_messages, p_device text) RETURNS public.broadcast_messages
    LANGUAGE sql
    AS $$
    update broadcast_messages set device_id = p_device, slot_at = null, place_day = null, updated_at = clock_timestamp()
     where id = m.id returning *
$$;

CREATE FUNCTION public.move_messages(p_messages uuid[], p_device text, p_reason text, OUT messages integer, OUT campaigns text[]) RETURNS record
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.move_phone(p_old text, p_new text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.move_phone_v2(p_old text, p_new text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.next_opening(p_moment timestamp with time zone, p_opens time without time zone, p_closes time without time zone, p_zone text) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.next_turn(d public.devices, p_place date, p_least double precision, p_most double precision, p_moment timestamp with time zone) RETURNS public.device_turn
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.note_campaign() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    changed jsonb;
    more    jsonb := '{}';
    kind    text;
begin
    if tg_op = 'INSERT' then
        perform note_event('campaign.created', p_campaign => new.name);
        return null;
    end if;
    changed := changes_between(to_jsonb(old), to_jsonb(new), 'title', 'niche', 'target_status', 'device_ids', 'scheduled_at',
                               'time_zone', 'until', 'if_passed', 'min_delay', 'max_delay', 'fan_out', 'category',
                               'require_consent', 'outside_window', 'text', 'image_url', 'template');
    if changed <> '{}' then
        perform note_event('campaign.changed', p_campaign => new.name, p_data => jsonb_build_object('changes', changed));
    end if;
    if old.status <> new.status then
        kind := case when new.status = 'draft' then 'not_started'
                     when new.status = 'paused' and acts_by_itself() and new.reason is not null then 'held'
                     when new.status = 'scheduled' and old.status = 'draft' then 'started'
                     when new.status in ('scheduled', 'running') and old.status = 'paused' then 'resumed'
                     when new.status = 'running' and old.status = 'finished' then 'reopened'
                     when new.status = 'running' then 'began'
                     else new.status end;
    elsif new.start_now and not old.start_now then
        kind := 'started';
    end if;
    if kind = 'started' then
        more := jsonb_build_object('at_once', new.start_now);
    elsif kind = 'began' then
        more := jsonb_build_object('leads', (select coalesce(sum(value::integer), 0) from jsonb_each_text(new.audience)));
    end if;
    if kind is not null then
        perform note_event('campaign.' || kind, p_campaign => new.name, p_reason => new.reason, p_data => more);
    end if;
    return null;
end $$;

CREATE FUNCTION public.note_contact() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    named text := (select name from sequences where id = new.sequence_id);
begin
    if tg_op = 'INSERT' then
        perform note_event('contact.enrolled', new.phone, named, null, new.device_id);
    elsif old.status <> new.status then
        perform note_event('contact.' || new.status, new.phone, named, null, new.device_id, null, new.reason);
    elsif new.paused_at is not null then
        perform note_event('contact.paused', new.phone, named, null, new.device_id, null, new.paused_reason);
    else
        perform note_event('contact.resumed', new.phone, named, null, new.device_id);
    end if;
    return null;
end $$;

CREATE FUNCTION public.note_device() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    changed jsonb;
begin
    if tg_op = 'INSERT' then
        perform note_event('device.added', p_device => new.id, p_data => jsonb_build_object('gateway', new.gateway));
        return null;
    end if;
    changed := changes_between(to_jsonb(old), to_jsonb(new), 'gateway', 'gateway_options!', 'service_window', 'min_delay',
                               'max_delay', 'daily_limit', 'opens_at', 'closes_at', 'time_zone', 'stop_keywords',
                               'start_keywords', 'opt_out_confirmation');
    -- What a new device is given in the transaction that adds it is no change.
    if changed <> '{}' and not exists (select from events
                                        where device = new.id and phone is null and kind = 'device.added'
                                          and act = nullif(current_setting('drumbeat.act', true), '')::bigint) then
        perform note_event('device.changed', p_device => new.id, p_data => jsonb_build_object('changes', changed));
    end if;
    if old.replaced_by is distinct from new.replaced_by then
        perform note_event(case when new.replaced_by is null then 'device.restored' else 'device.replaced' end,
                           p_device => new.id, p_data => jsonb_strip_nulls(jsonb_build_object('by', new.replaced_by)));
    end if;
    if old.status <> new.status then
        perform note_event(case when new.status = 'active' then 'device.resumed'
                                when new.status_reason like 'parked after %' then 'device.parked'
                                else 'device.paused' end,
                           p_device => new.id, p_reason => new.status_reason);
    end if;
    return null;
end $$;

CREATE FUNCTION public.note_event(p_kind text, p_phone text DEFAULT NULL::text, p_sequence text DEFAULT NULL::text, p_campaign text DEFAULT NULL::text, p_device text DEFAULT NULL::text, p_message uuid DEFAULT NULL::uuid, p_reason text DEFAULT NULL::text, p_data jsonb DEFAULT '{}'::jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
    event bigint := nextval('events_id_seq');
    acted bigint := nullif(current_setting('drumbeat.act', true), '')::bigint;
begin
    if acted is null then
        acted := event;
        perform set_config('drumbeat.act', event::text, true);
    end if;
    insert into events (id, act, actor, via, kind, phone, sequence, campaign, device, message_id, reason, data)
    values (event, acted, coalesce(nullif(current_setting('drumbeat.actor', true), ''), 'unknown'),
            coalesce(nullif(current_setting('drumbeat.via', true), ''), nullif(current_setting('application_name'), ''), 'unknown'),
            p_kind, p_phone, p_sequence, p_campaign, p_device, p_message, p_reason,
            p_data || coalesce(nullif(current_setting('drumbeat.data', true), ''), '{}')::jsonb);
    return event;
end $$;

CREATE FUNCTION public.note_inbound() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform note_event(case when tg_op = 'INSERT' then 'contact.replied' else 'inbox.done' end, new.phone, null, null,
                       new.device_id, p_data => jsonb_build_object('inbound_message', new.id));
    return null;
end $$;

CREATE FUNCTION public.note_late_refusal(p_device text, p_sign text, p_reason text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.note_lead() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if old.device_id is not null and old.device_id is distinct from new.device_id then
        perform note_event('lead.moved', new.phone, p_device => new.device_id,
                           p_data => jsonb_build_object('from', old.device_id));
    end if;
    if (old.consent_at is null) <> (new.consent_at is null) and new.consent_source is distinct from 'import' then
        perform note_event(case when new.consent_at is null then 'lead.consent_withdrawn' else 'lead.consent_given' end,
                           new.phone, p_reason => new.consent_note,
                           p_data => jsonb_strip_nulls(jsonb_build_object('source', new.consent_source)));
    end if;
    return null;
end $$;

CREATE FUNCTION public.note_ledger_home() RETURNS void
    LANGUAGE sql
    AS $$
    delete from ledger_home;
    insert into ledger_home (written_by, in_table, timeline)
    values (pg_current_xact_id()::text::bigint, 'ledger_home'::regclass, ledger_timeline())
$$;

CREATE FUNCTION public.note_message() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    kind text := case when tg_op = 'INSERT' then 'message.tested' when new.status = 'unconfirmed' then 'message.unconfirmed'
                      else 'message.resolved' end;
begin
    perform note_event(kind, new.recipient_phone,
                       (select s.name from sequence_steps t join sequences s on s.id = t.sequence_id
                         where t.id = new.sequence_stepid),
                       (select name from campaigns where id = new.campaign_id), new.device_id, new.id, new.reason,
                       jsonb_strip_nulls(jsonb_build_object('step', (select key from sequence_steps where id = new.sequence_stepid),
                                                            'status', case kind when 'message.resolved' then new.status end)));
    return null;
end $$;

CREATE FUNCTION public.note_opt_out() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'DELETE' then
        perform note_event('opt_out.removed', old.phone,
                           p_data => jsonb_build_object('source', old.source, 'category', old.category));
    else
        perform note_event('opt_out.added', new.phone, p_reason => nullif(new.reason, 'opted out'),
                           p_data => jsonb_strip_nulls(jsonb_build_object('source', new.source, 'category', new.category,
                                                                          'inbound_message', new.inbound_message_id)));
    end if;
    return null;
end $$;

CREATE FUNCTION public.note_parts(p_message uuid, p_token text, p_parts integer, p_grace interval, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.note_phone_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform note_event('lead.renamed', new.new_phone, p_data => jsonb_build_object('from', new.old_phone));
    return null;
end $$;

CREATE FUNCTION public.note_receiver() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    r receivers := case when tg_op = 'DELETE' then old else new end;
begin
    perform note_event(case tg_op when 'INSERT' then 'receiver.added' when 'DELETE' then 'receiver.removed' else 'receiver.changed' end,
                       p_data => jsonb_build_object('receiver', r.name, 'channel', r.channel, 'kinds', r.types));
    return null;
end $$;

CREATE FUNCTION public.note_restore(p_how text, p_restored_to timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
    AS $_$
declare
    numbered text;
begin
    perform pg_advisory_xact_lock(7271994);
    if exists (select from restores where confirmed_at is null) then
        return false;
    end if;
    insert into restores (how, restored_to)
    values (p_how, coalesce(p_restored_to, (select max(seen_at) from workers), (select noted_at from ledger_mark)));
    foreach numbered in array array['sequence_contacts', 'sequences', 'sequence_steps', 'campaigns', 'leads'] loop
        execute format('select setval(%1$L, (select last_value from %1$s) + 1000000)',
                       pg_get_serial_sequence(numbered, 'id'));
    end loop;
    return true;
end $_$;

CREATE FUNCTION public.note_sequence() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'INSERT' then
        perform note_event('sequence.created', p_sequence => new.name);
        return null;
    end if;
    if old.revision <> new.revision then
        perform note_event('sequence.changed', p_sequence => new.name, p_data => jsonb_build_object('revision', new.revision));
    end if;
    if old.status <> new.status then
        perform note_event(case when new.status = 'active' then 'sequence.resumed'
                                when acts_by_itself() and new.status_reason is not null then 'sequence.held'
                                else 'sequence.paused' end,
                           p_sequence => new.name, p_reason => new.status_reason);
    end if;
    return null;
end $$;

CREATE FUNCTION public.only_device() RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select min(id) from devices where replaced_by is null having count(*) = 1
$$;

CREATE FUNCTION public.opted_out_of(p_category text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select 'the recipient opted out' || case when p_category = 'marketing' then ' of marketing messages' else '' end
$$;

CREATE FUNCTION public.outside_window(m public.broadcast_messages) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    select 'outside the 24-hour window: they have not written to device ' || m.device_id || ' in the last 24 hours'
           || case when m.window_refused_at is not null then ', as Meta says' else '' end
$$;

CREATE FUNCTION public.pause_of(m public.broadcast_messages) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select coalesce(
        hold_of_restore(),
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

CREATE FUNCTION public.phone_lock(p_phone text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$ select hashtextextended('phone ' || p_phone, 0) $$;

CREATE FUNCTION public.place_contact(p_contact bigint, p_phone text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.postpone(m public.broadcast_messages, d public.devices, p_moment timestamp with time zone, p_now timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.present_phone(p_phone text) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.receipt_lock(p_gateway text, p_gateway_id text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$
    select hashtextextended(p_gateway || ' ' || p_gateway_id, 0)
$$;

CREATE FUNCTION public.recipient_opening(m public.broadcast_messages, p_moment timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.record_late_failure(m public.broadcast_messages, p_gateway_id text, p_reason text, p_sign text, p_wrong_content boolean) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.record_receipt(p_gateway text, p_message uuid, p_gateway_id text, p_status text, p_at timestamp with time zone, p_reason text, p_sign text DEFAULT NULL::text, p_wrong_content boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE PROCEDURE public.record_receipts(IN p_gateway text, IN p_messages uuid[], IN p_gateway_ids text[], IN p_statuses text[], IN p_ats timestamp with time zone[], IN p_reasons text[], IN p_signs text[], IN p_wrong_contents boolean[], INOUT news integer)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refusals_in_a_row() RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $$ select 5 $$;

CREATE FUNCTION public.refuse_attempt(p_message uuid, p_token text, p_at timestamp with time zone, p_reason text, p_content text, p_image_url text, p_contact jsonb, p_sign text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_forgotten() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock_shared(forget_lock());
    if is_forgotten(new.phone) then
        raise exception 'the person asked to be forgotten' using errcode = 'check_violation', constraint = 'not_forgotten';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_forgotten_recipient() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock_shared(forget_lock());
    if is_forgotten(new.recipient_phone) then
        raise exception 'the person asked to be forgotten' using errcode = 'check_violation', constraint = 'not_forgotten';
    end if;
    return new;
end $$;

CREATE FUNCTION public.refuse_window(p_message uuid, p_token text, p_at timestamp with time zone, p_reason text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.release_attempt(p_message uuid, p_token text, p_reason text, p_wait timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.reopen_campaign(p_campaign bigint) RETURNS void
    LANGUAGE sql
    AS $$
    update campaigns
       set status = case when status = 'finished' then 'running' else status end, ended_at = null,
           updated_at = clock_timestamp()
     where id = p_campaign
$$;

CREATE FUNCTION public.replace_device(p_old text, p_new text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.replies_of(c public.sequence_contacts) RETURNS SETOF public.inbound_messages
    LANGUAGE sql STABLE
    AS $$
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

CREATE FUNCTION public.report_alert(p_kind text, p_subject text, p_detail text) RETURNS void
    LANGUAGE sql
    AS $$ insert into alert_reports (kind, subject, detail) values (p_kind, p_subject, coalesce(p_detail, '')) $$;

CREATE FUNCTION public.reserve_slot(m public.broadcast_messages, d public.devices, turn public.device_turn, p_moment timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.rest_contact(p_contact bigint, p_other bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.send_again(p_messages uuid[], p_by text, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.separate_lead(p_phone text, p_to text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.settle_attempt(p_message uuid, p_token text, p_status text, p_at timestamp with time zone, p_gateway_message_id text, p_reason text, p_content text, p_image_url text, p_contact jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.skip_forgotten() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    perform pg_advisory_xact_lock_shared(forget_lock());
    return case when is_forgotten(new.phone) then null else new end;
end $$;

CREATE FUNCTION public.stay_forgotten() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    return null;
end $$;

CREATE FUNCTION public.take_turn(d public.devices, p_place date, p_moment timestamp with time zone, p_stride interval, p_grace interval) RETURNS void
    LANGUAGE sql
    AS $$
    update devices
       set next_slot_at = greatest(next_slot_at, p_moment + p_stride),
           last_send_at = p_moment,
           in_flight_until = p_moment + p_grace,
           limit_used = case when limit_day is distinct from (p_moment at time zone time_zone)::date then 1
                             when limit_day = p_place then limit_used else limit_used + 1 end,
           limit_day = (p_moment at time zone time_zone)::date
     where id = d.id
$$;

CREATE FUNCTION public.unmet_condition(asked jsonb, c public.sequence_contacts, l public.leads) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
declare
    last       broadcast_messages;  -- what was sent before
    replied_at timestamptz;
    wanted     record;              -- an attribute {key, value}, and the values of which it is to have one
    found_text text;
begin
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

CREATE FUNCTION public.unwanted(m public.broadcast_messages, OUT status text, OUT reason text) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION public.window_until(p_phone text, p_device text) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
    select max(sent_at) + interval '24 hours'
      from inbound_messages
     where phone = p_phone and device_id = p_device and not from_me
       and kind not in ('reaction', 'preference', 'number_changed', 'user_id_changed')
$$;

CREATE FUNCTION public.words_of(p_text text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select coalesce(array_agg(word order by place), '{}')
      from (select w.word, min(t.place) as place
              from regexp_split_to_table(normalize(p_text, nfkc), '[,;\n、]') with ordinality as t (piece, place)
             cross join lateral (select upper(btrim(regexp_replace(t.piece, '\s+', ' ', 'g'))) as word) w
             where w.word <> ''
             group by w.word) words
$$;

CREATE TABLE public.alert_reports (
    id bigint NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    reported_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.alert_reports ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alert_reports_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.alerts (
    kind text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    since timestamp with time zone NOT NULL,
    count bigint NOT NULL,
    announced bigint DEFAULT 0 NOT NULL,
    announced_at timestamp with time zone
);

CREATE TABLE public.campaigns (
    id bigint NOT NULL,
    name text NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    niche text,
    target_status text DEFAULT 'all'::text NOT NULL,
    device_ids text[],
    require_consent boolean DEFAULT false NOT NULL,
    text text DEFAULT ''::text NOT NULL,
    image_url text,
    template jsonb,
    scheduled_at timestamp without time zone,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    until text,
    if_passed text DEFAULT 'next_day'::text NOT NULL,
    min_delay double precision,
    max_delay double precision,
    fan_out text DEFAULT 'children'::text NOT NULL,
    category text DEFAULT 'marketing'::text NOT NULL,
    outside_window text DEFAULT 'fail'::text NOT NULL,
    start_now boolean DEFAULT false NOT NULL,
    asked_at timestamp with time zone,
    status text DEFAULT 'draft'::text NOT NULL,
    reason text,
    frozen_at timestamp with time zone,
    shards integer,
    audience jsonb DEFAULT '{}'::jsonb NOT NULL,
    opted_out integer DEFAULT 0 NOT NULL,
    without_device integer DEFAULT 0 NOT NULL,
    without_consent integer DEFAULT 0 NOT NULL,
    passed integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT campaigns_category CHECK ((category = ANY (ARRAY['marketing'::text, 'utility'::text]))),
    CONSTRAINT campaigns_content CHECK (((text <> ''::text) OR (image_url IS NOT NULL))),
    CONSTRAINT campaigns_ended CHECK (((status <> 'finished'::text) OR (ended_at IS NOT NULL))),
    CONSTRAINT campaigns_fan_out CHECK ((fan_out = ANY (ARRAY['children'::text, 'eager'::text]))),
    CONSTRAINT campaigns_frozen CHECK (((frozen_at IS NULL) OR (shards IS NOT NULL))),
    CONSTRAINT campaigns_passed CHECK ((if_passed = ANY (ARRAY['next_day'::text, 'leave_out'::text, 'send'::text]))),
    CONSTRAINT campaigns_status CHECK ((status = ANY (ARRAY['draft'::text, 'scheduled'::text, 'running'::text, 'paused'::text, 'cancelled'::text, 'finished'::text]))),
    CONSTRAINT campaigns_target CHECK ((target_status = ANY (ARRAY['prospect'::text, 'customer'::text, 'all'::text]))),
    CONSTRAINT campaigns_window CHECK ((outside_window = ANY (ARRAY['fail'::text, 'wait'::text])))
);

ALTER TABLE public.campaigns ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.campaigns_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.early_receipts (
    id bigint NOT NULL,
    gateway text NOT NULL,
    gateway_message_id text NOT NULL,
    status text NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    reason text,
    sign text,
    wrong_content boolean NOT NULL,
    received_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.early_receipts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.early_receipts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.erasures (
    person text NOT NULL,
    phones text[] NOT NULL,
    names text[] NOT NULL,
    workflows text[] DEFAULT '{}'::text[] NOT NULL,
    asked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    erased_at timestamp with time zone
);

CREATE TABLE public.events (
    id bigint NOT NULL,
    act bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    kind text NOT NULL,
    phone text,
    sequence text,
    campaign text,
    device text,
    message_id uuid,
    reason text,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT events_kind_form CHECK ((kind ~ '^[a-z_]+[.][a-z_]+$'::text))
);

ALTER TABLE public.events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.exchanged_numbers (
    old_phone text NOT NULL,
    new_phone text NOT NULL,
    changed_at timestamp with time zone NOT NULL
);

CREATE TABLE public.forgotten (
    mark bytea NOT NULL,
    key_id text NOT NULL,
    person text NOT NULL,
    forgotten_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    wrote integer DEFAULT 0 NOT NULL,
    wrote_at timestamp with time zone
);

CREATE TABLE public.forgotten_keys (
    id text NOT NULL,
    inner_pad bytea,
    outer_pad bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT forgotten_keys_pads CHECK (((inner_pad IS NULL) = (outer_pad IS NULL)))
);

CREATE TABLE public.identities (
    identity text NOT NULL,
    phone text NOT NULL,
    learned_at timestamp with time zone NOT NULL
);

ALTER TABLE public.inbound_messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.inbound_messages_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.joined_contacts (
    contact_id bigint NOT NULL,
    into_contact bigint NOT NULL
);

CREATE TABLE public.joined_leads (
    phone text NOT NULL,
    lead jsonb NOT NULL,
    other jsonb NOT NULL,
    into_lead bigint NOT NULL,
    contacts bigint[] NOT NULL,
    joined_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.leads ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.leads_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.ledger_home (
    one boolean DEFAULT true NOT NULL,
    written_by bigint NOT NULL,
    in_table oid NOT NULL,
    timeline text NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ledger_home_one_check CHECK (one)
);

CREATE TABLE public.ledger_mark (
    one boolean DEFAULT true NOT NULL,
    mark bigint DEFAULT 0 NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ledger_mark_one_check CHECK (one)
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    receiver_id bigint NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    happened_at timestamp with time zone NOT NULL,
    data jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    refused boolean DEFAULT false NOT NULL,
    error text,
    next_try_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    given_up_at timestamp with time zone
);

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.phone_changes (
    old_phone text NOT NULL,
    new_phone text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT phone_changes_another CHECK ((new_phone <> old_phone)),
    CONSTRAINT phone_changes_e164 CHECK ((new_phone ~ '^\+[1-9][0-9]{1,14}$'::text))
);

CREATE TABLE public.private_mode (
    single boolean DEFAULT true NOT NULL,
    ids_check text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT private_mode_single_check CHECK (single)
);

CREATE TABLE public.receivers (
    id bigint NOT NULL,
    name text NOT NULL,
    channel text NOT NULL,
    options jsonb NOT NULL,
    types text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    delivered bigint DEFAULT 0 NOT NULL,
    delivered_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    error text,
    next_try_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    held_by text,
    held_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    tested_at timestamp with time zone,
    test_taken boolean,
    test_answer text,
    CONSTRAINT receivers_channel CHECK ((channel = ANY (ARRAY['webhook'::text, 'email'::text]))),
    CONSTRAINT receivers_failing CHECK (((failures > 0) = (failing_since IS NOT NULL)))
);

ALTER TABLE public.receivers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.receivers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.refused_enrollments (
    sequence text NOT NULL,
    phone text NOT NULL,
    reason text NOT NULL,
    refused_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.rejected_rows (
    id bigint NOT NULL,
    phone text,
    digits text NOT NULL,
    written text NOT NULL,
    file text NOT NULL,
    "row" integer NOT NULL,
    reason text NOT NULL,
    rejected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.rejected_rows ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rejected_rows_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.restores (
    id bigint NOT NULL,
    how text NOT NULL,
    restored_to timestamp with time zone,
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    settled_at timestamp with time zone,
    confirmed_at timestamp with time zone
);

ALTER TABLE public.restores ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.restores_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.retained (
    relation text NOT NULL,
    page bigint DEFAULT 0 NOT NULL,
    through_at timestamp with time zone
);

ALTER TABLE public.sequence_contacts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sequence_contacts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.sequence_keywords (
    kind text NOT NULL,
    code text NOT NULL,
    sequence_id bigint NOT NULL,
    written text NOT NULL,
    CONSTRAINT sequence_keywords_kind CHECK ((kind = ANY (ARRAY['keyword'::text, 'ad'::text])))
);

CREATE TABLE public.sequence_steps (
    id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    key text NOT NULL,
    "position" integer NOT NULL,
    day integer,
    at_time time without time zone,
    after interval,
    wait_for interval,
    conditions jsonb,
    expires_after interval,
    missed text DEFAULT 'leave_out'::text NOT NULL,
    text text DEFAULT ''::text NOT NULL,
    image_url text,
    template jsonb,
    on_reply jsonb DEFAULT '[]'::jsonb NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT sequence_steps_content CHECK (((text <> ''::text) OR (image_url IS NOT NULL))),
    CONSTRAINT sequence_steps_day CHECK ((day >= 1)),
    CONSTRAINT sequence_steps_expiry CHECK ((expires_after > '00:00:00'::interval)),
    CONSTRAINT sequence_steps_missed CHECK ((missed = ANY (ARRAY['send'::text, 'leave_out'::text]))),
    CONSTRAINT sequence_steps_wait CHECK ((wait_for > '00:00:00'::interval)),
    CONSTRAINT sequence_steps_when CHECK (((num_nonnulls(day, after, wait_for) = 1) AND ((at_time IS NULL) OR (day IS NOT NULL))))
);

ALTER TABLE public.sequence_steps ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sequence_steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.sequences (
    id bigint NOT NULL,
    name text NOT NULL,
    trigger text,
    next_trigger text,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    skip_weekends boolean DEFAULT false NOT NULL,
    device_id text,
    category text DEFAULT 'marketing'::text NOT NULL,
    require_consent boolean DEFAULT false NOT NULL,
    outside_window text DEFAULT 'fail'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    on_reply jsonb DEFAULT '[]'::jsonb NOT NULL,
    reply_within interval DEFAULT '3 days'::interval NOT NULL,
    revision integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    shown_as text,
    CONSTRAINT sequences_category CHECK ((category = ANY (ARRAY['marketing'::text, 'utility'::text]))),
    CONSTRAINT sequences_status CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text]))),
    CONSTRAINT sequences_window CHECK ((outside_window = ANY (ARRAY['fail'::text, 'wait'::text])))
);

ALTER TABLE public.sequences ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sequences_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.suppressions (
    phone text NOT NULL,
    source text DEFAULT 'operator'::text NOT NULL,
    category text DEFAULT 'all'::text NOT NULL,
    reason text DEFAULT 'opted out'::text NOT NULL,
    inbound_message_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    signalled_at timestamp with time zone,
    CONSTRAINT suppressions_category CHECK ((category = ANY (ARRAY['marketing'::text, 'all'::text]))),
    CONSTRAINT suppressions_evidence CHECK (((source = 'operator'::text) = (inbound_message_id IS NULL))),
    CONSTRAINT suppressions_source CHECK ((source = ANY (ARRAY['operator'::text, 'reply'::text, 'preference'::text])))
);

CREATE TABLE public.wanted_enrollments (
    id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    phone text NOT NULL,
    inbound_message_id bigint,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text DEFAULT NULLIF(current_setting('drumbeat.actor'::text, true), ''::text),
    via text DEFAULT NULLIF(current_setting('drumbeat.via'::text, true), ''::text),
    paused_at timestamp with time zone,
    paused_reason text
);

ALTER TABLE public.wanted_enrollments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.wanted_enrollments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.workers (
    id text NOT NULL,
    task_queue text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    version text,
    build_id text,
    waits boolean DEFAULT false NOT NULL,
    roles text[] DEFAULT '{workflows,sends,housekeeping}'::text[] NOT NULL
);

ALTER TABLE ONLY public.alert_reports
    ADD CONSTRAINT alert_reports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (kind, subject);

ALTER TABLE public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_lead CHECK (((lead_id IS NOT NULL) OR (purpose IS NOT NULL) OR (recipient_phone ~~ 'forgotten-%'::text))) NOT VALID;

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.campaigns
    ADD CONSTRAINT campaigns_name_unique UNIQUE (name);

ALTER TABLE ONLY public.campaigns
    ADD CONSTRAINT campaigns_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.early_receipts
    ADD CONSTRAINT early_receipts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (person);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.exchanged_numbers
    ADD CONSTRAINT exchanged_numbers_pkey PRIMARY KEY (old_phone, new_phone);

ALTER TABLE ONLY public.forgotten_keys
    ADD CONSTRAINT forgotten_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.forgotten
    ADD CONSTRAINT forgotten_pkey PRIMARY KEY (mark);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_pkey PRIMARY KEY (identity);

ALTER TABLE ONLY public.inbound_messages
    ADD CONSTRAINT inbound_messages_once UNIQUE (device_id, gateway_message_id);

ALTER TABLE ONLY public.inbound_messages
    ADD CONSTRAINT inbound_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.joined_contacts
    ADD CONSTRAINT joined_contacts_pkey PRIMARY KEY (contact_id);

ALTER TABLE ONLY public.joined_leads
    ADD CONSTRAINT joined_leads_pkey PRIMARY KEY (phone);

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_phone_unique UNIQUE (phone);

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ledger_home
    ADD CONSTRAINT ledger_home_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.ledger_mark
    ADD CONSTRAINT ledger_mark_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.phone_changes
    ADD CONSTRAINT phone_changes_pkey PRIMARY KEY (old_phone);

ALTER TABLE ONLY public.private_mode
    ADD CONSTRAINT private_mode_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.receivers
    ADD CONSTRAINT receivers_name_unique UNIQUE (name);

ALTER TABLE ONLY public.receivers
    ADD CONSTRAINT receivers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.refused_enrollments
    ADD CONSTRAINT refused_enrollments_pkey PRIMARY KEY (sequence, phone);

ALTER TABLE ONLY public.rejected_rows
    ADD CONSTRAINT rejected_rows_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.restores
    ADD CONSTRAINT restores_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.retained
    ADD CONSTRAINT retained_pkey PRIMARY KEY (relation);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_unique UNIQUE (sequence_id, phone);

ALTER TABLE ONLY public.sequence_keywords
    ADD CONSTRAINT sequence_keywords_unique PRIMARY KEY (kind, code);

ALTER TABLE ONLY public.sequence_steps
    ADD CONSTRAINT sequence_steps_key_unique UNIQUE (sequence_id, key);

ALTER TABLE ONLY public.sequence_steps
    ADD CONSTRAINT sequence_steps_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_name_unique UNIQUE (name);

ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (phone, source);

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT unique_campaign_message UNIQUE (campaign_id, recipient_phone, device_id);

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT unique_sequence_message UNIQUE (sequence_stepid, recipient_phone, device_id);

ALTER TABLE ONLY public.wanted_enrollments
    ADD CONSTRAINT wanted_enrollments_id_key UNIQUE (id);

ALTER TABLE ONLY public.wanted_enrollments
    ADD CONSTRAINT wanted_enrollments_pkey PRIMARY KEY (sequence_id, phone);

ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);

CREATE INDEX broadcast_messages_contact ON public.broadcast_messages USING btree (sequence_contact_id);

CREATE INDEX broadcast_messages_failed ON public.broadcast_messages USING btree (status) WHERE (status = ANY (ARRAY['failed'::text, 'unconfirmed'::text]));

CREATE INDEX broadcast_messages_failed_of ON public.broadcast_messages USING btree (device_id, updated_at) WHERE (status = ANY (ARRAY['failed'::text, 'unconfirmed'::text]));

CREATE INDEX broadcast_messages_feed ON public.broadcast_messages USING btree (campaign_id, campaign_shard, device_id, campaign_position) WHERE ((campaign_id IS NOT NULL) AND public.is_unsettled(status));

CREATE INDEX broadcast_messages_gateway_id ON public.broadcast_messages USING btree (gateway_message_id) WHERE (gateway_message_id IS NOT NULL);

CREATE INDEX broadcast_messages_lead ON public.broadcast_messages USING btree (lead_id);

CREATE INDEX broadcast_messages_open ON public.broadcast_messages USING btree (status, device_id) WHERE (public.is_unsettled(status) OR (status = 'unconfirmed'::text));

CREATE INDEX broadcast_messages_phone ON public.broadcast_messages USING btree (recipient_phone);

CREATE INDEX broadcast_messages_sent ON public.broadcast_messages USING btree (device_id, sent_at) WHERE (sent_at IS NOT NULL);

CREATE INDEX broadcast_messages_unsent ON public.broadcast_messages USING btree (status, device_id) WHERE ((status = ANY (ARRAY['suppressed'::text, 'cancelled'::text, 'expired'::text])) AND (purpose IS DISTINCT FROM 'test'::text));

CREATE INDEX broadcast_messages_went_to ON public.broadcast_messages USING btree (went_to) WHERE (went_to IS NOT NULL);

CREATE INDEX early_receipts_of ON public.early_receipts USING btree (gateway, gateway_message_id);

CREATE INDEX events_act ON public.events USING btree (act, id);

CREATE INDEX events_campaign ON public.events USING btree (campaign, id) WHERE ((phone IS NULL) AND (campaign IS NOT NULL));

CREATE INDEX events_device ON public.events USING btree (device, id) WHERE ((phone IS NULL) AND (device IS NOT NULL));

CREATE INDEX events_notable ON public.events USING btree (act) WHERE (NOT public.is_routine(kind, via));

CREATE INDEX events_phone ON public.events USING btree (phone, id) WHERE (phone IS NOT NULL);

CREATE INDEX events_sequence ON public.events USING btree (sequence, id) WHERE ((phone IS NULL) AND (sequence IS NOT NULL));

CREATE INDEX forgotten_person ON public.forgotten USING btree (person);

CREATE INDEX inbound_messages_answers ON public.inbound_messages USING btree (answers) WHERE (answers IS NOT NULL);

CREATE INDEX inbound_messages_open ON public.inbound_messages USING btree (sent_at) WHERE ((to_review IS NOT NULL) AND (reviewed_at IS NULL));

CREATE INDEX inbound_messages_phone ON public.inbound_messages USING btree (phone, sent_at);

CREATE INDEX inbound_messages_unknown ON public.inbound_messages USING gin (identities) WHERE (phone IS NULL);

CREATE INDEX joined_contacts_into ON public.joined_contacts USING btree (into_contact);

CREATE INDEX joined_leads_into ON public.joined_leads USING btree (into_lead);

CREATE INDEX leads_niches ON public.leads USING gin (niches);

CREATE INDEX leads_triggered ON public.leads USING btree (id) WHERE (triggers <> '{}'::text[]);

CREATE INDEX leads_triggers ON public.leads USING gin (triggers);

CREATE UNIQUE INDEX one_confirmation ON public.broadcast_messages USING btree (inbound_message_id) WHERE (inbound_message_id IS NOT NULL);

CREATE UNIQUE INDEX one_live_campaign_message ON public.broadcast_messages USING btree (campaign_id, recipient_phone) WHERE (public.is_unsettled(status) OR (status = ANY (ARRAY['sent'::text, 'unconfirmed'::text])));

CREATE UNIQUE INDEX one_live_sequence_message ON public.broadcast_messages USING btree (sequence_stepid, recipient_phone) WHERE (public.is_unsettled(status) OR (status = ANY (ARRAY['sent'::text, 'unconfirmed'::text])));

CREATE INDEX outbox_given_up ON public.outbox USING btree (receiver_id, given_up_at) WHERE (given_up_at IS NOT NULL);

CREATE INDEX outbox_next ON public.outbox USING btree (receiver_id, next_try_at, id) WHERE (given_up_at IS NULL);

CREATE INDEX phone_changes_new ON public.phone_changes USING btree (new_phone);

CREATE INDEX refused_enrollments_phone ON public.refused_enrollments USING btree (phone);

CREATE INDEX rejected_rows_digits ON public.rejected_rows USING btree (digits);

CREATE INDEX rejected_rows_file ON public.rejected_rows USING btree (file);

CREATE INDEX rejected_rows_phone ON public.rejected_rows USING btree (phone);

CREATE UNIQUE INDEX restores_open ON public.restores USING btree ((true)) WHERE (confirmed_at IS NULL);

CREATE INDEX sequence_contacts_active ON public.sequence_contacts USING btree (sequence_id, id) WHERE (status = 'active'::text);

CREATE INDEX sequence_contacts_key ON public.sequence_contacts USING btree (key_phone) WHERE (key_phone IS NOT NULL);

CREATE INDEX sequence_contacts_lead ON public.sequence_contacts USING btree (lead_id);

CREATE INDEX sequence_contacts_phone ON public.sequence_contacts USING btree (phone);

CREATE INDEX sequence_contacts_to_signal ON public.sequence_contacts USING btree (sequence_id) WHERE (plan_changed_at IS NOT NULL);

CREATE INDEX sequence_keywords_of ON public.sequence_keywords USING btree (sequence_id);

CREATE UNIQUE INDEX sequence_steps_position ON public.sequence_steps USING btree (sequence_id, "position") WHERE (removed_at IS NULL);

CREATE UNIQUE INDEX sequences_trigger_unique ON public.sequences USING btree (trigger) WHERE (trigger IS NOT NULL);

CREATE INDEX suppressions_evidence ON public.suppressions USING btree (inbound_message_id) WHERE (inbound_message_id IS NOT NULL);

CREATE INDEX suppressions_to_signal ON public.suppressions USING btree (created_at) WHERE (signalled_at IS NULL);

CREATE TRIGGER end_joined_contacts AFTER UPDATE OF status ON public.sequence_contacts FOR EACH ROW WHEN (((old.status = 'active'::text) AND (new.status <> 'active'::text))) EXECUTE FUNCTION public.end_joined_contacts();

CREATE TRIGGER not_forgotten BEFORE INSERT ON public.broadcast_messages FOR EACH ROW WHEN ((new.purpose IS NOT NULL)) EXECUTE FUNCTION public.refuse_forgotten_recipient();

CREATE TRIGGER not_forgotten BEFORE INSERT OR UPDATE OF phone ON public.inbound_messages FOR EACH ROW WHEN ((new.phone IS NOT NULL)) EXECUTE FUNCTION public.refuse_forgotten();

CREATE TRIGGER not_forgotten BEFORE INSERT OR UPDATE OF phone ON public.leads FOR EACH ROW EXECUTE FUNCTION public.refuse_forgotten();

CREATE TRIGGER not_forgotten BEFORE INSERT OR UPDATE OF phone ON public.refused_enrollments FOR EACH ROW EXECUTE FUNCTION public.skip_forgotten();

CREATE TRIGGER not_forgotten BEFORE INSERT OR UPDATE OF phone ON public.suppressions FOR EACH ROW EXECUTE FUNCTION public.refuse_forgotten();

CREATE TRIGGER not_forgotten BEFORE INSERT OR UPDATE OF phone ON public.wanted_enrollments FOR EACH ROW EXECUTE FUNCTION public.refuse_forgotten();

CREATE TRIGGER note_change AFTER UPDATE OF status, start_now, title, niche, target_status, device_ids, scheduled_at, time_zone, until, if_passed, min_delay, max_delay, fan_out, category, require_consent, outside_window, text, image_url, template ON public.campaigns FOR EACH ROW EXECUTE FUNCTION public.note_campaign();

CREATE TRIGGER note_change AFTER UPDATE OF status, replaced_by, gateway, gateway_options, service_window, min_delay, max_delay, daily_limit, opens_at, closes_at, time_zone, stop_keywords, start_keywords, opt_out_confirmation ON public.devices FOR EACH ROW EXECUTE FUNCTION public.note_device();

CREATE TRIGGER note_change AFTER UPDATE OF device_id, consent_at ON public.leads FOR EACH ROW WHEN ((((old.device_id IS NOT NULL) AND (old.device_id IS DISTINCT FROM new.device_id) AND (COALESCE(current_setting('drumbeat.moved_together'::text, true), ''::text) = ''::text)) OR (((old.consent_at IS NULL) <> (new.consent_at IS NULL)) AND (new.consent_source IS DISTINCT FROM 'import'::text)))) EXECUTE FUNCTION public.note_lead();

CREATE TRIGGER note_change AFTER INSERT OR UPDATE OF new_phone ON public.phone_changes FOR EACH ROW EXECUTE FUNCTION public.note_phone_change();

CREATE TRIGGER note_change AFTER UPDATE OF channel, options, types ON public.receivers FOR EACH ROW WHEN ((((old.channel IS DISTINCT FROM new.channel) OR (old.options IS DISTINCT FROM new.options)) OR (old.types IS DISTINCT FROM new.types))) EXECUTE FUNCTION public.note_receiver();

CREATE TRIGGER note_change AFTER UPDATE OF status, paused_at ON public.sequence_contacts FOR EACH ROW WHEN (((old.status <> new.status) OR ((new.status = 'active'::text) AND ((old.paused_at IS NULL) <> (new.paused_at IS NULL))))) EXECUTE FUNCTION public.note_contact();

CREATE TRIGGER note_change AFTER UPDATE OF status, revision ON public.sequences FOR EACH ROW WHEN (((old.status IS DISTINCT FROM new.status) OR (old.revision IS DISTINCT FROM new.revision))) EXECUTE FUNCTION public.note_sequence();

CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE OF category ON public.suppressions FOR EACH ROW EXECUTE FUNCTION public.note_opt_out();

CREATE TRIGGER note_done AFTER UPDATE OF reviewed_at ON public.inbound_messages FOR EACH ROW WHEN (((old.reviewed_at IS NULL) AND (new.reviewed_at IS NOT NULL))) EXECUTE FUNCTION public.note_inbound();

CREATE TRIGGER note_doubt AFTER UPDATE OF status, resends ON public.broadcast_messages FOR EACH ROW WHEN ((((new.status <> 'unconfirmed'::text) OR (new.purpose IS DISTINCT FROM 'test'::text)) AND (((old.status <> new.status) AND (('unconfirmed'::text = old.status) OR ('unconfirmed'::text = new.status))) OR (old.resends < new.resends)))) EXECUTE FUNCTION public.note_message();

CREATE TRIGGER note_new AFTER INSERT ON public.campaigns FOR EACH ROW EXECUTE FUNCTION public.note_campaign();

CREATE TRIGGER note_new AFTER INSERT ON public.devices FOR EACH ROW EXECUTE FUNCTION public.note_device();

CREATE TRIGGER note_new AFTER INSERT ON public.inbound_messages FOR EACH ROW WHEN (((new.phone IS NOT NULL) AND public.is_answer(new.*))) EXECUTE FUNCTION public.note_inbound();

CREATE TRIGGER note_new AFTER INSERT OR DELETE ON public.receivers FOR EACH ROW EXECUTE FUNCTION public.note_receiver();

CREATE TRIGGER note_new AFTER INSERT ON public.sequence_contacts FOR EACH ROW EXECUTE FUNCTION public.note_contact();

CREATE TRIGGER note_new AFTER INSERT ON public.sequences FOR EACH ROW EXECUTE FUNCTION public.note_sequence();

CREATE TRIGGER note_test AFTER INSERT ON public.broadcast_messages FOR EACH ROW WHEN ((new.purpose = 'test'::text)) EXECUTE FUNCTION public.note_message();

CREATE TRIGGER outbox_change AFTER UPDATE OF status, delivered_at, read_at ON public.broadcast_messages FOR EACH ROW WHEN (((new.purpose IS DISTINCT FROM 'test'::text) AND (((old.status <> new.status) AND (new.status = ANY (ARRAY['sent'::text, 'failed'::text, 'expired'::text]))) OR ((old.delivered_at IS NULL) AND (new.delivered_at IS NOT NULL)) OR ((old.read_at IS NULL) AND (new.read_at IS NOT NULL))))) EXECUTE FUNCTION public.message_changed();

CREATE TRIGGER outbox_event AFTER INSERT ON public.events FOR EACH ROW EXECUTE FUNCTION public.event_noted();

CREATE TRIGGER outbox_refused AFTER INSERT OR UPDATE ON public.refused_enrollments FOR EACH ROW EXECUTE FUNCTION public.enrollment_refused();

CREATE TRIGGER stay_forgotten BEFORE UPDATE OF status ON public.broadcast_messages FOR EACH ROW WHEN (((new.recipient_phone ~~ 'forgotten-%'::text) AND public.is_waiting(new.status))) EXECUTE FUNCTION public.stay_forgotten();

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES public.campaigns(id);

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_device_id_fkey FOREIGN KEY (device_id) REFERENCES public.devices(id);

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_lead_id_fkey FOREIGN KEY (lead_id) REFERENCES public.leads(id);

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_sequence_contact_id_fkey FOREIGN KEY (sequence_contact_id) REFERENCES public.sequence_contacts(id);

ALTER TABLE ONLY public.broadcast_messages
    ADD CONSTRAINT broadcast_messages_sequence_stepid_fkey FOREIGN KEY (sequence_stepid) REFERENCES public.sequence_steps(id);

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.devices(id);

ALTER TABLE ONLY public.forgotten
    ADD CONSTRAINT forgotten_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.forgotten_keys(id);

ALTER TABLE ONLY public.inbound_messages
    ADD CONSTRAINT inbound_messages_device_id_fkey FOREIGN KEY (device_id) REFERENCES public.devices(id);

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_device_id_fkey FOREIGN KEY (device_id) REFERENCES public.devices(id);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_device_id_fkey FOREIGN KEY (device_id) REFERENCES public.devices(id);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_go_step_id_fkey FOREIGN KEY (go_step_id) REFERENCES public.sequence_steps(id);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_lead_id_fkey FOREIGN KEY (lead_id) REFERENCES public.leads(id);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_next_step_id_fkey FOREIGN KEY (next_step_id) REFERENCES public.sequence_steps(id);

ALTER TABLE ONLY public.sequence_contacts
    ADD CONSTRAINT sequence_contacts_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);

ALTER TABLE ONLY public.sequence_keywords
    ADD CONSTRAINT sequence_keywords_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);

ALTER TABLE ONLY public.sequence_steps
    ADD CONSTRAINT sequence_steps_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);

ALTER TABLE ONLY public.sequences
    ADD CONSTRAINT sequences_device_id_fkey FOREIGN KEY (device_id) REFERENCES public.devices(id);

ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_inbound_message_id_fkey FOREIGN KEY (inbound_message_id) REFERENCES public.inbound_messages(id);

ALTER TABLE ONLY public.wanted_enrollments
    ADD CONSTRAINT wanted_enrollments_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES public.sequences(id);
