-- migrate:up transaction:false
create index concurrently broadcast_messages_went_to on broadcast_messages (went_to) where went_to is not null;

-- migrate:down transaction:false
drop index concurrently broadcast_messages_went_to;
