-- migrate:up transaction:false
create index concurrently broadcast_messages_sent on broadcast_messages (device_id, sent_at) where sent_at is not null;

-- migrate:down transaction:false
drop index concurrently broadcast_messages_sent;
