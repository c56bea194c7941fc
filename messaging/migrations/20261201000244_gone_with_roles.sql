-- A worker that is gone is replaced by one that has its roles.

-- migrate:up

create or replace function alert_stands(p_kind text, p_subject text) returns boolean
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

-- migrate:down

create or replace function alert_stands(p_kind text, p_subject text) returns boolean
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
