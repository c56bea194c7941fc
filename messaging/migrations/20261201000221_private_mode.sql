-- Whether private mode is on, and by which key Temporal knows people.

-- migrate:up

create table private_mode (
    single    boolean primary key default true check (single),  -- there is one row at most
    ids_check text not null,                                    -- an HMAC by which the key is known again
    since     timestamptz not null default clock_timestamp()
);

-- migrate:down

drop table private_mode;
