-- migrate:up transaction:false
create index concurrently broadcast_messages_failed_of on broadcast_messages (device_id, updated_at)
 where status in ('failed', 'unconfirmed');

-- migrate:down transaction:false
drop index concurrently broadcast_messages_failed_of;
