-- How far contents that are old were let go, in each table: the next page of its storage, and when its end was reached.

-- migrate:up

create table retained (
    relation   text primary key,
    page       bigint not null default 0,
    through_at timestamptz
);

-- migrate:down

drop table retained;
