-- migrate:up transaction:false

-- The messages that ended without an attempt, for counting them by device: a message that is sent never enters it.
create index concurrently broadcast_messages_unsent on broadcast_messages (status, device_id)
    where status in ('suppressed', 'cancelled', 'expired') and purpose is distinct from 'test';

-- migrate:down transaction:false

drop index concurrently broadcast_messages_unsent;
