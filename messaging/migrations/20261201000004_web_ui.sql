-- migrate:up

select lock_tables('devices, sequences in access exclusive mode');

-- Devices and sequences have a workflow each, on whose page operators watch and steer them. This is the state that the
-- workflow was told last (messaging.reporting.shown); null: it is to be started, or told again.
alter table devices add column shown_as text;
alter table sequences add column shown_as text;

-- migrate:down

alter table sequences drop column shown_as;
alter table devices drop column shown_as;
