-- migrate:up transaction:false
create index concurrently broadcast_messages_lead on broadcast_messages (lead_id);

-- migrate:down transaction:false
drop index concurrently broadcast_messages_lead;
