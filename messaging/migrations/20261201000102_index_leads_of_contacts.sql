-- migrate:up transaction:false
create index concurrently sequence_contacts_lead on sequence_contacts (lead_id);

-- migrate:down transaction:false
drop index concurrently sequence_contacts_lead;
