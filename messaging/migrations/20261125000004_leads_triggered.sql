-- The sweep pages through the leads that bear a trigger.

-- migrate:up transaction:false

create index concurrently if not exists leads_triggered on leads (id) where triggers <> '{}';

-- migrate:down

drop index leads_triggered;
