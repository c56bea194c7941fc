"""A big ledger: a million messages, leads and contacts, or a tenth of that."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

__all__ = ["BIG", "MILLION", "NOW", "TENTH", "Big", "fill", "sized"]

BIG = ("broadcast_messages", "leads", "sequence_contacts", "events")

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

MILLION = 1_000_000
TENTH = MILLION // 10

# ":rows" is how many there are of each, ":half" half of the running campaign's audience.

# There are 80,000 fictional numbers. The others bear one digit more, and belong to nobody either: none is that long.
_PEOPLE = """
create function fictional(n bigint) returns text language sql immutable as $$
    select '+1' || 200 + n / 100 % 800 || '55501' || lpad((n % 100)::text, 2, '0') || case when n >= 80000 then (n / 80000)::text else '' end
$$;
insert into devices (id, gateway, min_delay, max_delay)
select 'hot-' || n, 'simulated', case when n = 4 then 5 else 0 end, case when n = 4 then 15 else 0 end from generate_series(0, 4) n;
insert into leads (phone, name, niches, triggers, device_id)
select fictional(n), 'Lead ' || n, array['NICHE' || n % 8], case when n % 100 = 0 then array['SPRING'] else '{}' end, 'hot-' || n / 10 % 5
  from generate_series(0, :rows - 1) n;
insert into suppressions (phone) select fictional(n * 37) from generate_series(0, 1999) n;
insert into sequences (name, trigger, device_id) select 'S' || n, case when n = 0 then 'SPRING' end, 'hot-0' from generate_series(0, 4) n;
insert into sequence_steps (sequence_id, key, position, day, text)
select s.id, 'step-' || p, p, p, 'Hi' from sequences s, generate_series(1, 3) p;
insert into sequence_contacts (sequence_id, lead_id, phone, device_id, status, workflow_id, run_id, timeline, plan_revision,
                               next_step_id, next_due_at, enrolled_at, ended_at)
select s.id, l.id, l.phone, l.device_id, case when active then 'active' else 'completed' end, 'sequence:' || s.name || ':' || l.phone, 'run',
       jsonb_build_object('zone', 'UTC', 'enrolled_at', '2026-11-01T08:00:00Z', 'done', '["step-1", "step-2"]'::jsonb), 1,
       case when active then t.id end, case when active then timestamptz '2026-11-25 12:00Z' end,
       timestamptz '2026-11-01 08:00Z', case when not active then timestamptz '2026-11-03 08:00Z' end
  from leads l
 cross join lateral (select l.id % 10 = 5 as active) a
  join sequences s on s.name = 'S' || l.id % 4 + 1
  join sequence_steps t on t.sequence_id = s.id and t.position = 3;
insert into campaigns (name, text, status, shards, audience, started_at, frozen_at, ended_at)
select 'C' || n, 'Half price', case when n = 8 then 'running' else 'finished' end, 10,
       jsonb_object_agg('hot-' || d, case when n = 8 then :rows / 50 else :rows / 100 end),
       now(), now(), case when n < 8 then now() end
  from generate_series(1, 8) n, generate_series(0, 4) d group by n order by n;
"""

# Somebody has paused devices, and since then the sweep has enrolled each contact.
_EVENTS = """
insert into events (id, act, actor, via, kind, device)
select n, n, 'anna', 'command line', 'device.paused', 'hot-' || n % 5 from generate_series(1, 1000) n;
insert into events (id, act, actor, via, kind, phone, sequence, device)
select 1000 + c.id, 1000 + c.id, 'drumbeat', 'itself', 'contact.enrolled', c.phone, s.name, c.device_id
  from sequence_contacts c join sequences s on s.id = c.sequence_id;
select setval('events_id_seq', max(id)) from events
"""

# Of a million, 580,000 of sequences, of the first 200,000 contacts: three steps for 180,000 that are through, two for
# 20,000 that are on their way.
_STEPS = """
insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at, attempts,
                                status, processing_worker_id, claimed_at, content, gateway_message_id, reason, sent_at, slot_at)
select gen_random_uuid(), t.id, c.id, c.lead_id, c.phone, c.device_id, timestamptz '2026-11-25 12:00Z', 1,
       s.status, 'worker', now(), 'Hi', case when s.status = 'sent' then 'wamid.s' || c.id || '.' || t.position end,
       s.reason, case when s.status = 'sent' then now() end, case when s.status = 'queued' then timestamptz '2100-01-01Z' end
  from sequence_contacts c join sequence_steps t on t.sequence_id = c.sequence_id
 cross join lateral (select (c.id * 7919 + t.position * 104729) % 1000 as dice) d
 cross join lateral (select
       case when t.position = 3 and c.id % 200 = 5 then 'queued' when t.position = 3 and c.id % 2000 = 15 then 'processing'
            when dice < 970 then 'sent' when dice < 985 then 'failed' when dice < 995 then 'suppressed'
            when dice < 998 then 'cancelled' else 'unconfirmed' end as status,
       case when t.position = 3 and c.id % 200 = 5 then 'waits for its slot' when dice >= 970 then 'reason ' || dice % 7 end as reason) s
 where c.id <= :rows / 5 and (c.status = 'completed' or t.position < 3 or c.id % 200 = 5 or c.id % 2000 = 15)
"""

# Of a million, 450,000 of campaigns. The last one runs: of its 100,000 leads, 50,000 are not settled. 1,000 of them are under
# way, of however many.
_CAMPAIGNS = """
insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, attempts, campaign_shard, campaign_position,
                                status, processing_worker_id, claimed_at, content, gateway_message_id, reason, sent_at, slot_at)
select gen_random_uuid(), k.id, l.id, l.phone, l.device_id, timestamptz '2026-11-25 11:00Z', 1, n % 10, n,
       s.status, 'worker', now(), 'Half price', case when s.status = 'sent' then 'wamid.c' || k.id || '.' || n end,
       s.reason, case when s.status = 'sent' then now() end, case when s.status = 'queued' then timestamptz '2100-01-01Z' end
  from campaigns k
 cross join lateral generate_series(0, case when k.name = 'C8' then :rows / 10 else :rows / 20 end - 1) n
  join leads l on l.id = (n + k.id * :rows / 50) % (:rows / 5) + 1
 cross join lateral (select (n * 7919 + k.id * 104729) % 1000 as dice) d
 cross join lateral (select
       case when k.name = 'C8' and n >= :half + 1000 then 'pending' when k.name = 'C8' and n >= :half + 100 then 'queued'
            when k.name = 'C8' and n >= :half then 'processing'
            when dice < 970 then 'sent' when dice < 985 then 'failed' when dice < 995 then 'suppressed'
            when dice < 998 then 'cancelled' else 'unconfirmed' end as status,
       case when k.name = 'C8' and n >= :half then case when n between :half + 100 and :half + 999 then 'waits for its slot' end
            when dice >= 970 then 'reason ' || dice % 7 end as reason) s
"""

# Phones that got much have written; one message of twenty says stop.
_ANSWERS = """
insert into inbound_messages (device_id, gateway_message_id, kind, phone, text, meaning, to_review, sent_at)
select l.device_id, 'in.' || n, 'text', l.phone, 'Hi', case when n % 20 = 0 then 'stop' else 'none' end,
       case when n % 20 > 0 then 'answer' end, now() + n * interval '1 second'
  from generate_series(0, :rows / 20 - 1) n
  join leads l on l.id = n % (:rows / 50) * 10 + 1;
analyze inbound_messages
"""

# But for the keys that other tables refer to.
_INDEXES = """
select c.relname as name, i.indrelid::regclass::text as table, pg_get_indexdef(i.indexrelid) as definition, k.conname as constraint,
       case k.contype when 'p' then 'primary key' else 'unique' end as kind
  from pg_index i join pg_class c on c.oid = i.indexrelid
  left join pg_constraint k on k.conindid = i.indexrelid and k.contype <> 'f'
 where i.indrelid::regclass::text = any ($1)
   and not exists (select from pg_constraint f where f.conindid = i.indexrelid and f.contype = 'f') order by c.relname
"""


def sized(sql: str, rows: int) -> str:
    return sql.replace(":rows", str(rows)).replace(":half", str(rows // 20))


async def _fill_tables(url: str, rows: int) -> None:
    """So many of each. Their indexes are made afterwards, which takes a third of the time, and are the migrations'."""
    connection = await asyncpg.connect(url)
    try:
        # Foreign keys are not looked at: five for each of the rows.
        await connection.execute("set session_replication_role = replica; set maintenance_work_mem = '256MB'")
        # What runs by itself would change plans and counts in the middle.
        for table in BIG:
            await connection.execute(f"alter table {table} set (autovacuum_enabled = false)")
        indexes = await connection.fetch(_INDEXES, BIG)
        for index in indexes:
            await connection.execute(
                f"alter table {index['table']} drop constraint {index['constraint']}"
                if index["constraint"]
                else f"drop index {index['name']}"
            )
        await connection.execute(sized(_PEOPLE, rows))
        await connection.execute(sized(_EVENTS, rows))
        await connection.execute("analyze leads, sequence_contacts, sequences, sequence_steps, campaigns")
        await connection.execute(sized(_STEPS, rows))
        await connection.execute(sized(_CAMPAIGNS, rows))
        await connection.execute(sized(_ANSWERS, rows))
        for index in indexes:
            await connection.execute(index["definition"])
            if index["constraint"]:
                await connection.execute(
                    f"alter table {index['table']} add constraint {index['constraint']}"
                    f" {index['kind']} using index {index['name']}"
                )
        for table in BIG:
            await connection.execute(f"vacuum (analyze) {table}")
    finally:
        await connection.close()


@dataclass(frozen=True)
class Big:
    """The database, and rows of it to ask for."""

    url: str
    rows: int
    campaign: int
    over: int
    pending: UUID
    paced: UUID
    sending: UUID
    sent: UUID
    gateway_id: str
    contact: int
    contact_step: int
    contact_waits: int
    contact_waits_message: UUID
    step_sending: UUID
    done: int
    phone: str

    @property
    def half(self) -> int:
        """The position in the running campaign from which on nobody is settled."""
        return self.rows // 20


_SAMPLES = """
select (select id from campaigns where name = 'C8') as campaign,
       (select id from campaigns where name = 'C3') as over,
       (select m.id from broadcast_messages m where campaign_position = :half * 7 / 5 and device_id <> 'hot-4') as pending,
       (select m.id from broadcast_messages m where campaign_position = :half * 7 / 5 + 40 and device_id = 'hot-4') as paced,
       (select m.id from broadcast_messages m where campaign_position = :half + 50) as sending,
       (select m.id from broadcast_messages m where gateway_message_id = 'wamid.c3.' || :half * 2 / 5) as sent,
       'wamid.c3.' || :half * 3 / 5 as gateway_id,
       (select id from sequence_contacts where id % 200 = 25 and device_id = 'hot-2' limit 1) as contact,
       (select next_step_id from sequence_contacts where id % 200 = 25 and device_id = 'hot-2' limit 1) as contact_step,
       w.sequence_contact_id as contact_waits, w.id as contact_waits_message,
       (select id from broadcast_messages where status = 'processing' and sequence_contact_id is not null limit 1) as step_sending,
       (select id from sequence_contacts where status = 'completed' limit 1) as done,
       (select phone from leads where id = :rows / 8 + 8) as phone
  from (select * from broadcast_messages where status = 'queued' and sequence_contact_id is not null limit 1) w
"""


async def fill(url: str, rows: int) -> Big:
    """Fills a database with so many of each."""
    await _fill_tables(url, rows)
    connection = await asyncpg.connect(url)
    try:
        samples = await connection.fetchrow(sized(_SAMPLES, rows))
        assert samples is not None
        assert await connection.fetchval("select count(*) from broadcast_messages") >= rows
        return Big(url=url, rows=rows, **samples)
    finally:
        await connection.close()
