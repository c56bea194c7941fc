-- What each running worker takes on.

-- migrate:up

select lock_tables('workers in access exclusive mode');

alter table workers
    add column roles text[] not null default '{workflows,sends,housekeeping}';  -- workers of before have all

-- migrate:down

alter table workers
    drop column roles;
