-- Of which version each running worker is, for upgrades.

-- migrate:up

select lock_tables('workers in access exclusive mode');

alter table workers
    add column version  text,  -- of Drumbeat; null for 0.1.0
    add column build_id text;  -- in Temporal's Worker Versioning; null without it

-- migrate:down

alter table workers
    drop column version,
    drop column build_id;
