-- A ledger that was restored to an earlier moment sends nothing until an operator has confirmed it: what went out since
-- is not in it. How a restore is found, and what follows: docs/recovery.md.

-- migrate:up

-- The restores that were found. While one is not confirmed, everything is paused (pause_of).
create table restores (
    id            bigint generated always as identity primary key,
    how           text        not null,                             -- how it was found, for people to read
    restored_to   timestamptz,                                      -- the last moment that the ledger knows of
    found_at      timestamptz not null default clock_timestamp(),
    settled_at    timestamptz,                                      -- when what may have been sent since was marked
    confirmed_at  timestamptz
);
create unique index restores_open on restores ((true)) where confirmed_at is null;

-- Where the ledger was written: one row, which is never updated. A dump that is restored, or a copy of rows, gives it another
-- xmin or another table; recovery to a moment, and a standby that takes over, begin another timeline.
create table ledger_home (
    one         boolean primary key default true check (one),
    written_by  bigint      not null,                               -- the transaction that wrote it
    in_table    oid         not null,
    timeline    text        not null,
    noted_at    timestamptz not null default clock_timestamp()
);

-- How far the ledger is: a count that only grows. Workers note it in Temporal, too. If the count there is higher, the ledger's
-- files were put back to an earlier moment.
create table ledger_mark (
    one       boolean primary key default true check (one),
    mark      bigint      not null default 0,
    noted_at  timestamptz not null default clock_timestamp()
);

-- The timeline of PostgreSQL's write-ahead log. A standby does not say; nothing is sent from one.
create function ledger_timeline() returns text
language sql stable as $$
    select case when pg_is_in_recovery() then null else left(pg_walfile_name(pg_current_wal_lsn()), 8) end
$$;

-- True unless the ledger is another than the one that was noted. Transactions are compared as xmin has them, modulo 2^32.
create function ledger_is_at_home() returns boolean
language sql stable as $$
    select coalesce((select h.xmin::text::bigint = h.written_by % 4294967296 and h.tableoid = h.in_table
                            and coalesce(h.timeline = ledger_timeline(), true)
                       from ledger_home h), true)
$$;

-- Why everything is paused after a restore, for people to read; null if it is not.
create function hold_of_restore() returns text
language sql stable as $$
    select 'everything is paused: the ledger was restored to an earlier moment; ''audit --repair'' says what may have been sent since'
     where exists (select from restores where confirmed_at is null) or not ledger_is_at_home()
$$;

-- Notes that the ledger is where it is now. Call it in a transaction of its own, not below a savepoint.
create function note_ledger_home() returns void
language sql as $$
    delete from ledger_home;
    insert into ledger_home (written_by, in_table, timeline)
    values (pg_current_xact_id()::text::bigint, 'ledger_home'::regclass, ledger_timeline())
$$;

-- Puts the hold of a restore, once, and answers whether it was news. What was created since the moment of the backup has
-- numbers that Temporal still uses: new rows get others, so that no number ever means two things. With the rights of the
-- tables' owner, as a worker may not set sequences.
create function note_restore(p_how text, p_restored_to timestamptz) returns boolean
language plpgsql security definer set search_path from current as $$
declare
    numbered text;
begin
    perform pg_advisory_xact_lock(7271994);
    if exists (select from restores where confirmed_at is null) then
        return false;
    end if;
    insert into restores (how, restored_to)
    values (p_how, coalesce(p_restored_to, (select max(seen_at) from workers), (select noted_at from ledger_mark)));
    foreach numbered in array array['sequence_contacts', 'sequences', 'sequence_steps', 'campaigns', 'leads'] loop
        execute format('select setval(%1$L, (select last_value from %1$s) + 1000000)',
                       pg_get_serial_sequence(numbered, 'id'));
    end loop;
    return true;
end $$;

-- The same as before, and what a restore holds. Workers of every release are to be held, so it keeps its name.
create or replace function pause_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce(
        hold_of_restore(),
        (select 'campaign ' || name || ' is paused' || coalesce(': ' || reason, '')
           from campaigns where id = m.campaign_id and status = 'paused'),
        (select case when c.paused_at is not null and c.status = 'active'
                     then 'the contact is paused' || coalesce(': ' || c.paused_reason, '')
                     when s.status = 'paused' then 'sequence ' || s.name || ' is paused' || coalesce(': ' || s.status_reason, '')
                end
           from sequence_contacts c join sequences s on s.id = c.sequence_id where c.id = m.sequence_contact_id),
        (select 'device ' || id || ' is paused' || coalesce(': ' || status_reason, '')
           from devices where id = m.device_id and status <> 'active' and replaced_by is null))
$$;

insert into ledger_mark default values;
select note_ledger_home();

-- migrate:down

create or replace function pause_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce(
        (select 'campaign ' || name || ' is paused' || coalesce(': ' || reason, '')
           from campaigns where id = m.campaign_id and status = 'paused'),
        (select case when c.paused_at is not null and c.status = 'active'
                     then 'the contact is paused' || coalesce(': ' || c.paused_reason, '')
                     when s.status = 'paused' then 'sequence ' || s.name || ' is paused' || coalesce(': ' || s.status_reason, '')
                end
           from sequence_contacts c join sequences s on s.id = c.sequence_id where c.id = m.sequence_contact_id),
        (select 'device ' || id || ' is paused' || coalesce(': ' || status_reason, '')
           from devices where id = m.device_id and status <> 'active' and replaced_by is null))
$$;
drop function note_restore, note_ledger_home, hold_of_restore, ledger_is_at_home, ledger_timeline;
drop table ledger_mark, ledger_home, restores;
