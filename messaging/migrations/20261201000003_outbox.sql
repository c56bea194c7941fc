-- migrate:up

-- What goes out to other systems, and to people who are to be alerted. Triggers write it in the transaction of the fact:
-- a row for each receiver that wants it, and none if nobody does, which costs one look at the few receivers. There is no
-- cursor, so a transaction that commits late is not jumped over.

-- Who gets events and alerts: an address for signed webhooks, or mailboxes.
create table receivers (
    id             bigint generated always as identity primary key,
    name           text        not null constraint receivers_name_unique unique,
    channel        text        not null,
    options        jsonb       not null,               -- messaging.outbox.options: address, and where the credential is
    types          text[]      not null,               -- the types of events that it gets
    created_at     timestamptz not null default now(),
    delivered      bigint      not null default 0,
    delivered_at   timestamptz,                        -- when it last took one
    failures       integer     not null default 0,     -- tries that failed since
    failing_since  timestamptz,                        -- the first of them
    error          text,                               -- why the last of them failed
    next_try_at    timestamptz not null default '-infinity',
    held_by        text,                               -- the process that delivers to it, and until when it may
    held_until     timestamptz not null default '-infinity',
    constraint receivers_channel check (channel in ('webhook', 'email')),
    constraint receivers_failing check ((failures > 0) = (failing_since is not null))
);

-- What is to be delivered. A row is deleted when its receiver has taken it. No foreign key, which would lock the receiver's row
-- with every fact.
create table outbox (
    id             bigint generated always as identity primary key,
    receiver_id    bigint      not null,
    event_id       uuid        not null,               -- the same in every try and for every receiver
    type           text        not null,
    happened_at    timestamptz not null,
    data           jsonb       not null,
    created_at     timestamptz not null default clock_timestamp(),
    attempts       integer     not null default 0,
    refused        boolean     not null default false, -- the receiver's answer was about this event
    error          text,                               -- why the last try failed
    next_try_at    timestamptz not null default '-infinity',
    given_up_at    timestamptz
);
create index outbox_next on outbox (receiver_id, next_try_at, id) where given_up_at is null;
create index outbox_given_up on outbox (receiver_id, given_up_at) where given_up_at is not null;

-- Facts that need a person, as they happen; folded into alerts every second.
create table alert_reports (
    id             bigint generated always as identity primary key,
    kind           text        not null,               -- as in messaging.outbox.kinds.ALERTS
    subject        text        not null,
    detail         text        not null default '',
    reported_at    timestamptz not null default clock_timestamp()
);

-- The alerts that stand: one for each kind and subject, however often it was reported.
create table alerts (
    kind           text        not null,
    subject        text        not null,
    detail         text        not null,               -- of the latest report
    since          timestamptz not null,
    count          bigint      not null,               -- reports
    announced      bigint      not null default 0,     -- how many of them the receivers were told of
    announced_at   timestamptz,                        -- when they were last told
    primary key (kind, subject)
);

-- True if a receiver wants events of that type. It names types, or all of a group: 'message.*'.
create function is_wanted(p_type text) returns boolean
language sql stable as $$
    select exists (select from receivers where types && array[p_type, split_part(p_type, '.', 1) || '.*'])
$$;

-- Writes an event for each receiver that wants its type.
create function emit(p_type text, p_happened_at timestamptz, p_data jsonb) returns void
language sql as $$
    insert into outbox (receiver_id, event_id, type, happened_at, data)
    select r.id, e.event_id, p_type, p_happened_at, p_data
      from (select gen_random_uuid() as event_id) e, receivers r
     where r.types && array[p_type, split_part(p_type, '.', 1) || '.*']
     order by r.id
$$;

create function report_alert(p_kind text, p_subject text, p_detail text) returns void
language sql as $$ insert into alert_reports (kind, subject, detail) values (p_kind, p_subject, coalesce(p_detail, '')) $$;

-- A message as receivers see it: without its text.
create function message_event(m broadcast_messages) returns jsonb
language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'message_id', m.id, 'phone', m.recipient_phone, 'device', m.device_id,
        'sequence', (select s.name from sequence_steps t join sequences s on s.id = t.sequence_id where t.id = m.sequence_stepid),
        'step', (select t.key from sequence_steps t where t.id = m.sequence_stepid),
        'campaign', (select c.name from campaigns c where c.id = m.campaign_id),
        'purpose', m.purpose, 'status', m.status, 'attempts', m.attempts, 'reason', m.reason,
        'gateway_message_id', m.gateway_message_id,
        'sent_at', m.sent_at, 'delivered_at', m.delivered_at, 'read_at', m.read_at))
$$;

-- What became of a message is no act, so the table of events does not have it. Of one update there may be several: a receipt
-- that a message was read may come before the gateway's answer.
create function message_changed() returns trigger
language plpgsql as $$
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

-- All other events are those of the table, with what a receiver cannot look up: the message, or the words of a reply.
create function event_noted() returns trigger
language plpgsql as $$
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

create function enrollment_refused() returns trigger
language plpgsql as $$
begin
    perform report_alert('enrollment_refused', new.sequence, new.phone || ': ' || new.reason);
    return null;
end $$;

create function note_receiver() returns trigger
language plpgsql as $$
declare
    r receivers := case when tg_op = 'DELETE' then old else new end;
begin
    perform note_event(case tg_op when 'INSERT' then 'receiver.added' when 'DELETE' then 'receiver.removed' else 'receiver.changed' end,
                       p_data => jsonb_build_object('receiver', r.name, 'channel', r.channel, 'kinds', r.types));
    return null;
end $$;

select lock_tables('broadcast_messages, refused_enrollments, events in share row exclusive mode');

-- The conditions stand here, so that other updates of a message do not call the function.
create trigger outbox_change after update of status, delivered_at, read_at on broadcast_messages for each row
    when (new.purpose is distinct from 'test'
          and (   (old.status <> new.status and new.status in ('sent', 'failed', 'expired'))
               or (old.delivered_at is null and new.delivered_at is not null)
               or (old.read_at is null and new.read_at is not null)))
    execute function message_changed();
create trigger outbox_event after insert on events for each row execute function event_noted();
create trigger note_new after insert or delete on receivers for each row execute function note_receiver();
create trigger note_change after update of channel, options, types on receivers for each row
    when ((old.channel, old.options, old.types) is distinct from (new.channel, new.options, new.types))
    execute function note_receiver();
create trigger outbox_refused after insert or update on refused_enrollments for each row execute function enrollment_refused();

-- True if a message has waited for over a quarter of an hour since its time, nothing holds it, and no worker has tried to send it.
-- Those of a campaign that were not begun are left out, as they may wait for their turn for long; and so are tests.
create function is_overdue(m broadcast_messages) returns boolean
language sql stable as $$
    select (m.status = 'queued' or (m.status = 'pending' and m.campaign_id is null)) and m.purpose is distinct from 'test'
       and coalesce(m.slot_at, m.due_at) < clock_timestamp() - interval '15 minutes'
       and m.updated_at < clock_timestamp() - interval '15 minutes' and hold_of(m) is null
$$;

-- Whether what an alert says is still so. What cannot be looked up is so until it is reported otherwise.
create function alert_stands(p_kind text, p_subject text) returns boolean
language sql stable as $$
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
        -- until another worker has come in its place
        when 'worker_gone' then exists (
            select from workers w where w.id = p_subject and w.ended_at is null and w.seen_at < clock_timestamp() - interval '10 seconds'
               and not exists (select from workers o where o.task_queue = w.task_queue and o.started_at > w.seen_at))
        when 'receiver_failing' then exists (select from receivers where name = p_subject and failing_since is not null)
        when 'event_undelivered' then exists (select from outbox o join receivers r on r.id = o.receiver_id
                                               where r.name = p_subject and o.given_up_at is not null)
        else true
    end
$$;

-- migrate:down

drop function alert_stands, is_overdue;
drop trigger outbox_refused on refused_enrollments;
drop trigger outbox_event on events;
drop trigger outbox_change on broadcast_messages;
drop trigger note_change on receivers;
drop trigger note_new on receivers;
drop function note_receiver, enrollment_refused, event_noted, message_changed, message_event, report_alert, emit, is_wanted;
drop table alerts, alert_reports, outbox, receivers;
