-- The messages that need somebody: 'messages' lists them, 'status' counts the failed ones by reason. Without it each of these
-- reads the whole ledger. On the way of a message that is sent, no row enters this index; and it names no column that an
-- update of a message did not have to look at before (updated_at would: a receipt would have to touch every index).

-- migrate:up transaction:false

create index concurrently if not exists broadcast_messages_failed on broadcast_messages (status)
    where status in ('failed', 'unconfirmed');

-- migrate:down

drop index broadcast_messages_failed;
