-- Persons who are to be forgotten: what is left of them is a keyed hash, by which nothing is ever stored or sent again.

-- migrate:up

-- The keys of the hashes. Without pads, the key is in a file, and each session says it in drumbeat.forget_keys. With pads
-- it is here: then whoever has a copy of this database can try out phones against the hashes.
create table forgotten_keys (
    id         text primary key,
    inner_pad  bytea,
    outer_pad  bytea,
    created_at timestamptz not null default now(),
    constraint forgotten_keys_pads check ((inner_pad is null) = (outer_pad is null))
);

-- A tombstone: a phone or another name of a gateway, as HMAC-SHA256. person: the word that stands in place of the phone.
-- wrote: how many messages came since, of which nothing was kept.
create table forgotten (
    mark         bytea primary key,
    key_id       text not null references forgotten_keys (id),
    person       text not null,
    forgotten_at timestamptz not null default clock_timestamp(),
    wrote        integer not null default 0,
    wrote_at     timestamptz
);
create index forgotten_person on forgotten (person);

-- What is still to be erased. The row goes when nothing is left: neither in the ledger nor in Temporal.
create table erasures (
    person     text primary key,
    phones     text[] not null,
    names      text[] not null,
    workflows  text[] not null default '{}',
    asked_at   timestamptz not null default clock_timestamp(),
    erased_at  timestamptz
);

create function forget_lock() returns bigint language sql immutable as $$ select 7271995 $$;

create function keys_of_forgotten() returns table (id text, inner_pad bytea, outer_pad bytea) language sql stable as $$
    select k.id, k.inner_pad, k.outer_pad from forgotten_keys k where k.inner_pad is not null
    union all
    select split_part(w, ':', 1), decode(split_part(w, ':', 2), 'hex'), decode(split_part(w, ':', 3), 'hex')
      from unnest(string_to_array(nullif(current_setting('drumbeat.forget_keys', true), ''), ',')) w
$$;

-- HMAC-SHA256 of a phone (E.164) or another name, by a key that was padded already.
create function forgotten_mark(p_name text, p_inner bytea, p_outer bytea) returns bytea language sql immutable as $$
    select sha256(p_outer || sha256(p_inner || convert_to(p_name, 'UTF8')))
$$;

-- Whether the person with one of these phones, or other names, is to be forgotten. While nobody is, this costs one look at
-- an empty table.
create function is_forgotten(variadic p_names text[]) returns boolean language plpgsql stable as $$
begin
    if not exists (select from forgotten) then
        return false;
    elsif exists (select from forgotten_keys k where not exists (select from keys_of_forgotten() h where h.id = k.id)) then
        raise exception 'this process has not the key by which forgotten persons are known' using errcode = 'P0002';
    end if;
    return exists (select from unnest(p_names) n (name), keys_of_forgotten() k, forgotten f
                    where f.mark = forgotten_mark(n.name, k.inner_pad, k.outer_pad));
end $$;

-- Nothing is stored under a forgotten phone. Whoever forgets somebody holds the lock alone: so a row that was stored before is
-- seen there, and one that is stored after sees the tombstone here. No phone in the message, as it comes into logs.
create function refuse_forgotten() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(forget_lock());
    if is_forgotten(new.phone) then
        raise exception 'the person asked to be forgotten' using errcode = 'check_violation', constraint = 'not_forgotten';
    end if;
    return new;
end $$;

create function refuse_forgotten_recipient() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(forget_lock());
    if is_forgotten(new.recipient_phone) then
        raise exception 'the person asked to be forgotten' using errcode = 'check_violation', constraint = 'not_forgotten';
    end if;
    return new;
end $$;

-- That an enrollment was refused is not noted of them.
create function skip_forgotten() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(forget_lock());
    return case when is_forgotten(new.phone) then null else new end;
end $$;

-- A message of a forgotten person stays as it is: nothing makes it wait to be sent again.
create function stay_forgotten() returns trigger language plpgsql as $$
begin
    return null;
end $$;

select lock_tables('leads in share row exclusive mode', 'broadcast_messages in access exclusive mode',
                   'sequence_contacts in access exclusive mode', 'suppressions in share row exclusive mode',
                   'inbound_messages in share row exclusive mode', 'wanted_enrollments in share row exclusive mode',
                   'refused_enrollments in share row exclusive mode');

-- What is left of a forgotten person's messages and enrollments belongs to no lead.
alter table sequence_contacts alter column lead_id drop not null;
alter table broadcast_messages drop constraint broadcast_messages_lead;
alter table broadcast_messages add constraint broadcast_messages_lead
      check (lead_id is not null or purpose is not null or recipient_phone like 'forgotten-%') not valid;

create trigger not_forgotten before insert or update of phone on leads for each row execute function refuse_forgotten();
create trigger not_forgotten before insert or update of phone on suppressions for each row execute function refuse_forgotten();
create trigger not_forgotten before insert or update of phone on inbound_messages for each row
       when (new.phone is not null) execute function refuse_forgotten();
create trigger not_forgotten before insert or update of phone on wanted_enrollments for each row execute function refuse_forgotten();
create trigger not_forgotten before insert or update of phone on refused_enrollments for each row execute function skip_forgotten();
-- Messages of sequences and campaigns have a lead, which is not there.
create trigger not_forgotten before insert on broadcast_messages for each row
       when (new.purpose is not null) execute function refuse_forgotten_recipient();
create trigger stay_forgotten before update of status on broadcast_messages for each row
       when (new.recipient_phone like 'forgotten-%' and is_waiting(new.status)) execute function stay_forgotten();

-- migrate:down

drop trigger stay_forgotten on broadcast_messages;
drop trigger not_forgotten on broadcast_messages;
drop trigger not_forgotten on refused_enrollments;
drop trigger not_forgotten on wanted_enrollments;
drop trigger not_forgotten on inbound_messages;
drop trigger not_forgotten on suppressions;
drop trigger not_forgotten on leads;
drop function stay_forgotten, skip_forgotten, refuse_forgotten_recipient, refuse_forgotten, is_forgotten, forgotten_mark, keys_of_forgotten, forget_lock;
drop table erasures, forgotten, forgotten_keys;
