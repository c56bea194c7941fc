-- A gateway's receipts name its own ID of a message.

-- migrate:up transaction:false

create index concurrently if not exists broadcast_messages_gateway_id on broadcast_messages (gateway_message_id)
    where gateway_message_id is not null;

-- migrate:down

drop index broadcast_messages_gateway_id;
