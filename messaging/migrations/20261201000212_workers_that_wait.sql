-- Workers whose version is not the current one in Temporal: they run, and get nothing to do.

-- migrate:up

select lock_tables('workers in access exclusive mode');

alter table workers add column waits boolean not null default false;

-- migrate:down

alter table workers drop column waits;
