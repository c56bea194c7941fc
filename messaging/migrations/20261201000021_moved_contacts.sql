-- An enrollment is wanted by an inbound message, or by an operator, who moves a contact to another sequence.

-- migrate:up

select lock_tables('wanted_enrollments in access exclusive mode');
alter table wanted_enrollments alter column inbound_message_id drop not null;

-- migrate:down

delete from wanted_enrollments where inbound_message_id is null;
alter table wanted_enrollments alter column inbound_message_id set not null;
