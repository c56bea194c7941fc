"""The queries that run for every message, page or look stay small at a million messages, leads and contacts.

A tenth of that shows it too, and is tried every time; the million is tried with the long tests.

Each is run by the code that owns it, and caught on its way to the server. Then it is prepared and explained eight times
with the same arguments, as asyncpg's cache would have it: the last ones may follow a generic plan. What is counted does not
depend on the machine: rows read, and buffers touched. What a function does inside counts with it, its plans too.

No query named here scans one of the three big tables, but for the reports of operators and the start of a campaign, of
which that is said.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, cast
from uuid import UUID

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.contract import FeedRequest
from messaging.campaigns.lifecycle import finish_campaign, retry_failed
from messaging.campaigns.store import list_campaigns
from messaging.common.database import Connection, Pool
from messaging.leads.lead import Lead
from messaging.leads.store import upsert_lead
from messaging.reporting.contact import contact_report
from messaging.reporting.messages import list_messages
from messaging.reporting.status import status_report
from messaging.sending.ledger import Ledger
from messaging.sending.message_status import MessageStatus
from messaging.sending.positions import NextPosition
from messaging.sending.telling import Tell, count_held, page
from messaging.sequences.contract import Enrolled, EnrollmentEnd, EnrollmentRequest, SweepCursor
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.triggers import due_enrollments
from messaging.times.calendar import Timeline
from operations.connection import Drumbeat
from operations.enrollment import opt_out
from operations.signals import ReplanCounts, plan_changed
from runtime.embedded.postgres import Postgres
from tests.support.databases import Databases

pytestmark = pytest.mark.timeout(400)

BIG = ("broadcast_messages", "leads", "sequence_contacts")

TIMES = 8
"""PostgreSQL thinks of a generic plan from the sixth on."""

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

MILLION = 1_000_000
TENTH = MILLION // 10

# ------------------------------------------------------------------------------------------------------------ a big ledger
#
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

# But for the keys that other tables refer to.
_INDEXES = """
select c.relname as name, i.indrelid::regclass::text as table, pg_get_indexdef(i.indexrelid) as definition, k.conname as constraint,
       case k.contype when 'p' then 'primary key' else 'unique' end as kind
  from pg_index i join pg_class c on c.oid = i.indexrelid
  left join pg_constraint k on k.conindid = i.indexrelid and k.contype <> 'f'
 where i.indrelid::regclass::text = any ($1)
   and not exists (select from pg_constraint f where f.conindid = i.indexrelid and f.contype = 'f') order by c.relname
"""


def _sized(sql: str, rows: int) -> str:
    return sql.replace(":rows", str(rows)).replace(":half", str(rows // 20))


async def _fill(url: str, rows: int) -> None:
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
        await connection.execute(_sized(_PEOPLE, rows))
        await connection.execute("analyze leads, sequence_contacts, sequences, sequence_steps, campaigns")
        await connection.execute(_sized(_STEPS, rows))
        await connection.execute(_sized(_CAMPAIGNS, rows))
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


@pytest.fixture(
    scope="module",
    params=[TENTH, pytest.param(MILLION, marks=pytest.mark.long)],
    ids=["a tenth", "a million"],
)
def big(postgres: Postgres, databases: Databases, request: pytest.FixtureRequest) -> Iterator[Big]:
    """The big ledger, made once."""
    rows: int = request.param

    async def fill(url: str) -> Big:
        await _fill(url, rows)
        connection = await asyncpg.connect(url)
        try:
            samples = await connection.fetchrow(_sized(_SAMPLES, rows))
            assert samples is not None
            assert await connection.fetchval("select count(*) from broadcast_messages") >= rows
            return Big(url=url, rows=rows, **samples)
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        name = runner.run(databases.take())
        try:
            yield runner.run(fill(postgres.url(name)))
        finally:
            runner.run(databases.give_back(name))


# ----------------------------------------------------------------------------------------------------- what a query takes


@dataclass
class QueryCost:
    """What some statements took, the worst of eight times of each. ``scanned``: big tables that were read as a whole."""

    rows: int = 0
    buffers: int = 0
    scanned: set[str] = field(default_factory=set)
    plans: list[str] = field(default_factory=list)

    def beyond(self, limit: "Limit") -> list[str]:
        """What is more than it may be."""
        found = [f"{table} is scanned" for table in sorted(self.scanned) if not limit.scans]
        if self.rows > limit.rows:
            found.append(f"{self.rows:,} rows of big tables are read, and {limit.rows:,} are allowed")
        if self.buffers > limit.buffers:
            found.append(f"{self.buffers:,} buffers are touched, and {limit.buffers:,} are allowed")
        return found


@dataclass(frozen=True)
class Limit:
    """What a case may take. ``scans``: also a pass over a big table. ``before``: SQL that comes first, and is undone.

    ``grows``: what is given is for a million, and of fewer it may take as much less, but for a hundred buffers.
    """

    rows: int
    buffers: int
    grows: bool = False
    scans: bool = False
    before: str = ""

    def of(self, rows: int) -> "Limit":
        """For so many rows of each."""
        sized = replace(self, before=_sized(self.before, rows))
        if not self.grows:
            return sized
        return replace(sized, rows=self.rows * rows // MILLION, buffers=100 + self.buffers * rows // MILLION)


class OneConnection:
    """The part of a pool that the domain uses, on one connection, whose transaction stays open."""

    def __init__(self, connection: Connection) -> None:
        self.fetch = connection.fetch
        self.fetchrow = connection.fetchrow
        self.fetchval = connection.fetchval
        self.execute = connection.execute
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """The connection."""
        yield self._connection


Case = Callable[[Pool, Big], Awaitable[Any]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Connection]:
    """A connection in a transaction that is undone."""
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()
    finally:
        await connection.close()


async def cost_of(connection: Connection, case: Case, big: Big, times: int = TIMES) -> QueryCost:
    """Runs the case, undoes it, and explains each of its statements."""
    caught: list[LoggedQuery] = []
    attempt = connection.transaction()
    await attempt.start()
    with connection.query_logger(caught.append):
        await case(cast("Pool", OneConnection(connection)), big)
    await attempt.rollback()
    taken = QueryCost()
    for query, arguments in {
        (one.query, repr(one.args)): (one.query, one.args)
        for one in caught
        if one.query.split(maxsplit=1)[0].lower() in ("select", "with", "insert", "update", "delete")
    }.values():
        await _explain(connection, query, arguments, times, taken)
    assert taken.plans, "no statement was caught"
    return taken


async def _explain(
    connection: Connection, query: str, arguments: Sequence[Any], times: int, taken: QueryCost
) -> None:
    types = [one.name for one in (await connection.prepare(query)).get_parameters()]
    literals = [
        await connection.fetchval(f"select quote_nullable($1::{kind}::text)", argument)
        for kind, argument in zip(types, arguments, strict=True)
    ]
    await connection.execute(f"prepare hot as {query}")
    call = f"execute hot({', '.join(literals)})" if literals else "execute hot"
    rows = buffers = 0
    for number in range(times):
        before = await _read(connection)
        attempt = connection.transaction()
        await attempt.start()
        answer = json.loads(
            await connection.fetchval(f"explain (analyze, buffers, timing off, format json) {call}")
        )
        await attempt.rollback()
        after = await _read(connection)
        plan = answer[0]["Plan"]
        taken.scanned |= {table for table in BIG if after[table][0] > before[table][0]}
        taken.scanned |= {
            node["Relation Name"]
            for node in _nodes(plan)
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG
        }
        by_plan = sum(_rows_read(node) for node in _nodes(plan))
        by_count = sum(after[table][1] - before[table][1] for table in BIG)
        rows = max(rows, by_plan, by_count)
        # In the first of several, a new session's reading of the catalogue is counted with it.
        if number or times == 1:
            buffers = max(buffers, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    await connection.execute("deallocate hot")
    taken.rows += rows
    taken.buffers += buffers
    taken.plans.append(f"{rows:,} rows, {buffers:,} buffers: {query}\n{json.dumps(plan, indent=1)}")


async def _read(connection: Connection) -> dict[str, tuple[int, int]]:
    """Of each big table: scans in this transaction, and rows read, also inside of functions."""
    rows = await connection.fetch(
        "select relname, seq_scan, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows"
        " from pg_stat_xact_user_tables where relname = any($1)",
        BIG,
    )
    return {row["relname"]: (row["seq_scan"], row["rows"]) for row in rows}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows_read(node: dict[str, Any]) -> int:
    if node.get("Relation Name") not in BIG or "Scan" not in node["Node Type"]:
        return 0
    kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    each = sum(float(node.get(kind, 0)) for kind in kinds)
    return round(each * float(node["Actual Loops"]))


# --------------------------------------------------------------------------------------------------------------- the cases


async def _claim(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_stored(big.pending, "token")


async def _claim_paced(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_stored(big.paced, "token")


async def _claim_new_step(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_step(
        enrollment_id=big.contact,
        step_id=big.contact_step,
        revision=1,
        message_id=UUID(int=1),
        token="token",
    )


async def _claim_step_again(pool: Pool, big: Big) -> None:
    await Ledger(pool).claim_step(
        enrollment_id=big.contact_waits,
        step_id=0,
        revision=1,
        message_id=big.contact_waits_message,
        token="token",
    )


async def _settle(pool: Pool, big: Big) -> None:
    await Ledger(pool).settle(
        big.sending, "worker", MessageStatus.SENT, NOW, gateway_message_id="wamid.new", content="Half price"
    )


async def _settle_step(pool: Pool, big: Big) -> None:
    position = NextPosition(
        timeline=Timeline(zone="UTC", enrolled_at=NOW, done=("step-1", "step-2", "step-3")),
        next_step_id=None,
        next_due_at=None,
        plan_revision=1,
    )
    await Ledger(pool).settle(
        big.step_sending, "worker", MessageStatus.SENT, NOW, gateway_message_id="wamid.new", position=position
    )


async def _give_back(pool: Pool, big: Big) -> None:
    await Ledger(pool).release(big.sending, "worker", "the gateway is down")


async def _doubt(pool: Pool, big: Big) -> None:
    await Ledger(pool).doubt(big.sending, "worker", "no answer")


async def _note_parts(pool: Pool, big: Big) -> None:
    await Ledger(pool).note_parts(big.sending, "worker", 1, now=NOW)


def _receipt(message: Callable[[Big], UUID | None], gateway_id: Callable[[Big], str]) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        async with pool.acquire() as connection:
            # As the procedure does that is called with all receipts of a request.
            await connection.fetchval(
                "select record_receipt($1, $2, $3, $4, $5, $6, $7, $8)",
                *("simulated", message(big), gateway_id(big), "delivered", NOW, None, None, False),
            )

    return case


def _feed(after: Callable[[Big], int] | None, shards: int = 10, *, over: bool = False) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        positions = {} if after is None else {f"hot-{number}": after(big) for number in range(5)}
        request = FeedRequest(
            campaign_id=big.over if over else big.campaign,
            campaign="C3" if over else "C8",
            shard=3,
            shards=shards,
            positions=positions,
        )
        page = await campaign_feed.feed_page(pool, request, now=NOW)
        assert page.settled == over

    return case


async def _is_settled(pool: Pool, big: Big) -> None:
    assert not await campaign_feed.is_settled(pool, big.campaign)


async def _is_settled_at_the_end(pool: Pool, big: Big) -> None:
    assert await campaign_feed.is_settled(pool, big.over)


async def _progress(pool: Pool, big: Big) -> None:
    assert (await campaign_feed.progress(pool, big.campaign, now=None)).unsettled == big.half


async def _finish_campaign(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        assert not await finish_campaign(connection, big.campaign)


async def _under_way(pool: Pool, big: Big) -> None:
    assert len(await campaign_feed.phones_under_way(pool, big.campaign)) == 900


async def _close_page(pool: Pool, big: Big) -> None:
    # All but those that are at the gateway.
    waiting = big.half - 100
    assert await campaign_feed.close_page(pool, big.campaign) == min(waiting, campaign_feed.CLOSED_TOGETHER)


async def _close_page_of_others(pool: Pool, big: Big) -> None:
    assert await campaign_feed.close_page(pool, big.campaign) == 0


def _held(kind: Literal["sequence", "device", "campaign"], name: str) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        await count_held(pool, kind, name)

    return case


def _to_tell(kind: Literal["plans", "device"], name: str) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        await page(pool, Tell(kind=kind, name=name))

    return case


def _messages(*statuses: MessageStatus) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        assert len(await list_messages(pool, statuses, 100)) == 100

    return case


async def _status(pool: Pool, big: Big) -> None:
    assert (await status_report(pool)).leads == big.rows


async def _campaigns(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        await list_campaigns(connection, "C8")


async def _contact(pool: Pool, big: Big) -> None:
    assert (await contact_report(pool, big.phone, big.phone)).messages


def _sweep(trigger: str | None, *, least: int = 150) -> Case:
    """A page of 200 leads, of whom so many are to be enrolled. ``trigger``: the one that the page before ended with."""

    async def case(pool: Pool, big: Big) -> None:
        after = big.rows // 10 if trigger else 0
        due = await due_enrollments(pool, SweepCursor(lead_id=after, trigger=trigger))
        assert least <= len(due.requests) <= 200

    return case


async def _enroll(pool: Pool, big: Big) -> None:
    request = EnrollmentRequest(sequence="S0", lead=Lead(phone=big.phone, name="Lead"))
    enrolled = await Enrollments(pool).enroll(request, workflow_id="w", run_id="new", now=NOW)
    assert isinstance(enrolled, Enrolled)
    assert not enrolled.duplicate


async def _plan(pool: Pool, big: Big) -> None:
    assert await Enrollments(pool).replan(big.contact, now=NOW) is not None


async def _move_past(pool: Pool, big: Big) -> None:
    await Enrollments(pool).move_past(big.contact, big.contact_step, None, now=NOW)


def _end(contact: Callable[[Big], int], *, follows: bool) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        end = EnrollmentEnd(enrollment_id=contact(big), status="completed")
        finished = await Enrollments(pool).finish(end, now=NOW)
        assert (finished.follow_up is not None) == follows

    return case


async def _new_lead(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        lead = Lead(phone="+120055501000000", name="Lead", niches=("NICHE1",), triggers=("SPRING", "AUTUMN"))
        await upsert_lead(connection, lead)


class NobodyToTell:
    """The part of a connection that tells nobody: for commands that have only the database to ask."""

    def __init__(self, pool: Pool) -> None:
        self.temporal = None
        self._pool = pool

    async def pool(self) -> Pool:
        """The pool."""
        return self._pool


async def _opt_out(pool: Pool, big: Big) -> None:
    answer = await opt_out(cast("Drumbeat", NobodyToTell(pool)), big.phone)
    assert (answer.changed, answer.ended) == (True, 0)


async def _plan_changed(pool: Pool, big: Big) -> None:
    # All plan by the present revision, and each was looked at.
    assert (await plan_changed(cast("Drumbeat", NobodyToTell(pool)), "S2")) == ReplanCounts(
        changed=0, to_tell=0
    )


async def _freeze(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        campaign = await connection.fetchval("select id from campaigns where name = 'C9'")
        rare = big.rows / 1_000
        assert 0.9 * rare < (await freeze_audience(connection, campaign, now=NOW)).leads < rare


async def _retry_failed(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        assert 0.0007 * big.rows < await retry_failed(connection, "C3") < 0.0008 * big.rows


REMOVED = "update sequence_steps set removed_at = now() where key = 'step-1'"
"""What waits of a removed step is looked for among the contact's messages, not among those of the step."""

CASES: dict[str, tuple[Case, Limit]] = {
    # For every message. What an update costs is for the most part its entries in the indexes: four buffers each.
    "claim": (_claim, Limit(rows=20, buffers=200)),
    "claim on a paced device": (_claim_paced, Limit(rows=20, buffers=200)),
    "claim of a step, its row to be made": (_claim_new_step, Limit(rows=30, buffers=400)),
    "claim of a step that waits": (_claim_step_again, Limit(rows=20, buffers=250)),
    "settle": (_settle, Limit(rows=5, buffers=100)),
    "settle of a step": (_settle_step, Limit(rows=10, buffers=150)),
    "release": (_give_back, Limit(rows=5, buffers=120)),
    "doubt": (_doubt, Limit(rows=5, buffers=100)),
    "parts": (_note_parts, Limit(rows=5, buffers=100)),
    "receipt by our ID": (
        _receipt(lambda big: big.sent, lambda big: f"wamid.c3.{big.half * 2 // 5}"),
        Limit(rows=5, buffers=100),
    ),
    "receipt by the gateway's ID": (
        _receipt(lambda _: None, lambda big: big.gateway_id),
        Limit(rows=5, buffers=100),
    ),
    "receipt of a stranger": (_receipt(lambda _: None, lambda _: "wamid.no"), Limit(rows=0, buffers=20)),
    # For every contact.
    "enroll": (_enroll, Limit(rows=20, buffers=200)),
    "enroll, a lead that is new": (_new_lead, Limit(rows=5, buffers=100)),
    "plan": (_plan, Limit(rows=20, buffers=150, before=REMOVED)),
    "plan, past a step": (_move_past, Limit(rows=20, buffers=150, before=REMOVED)),
    "end of a contact": (_end(lambda big: big.contact_waits, follows=False), Limit(rows=20, buffers=150)),
    "end of a contact, which is passed on": (
        _end(lambda big: big.done, follows=True),
        Limit(rows=20, buffers=150, before="update sequences set next_trigger = 'SPRING' where name <> 'S0'"),
    ),
    "opt out": (_opt_out, Limit(rows=12, buffers=100)),
    # For every page. A shard's next page is read from 50 messages of each device with their leads, and counts what is under way: five
    # windows of 20 where ten shards share a device, of 200 where there is one.
    "feed, the first page": (_feed(None), Limit(rows=600, buffers=1_500)),
    "feed, in the middle": (_feed(lambda big: big.half + 1_000), Limit(rows=800, buffers=1_000)),
    "feed, full windows": (_feed(lambda big: big.half + 2_500, shards=1), Limit(rows=2_000, buffers=3_000)),
    "feed, at its end": (_feed(lambda big: 2 * big.half - 1, over=True), Limit(rows=10, buffers=60)),
    "page to close": (
        _close_page,
        # Once for each message, which is written.
        Limit(
            rows=20_000, buffers=400_000, before="update campaigns set status = 'cancelled' where name = 'C8'"
        ),
    ),
    "page to close of a campaign that goes on": (_close_page_of_others, Limit(rows=5, buffers=20)),
    # The sweep: once a minute. It reads the leads that bear a trigger, and does not look into the ledger. The buffers of
    # the first case are the index entries of the 10,000 leads that bore one until now.
    "sweep, nobody due": (
        _sweep(None, least=0),
        Limit(
            rows=5,
            buffers=12_000,
            before="update leads set triggers = '{}' where triggers <> '{}'; analyze leads",
        ),
    ),
    "sweep, the first page": (_sweep(None), Limit(rows=2_000, buffers=3_000)),
    "sweep, a later page": (_sweep("SPRING"), Limit(rows=2_000, buffers=3_000)),
    "sweep, everybody due": (
        _sweep(None),
        Limit(
            rows=2_000,
            buffers=5_000,
            before="update leads set triggers = '{SPRING}' where id <= :rows / 5; analyze leads",
        ),
    ),
    # Polled while a campaign runs. How far it is, is one pass over its own rows: 100,000 here.
    "is settled": (_is_settled, Limit(rows=2, buffers=20)),
    "is settled, at its end": (_is_settled_at_the_end, Limit(rows=2, buffers=20)),
    "progress": (_progress, Limit(rows=100_010, buffers=5_000, grows=True)),
    # Its plan reads the index of what is not settled, which is empty where a campaign is to be finished.
    "finish": (_finish_campaign, Limit(rows=5, buffers=500)),
    # Somebody's command, which may read what is not settled (51,200 here), what failed (15,000), or which contacts of a
    # sequence are on their way (50,000).
    "edit of a sequence": (_plan_changed, Limit(rows=51_000, buffers=60_000, grows=True)),
    "phones under way": (_under_way, Limit(rows=52_000, buffers=5_000, grows=True)),
    "held by a campaign": (_held("campaign", "C8"), Limit(rows=52_000, buffers=5_000, grows=True)),
    "held by a device": (_held("device", "hot-2"), Limit(rows=52_000, buffers=5_000, grows=True)),
    "held by a sequence": (_held("sequence", "S2"), Limit(rows=60_000, buffers=6_000, grows=True)),
    "who is woken next": (_to_tell("device", "hot-2"), Limit(rows=52_000, buffers=5_000, grows=True)),
    "who is told next of an edit": (_to_tell("plans", ""), Limit(rows=0, buffers=10)),
    "failed": (_messages(MessageStatus.FAILED), Limit(rows=20_000, buffers=20_000, grows=True)),
    # With the hundred that are shown, whose holds and devices are read for each.
    "unconfirmed": (_messages(MessageStatus.UNCONFIRMED), Limit(rows=4_200, buffers=7_700, grows=True)),
    "failed or unconfirmed": (
        _messages(MessageStatus.FAILED, MessageStatus.UNCONFIRMED),
        Limit(rows=20_000, buffers=20_000, grows=True),
    ),
    "contact": (_contact, Limit(rows=30, buffers=60)),
    "campaign": (_campaigns, Limit(rows=100_010, buffers=5_000, grows=True)),
    # Totals of everything are one pass over everything, and another one over the rows of each campaign. An index on the
    # status would spare that, and cost three more entries for every message.
    "status": (_status, Limit(rows=3_600_000, buffers=130_000, grows=True, scans=True)),
    # Of one campaign: its 750 failed messages and nobody else's; and all leads once, but nothing of the ledger. They come
    # last, as the rows that they wrote and took back are in the way of others.
    "retry of a campaign's failed": (_retry_failed, Limit(rows=1_000, buffers=50_000, grows=True)),
    "freeze": (
        _freeze,
        Limit(
            rows=1_010_000,
            buffers=80_000,
            grows=True,
            scans=True,
            before="update leads set niches = '{RARE}' where id % 1000 = 0;"
            " insert into campaigns (name, text, niche, status) values ('C9', 'Half price', 'RARE', 'scheduled')",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_stays_small(big: Big, name: str) -> None:
    case, limit = CASES[name][0], CASES[name][1].of(big.rows)
    async with opened(big.url) as connection:
        if limit.before:
            await connection.execute(limit.before)
        taken = await cost_of(connection, case, big)
    assert not taken.beyond(limit), "\n".join([*taken.beyond(limit), *taken.plans])


@pytest.mark.parametrize(
    ("taken_away", "name"),
    [
        ("drop index broadcast_messages_feed", "feed, in the middle"),
        ("drop index broadcast_messages_feed", "is settled, at its end"),
        ("drop index broadcast_messages_failed", "failed"),
        ("drop index broadcast_messages_contact", "plan"),
        ("drop index broadcast_messages_contact", "end of a contact"),
        ("drop index leads_triggered", "sweep, nobody due"),
        ("drop index sequence_contacts_active", "edit of a sequence"),
        # One of the two is enough: there are few sequences, and the server skips from one to the next.
        (
            "drop index sequence_contacts_phone; alter table sequence_contacts drop constraint sequence_contacts_unique",
            "opt out",
        ),
        ("alter table leads drop constraint leads_phone_unique", "contact"),
        # Inside of functions.
        ("drop index broadcast_messages_gateway_id", "receipt by the gateway's ID"),
        ("alter table broadcast_messages drop constraint broadcast_messages_pkey", "claim"),
    ],
)
async def test_without_its_index_it_does_not(big: Big, taken_away: str, name: str) -> None:
    case, limit = CASES[name][0], CASES[name][1].of(big.rows)
    async with opened(big.url) as connection:
        await connection.execute(f"{taken_away}; {limit.before}")
        taken = await cost_of(connection, case, big, times=2)
    assert taken.beyond(limit)
