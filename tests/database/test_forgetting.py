"""Forgetting a person: nothing of them is left in any column, what is counted stays, and nothing is stored or sent again."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from messaging.campaigns.audience import freeze_audience
from messaging.common.database import Connection, Pool
from messaging.common.errors import Conflict, NotFound
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.common.private_keys import new_keys, read_keys, use_keys
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.forgotten import ASKED, find_tombstone, is_forgotten, mark_of, pads_of
from messaging.leads.lead import Lead
from messaging.leads.opt_outs import opt_out_owner
from messaging.leads.store import upsert_lead
from messaging.privacy import erasing
from messaging.privacy.erasing import begin, erase, open_erasures, settle, take_back
from messaging.privacy.export import export_person
from messaging.privacy.keep import Keep
from messaging.privacy.person import Workflow
from messaging.privacy.retention import let_go
from messaging.privacy.tables import NO_PERSONS, TABLES
from messaging.replies.record import record_inbound
from messaging.replies.renaming import rename_phone
from messaging.reporting.audit import lost_leads, lost_steps, totals
from messaging.reporting.contact import contact_report
from messaging.reporting.why.report import why_not
from messaging.sequences.contract import EnrollmentRequest, NotEnrolled
from messaging.sequences.enrollments import Enrollments
from messaging.sequences.refused import note_refused
from rig.people import phone
from runtime.database import open_pool
from tests.support.replies import inbound
from tests.support.scenario import Scenario

SEQUENCE = """
sequence: welcome
trigger: HELLO
steps:
  - id: hello
    day: 1
    text: "Hi {{ name }}"
  - id: more
    after: 1h
    text: "More"
"""
CAMPAIGN = "campaign: sale\ntarget: {niche: VITAC, status: all}\ntext: Half price\n"
OLD, NEW, OTHER = phone(1), phone(2), phone(3)
NAME, SAID = "Zuleika Quux", "my cat Moloch is ill"


async def everything(pool: Pool) -> str:
    """Every row of every table, as text: also of tables that did not exist when this was written."""
    tables = await pool.fetch(
        "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
    )
    lines = []
    for table in tables:
        rows = await pool.fetch(f"select format('%s', to_json(t)) from {table['relname']} t")
        lines += [f"{table['relname']}: {row[0]}" for row in rows]
    return "\n".join(lines)


def mentions(dump: str, *words: str) -> list[str]:
    return [line for line in dump.splitlines() if any(word.lower() in line.lower() for word in words)]


@pytest.fixture
async def known(scenario: Scenario, pool: Pool, tmp_path: Path) -> Scenario:
    """A person who stands wherever a person can stand, and another one."""
    device = await scenario.add_device()
    await scenario.apply(SEQUENCE)
    await scenario.apply_campaign(CAMPAIGN)
    file = tmp_path / "leads.csv"
    file.write_text(
        f"phone,name,niche,city,device\n{OLD},{NAME},VITAC,Boston,\n{OTHER},Omar,VITAC,Boston,\n{OLD},{NAME},VITAC,,nowhere\n"
    )
    await import_file(pool, file, ImportOptions(device=device))
    for number in (OLD, OTHER):
        await scenario.enroll("welcome", number, run=number)
    campaign = await pool.fetchval("select id from campaigns")
    await pool.execute(
        "update campaigns set status = 'scheduled', scheduled_at = now() - interval '1 minute' where id = $1",
        campaign,
    )
    async with pool.acquire() as connection:
        await freeze_audience(connection, campaign, now=None)
        await pool.execute(
            "insert into receivers (name, channel, options, types) values ('crm', 'webhook', '{}', '{contact.*,opt_out.*,lead.*,message.*}')"
        )
        await pool.execute(
            """
            insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at)
            select gen_random_uuid(), t.id, c.id, c.lead_id, c.phone, c.device_id, now()
              from sequence_contacts c join sequence_steps t on t.sequence_id = c.sequence_id and t.key = 'hello'
            """
        )
        await pool.execute(
            """
            update broadcast_messages
               set status = 'sent', sent_at = now() - interval '1 hour', content = 'Hi ' || (select name from leads where id = lead_id), begun_at = now() - interval '1 hour',
                   gateway_message_id = 'wamid.' || recipient_phone || coalesce(campaign_id, 0), delivered_at = now(), attempts = 1
             where sequence_stepid is not null
            """
        )
        await pool.execute(
            "update sequence_contacts set timeline = jsonb_set(timeline, '{done}', '[\"hello\"]'), next_step_id = (select id from sequence_steps where key = 'more')"
        )
        await pool.execute(
            "update broadcast_messages set status = 'failed', reason = 'no account of ' || recipient_phone || ' (' || (select name from leads where id = lead_id) || ')' where campaign_id is not null"
        )
        await said(
            connection,
            device,
            "one",
            OLD,
            SAID,
            name=NAME,
            identities=("user_id:U77",),
            answers=f"wamid.{OLD}0",
        )
        await said(connection, device, "two", OTHER, "hello from Omar")
        await rename_phone(connection, OLD, NEW)
        await said(connection, device, "three", NEW, "stop", identities=("user_id:U77",))
        await pool.execute(
            "insert into broadcast_messages (id, purpose, contents, lead_id, recipient_phone, device_id, due_at, status) select gen_random_uuid(), 'test',"
            " jsonb_build_object('text', 'Hi Zuleika Quux', 'category', 'marketing'), l.id, $1, $2, now(), 'failed' from leads l where l.phone = $3",
            OTHER,
            device,
            NEW,
        )
        await note_refused(pool, "welcome", NEW, "because")
        await pool.execute("select report_alert('message_unconfirmed', $1, $2)", device, f"{NEW}: lost")
        await pool.execute(
            "update devices set status_reason = 'parked after 5: to ' || $1, status = 'paused'",
            NEW.removeprefix("+"),
        )
        await pool.execute(
            "insert into early_receipts (gateway, gateway_message_id, status, happened_at, wrong_content) values ('simulated', $1, 'read', now(), false)",
            f"wamid.{OLD}0",
        )
    return scenario


def known_as(
    *senders: tuple[str, str | None, tuple[str, ...]],
) -> tuple[tuple[str, str | None, tuple[str, ...]], ...]:
    return senders


async def said(
    connection: Connection, device: str, identifier: str, number: str | None, text: str, **more: Any
) -> Any:
    return await record_inbound(
        connection, "simulated", device, [inbound(identifier, number, text, **more)], DEFAULT_KEYWORDS
    )


def no_workflows(workflow: Workflow) -> tuple[str, ...]:
    """Temporal is not asked here."""
    del workflow
    return ()


async def forget(pool: Pool, number: str) -> str:
    """All of it but what Temporal does."""
    async with pool.acquire() as connection:
        begun = await begin(connection, number, no_workflows)
        for erasure in await open_erasures(pool, begun.person):
            assert await erase(connection, erasure)
            await settle(pool, erasure, [])
    return begun.person


async def counts(pool: Pool) -> list[Any]:
    """What reports say, in numbers."""
    return [
        await pool.fetch(
            "select campaign_id, sequence_stepid, device_id, status, count(*), count(sent_at), count(delivered_at)  from broadcast_messages group by 1, 2, 3, 4 order by 1, 2, 3, 4"
        ),
        await pool.fetchval("select count(*) from inbound_messages"),
        await pool.fetch("select source, category, count(*) from suppressions group by 1, 2"),
        await lost_leads(pool),
        await lost_steps(pool),
        (await totals(pool)).adds_up,
        await pool.fetchval(
            "select count(*) from inbound_messages i cross join lateral answered_messages(i) m"
        ),
    ]


async def test_nothing_is_left_of_a_person_and_the_numbers_are_the_same(known: Scenario) -> None:
    pool = known.pool
    words = (OLD[1:], NEW[1:], "Zuleika", "Moloch", "U77")
    tables = {line.partition(":")[0] for line in mentions(await everything(pool), *words)}
    assert set(TABLES) - tables <= {
        "joined_leads",
        "exchanged_numbers",
        "wanted_enrollments",
        "alerts",
        "campaigns",
        "sequences",
        "receivers",
    }
    before = await counts(pool)
    person = await forget(pool, OLD)
    left = await everything(pool)
    assert mentions(left, *words) == []
    assert person in left
    assert len(mentions(left, OTHER[1:], "Omar")) > 8
    assert await counts(pool) == before
    # Message IDs are derived from phones; these are not any more.
    assert (
        await pool.fetchval(
            "select count(*) from events e where message_id is not null and not exists (select from broadcast_messages m where m.id = e.message_id)"
        )
        == 0
    )
    assert (await pool.fetch("select status, reason from sequence_contacts where phone like 'forgotten-%'"))[
        0
    ]["status"] == "opted_out"
    with pytest.raises(NotFound, match=r"was forgotten on .*contact forget"):
        await contact_report(pool, NEW, NEW)
    assert "forgotten" in (await why_not(pool, OLD, OLD)).sentences[0]
    row = await pool.fetchrow("select * from events where kind = 'contact.forgotten'")
    assert row is not None
    assert row["phone"] == person
    assert await forget(pool, NEW) == person  # once more changes nothing
    assert await pool.fetchval("select count(*) from events where kind = 'contact.forgotten'") == 1


async def test_nothing_is_stored_or_sent_again(known: Scenario, tmp_path: Path) -> None:
    pool, device = known.pool, known.device
    person = await forget(pool, NEW)
    before = await pool.fetchval("select count(*) from inbound_messages")
    file = tmp_path / "again.csv"
    file.write_text(f"phone,name,niche\n{OLD},{NAME},VITAC\n{NEW},{NAME},VITAC\n{phone(9)},Ann,VITAC\n")
    summary = await import_file(pool, file, ImportOptions(device=device))
    assert (summary.imported, summary.rejected) == (1, 2)
    assert {one.reason for one in summary.first_rejected} == {ASKED}
    for number in (OLD, NEW):
        request = EnrollmentRequest(sequence="welcome", lead=Lead(phone=number, name=NAME, device_id=device))
        outcome = await Enrollments(pool).enroll(request, workflow_id="w", run_id="r", now=None)
        assert outcome == NotEnrolled(reason=ASKED)
    await note_refused(pool, "welcome", NEW, "because")
    async with pool.acquire() as connection:
        with pytest.raises(Conflict, match=ASKED):
            await upsert_lead(connection, Lead(phone=NEW))
        with pytest.raises(Conflict, match=ASKED):
            await rename_phone(connection, OTHER, NEW)
        with pytest.raises(Conflict, match="was forgotten"):
            await opt_out_owner(connection, NEW, "twice")
        for identifier, sender, names in known_as(
            ("a", NEW, ()), ("b", None, ("user_id:U77",)), ("c", OLD, ())
        ):
            assert (
                await said(connection, device, identifier, sender, SAID, name=NAME, identities=names)
            ).new == 0
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("insert into suppressions (phone) values ($1)", NEW)
        # A failed message is not sent again.
        assert (
            await connection.fetchval(
                "select send_again(array(select id from broadcast_messages where campaign_id is not null), 'retry', null)"
            )
            == 1
        )
        known_of = await find_tombstone(connection, OLD)
        assert known_of is not None
        assert known_of.wrote == 3
    assert await pool.fetchval("select count(*) from inbound_messages") == before
    assert mentions(await everything(pool), OLD[1:], NEW[1:], "Zuleika", "Moloch", "U77") == []
    # Until somebody takes it back.
    async with pool.acquire() as connection:
        assert await take_back(connection, NEW) == person
        assert await take_back(connection, NEW) is None
        await upsert_lead(connection, Lead(phone=NEW))


async def test_while_a_message_is_on_its_way_nothing_is_erased_and_nothing_more_begins(
    known: Scenario,
) -> None:
    pool = known.pool
    await pool.execute(
        "update broadcast_messages set status = 'processing', processing_worker_id = 'w', claimed_at = now() where campaign_id is not null and recipient_phone = $1",
        NEW,
    )
    async with pool.acquire() as connection:
        begun = await begin(connection, NEW, no_workflows)
        (erasure,) = await open_erasures(pool)
        assert not await erase(connection, erasure)
        assert await connection.fetchval("select name from leads where phone = $1", NEW) == NAME
        assert await connection.fetchval(
            "select bool_and((unwanted(m)).status = 'suppressed') from broadcast_messages m where status = 'processing'"
        )
        # Whoever comes next goes on, also after a crash.
        assert not (await begin(connection, OLD, no_workflows)).new
        await pool.execute(
            "update broadcast_messages set status = 'sent', sent_at = now(), processing_worker_id = null where status = 'processing'"
        )
        assert await erase(connection, erasure)
        await settle(pool, erasure, ["campaign:sale"], of_others=True)  # which still runs
    assert mentions(await everything(pool), OLD[1:], NEW[1:], "Zuleika") == []
    assert [one.workflows for one in await open_erasures(pool, begun.person)] == [["campaign:sale"]]


async def test_whoever_stores_a_lead_at_that_moment_is_waited_for(known: Scenario) -> None:
    pool = known.pool
    async with pool.acquire() as storing, pool.acquire() as forgetting:
        transaction = storing.transaction()
        await transaction.start()
        await upsert_lead(storing, Lead(phone=phone(77)))
        with pytest.raises(erasing.Locked):
            await begin(forgetting, phone(77), no_workflows)
        await transaction.commit()
        assert (await begin(forgetting, phone(77), no_workflows)).new


async def test_a_person_gets_all_that_is_known_of_them(known: Scenario) -> None:
    export = await export_person(known.pool, OLD)
    assert (export.phones, export.phone, export.other_names) == ((OLD, NEW), NEW, ("user_id:U77",))
    text = export.model_dump_json()
    assert [
        word for word in (NAME, SAID, "Boston", "welcome", "sale", "user_id:U77") if word not in text
    ] == []
    assert "Omar" not in text
    # All that would be erased: the same list.
    found = {
        line.partition(":")[0]
        for line in mentions(await everything(known.pool), OLD[1:], NEW[1:], "Zuleika", "U77")
    }
    assert {one.table for one in export.stored} >= found
    with pytest.raises(NotFound, match="nothing is stored"):
        await export_person(known.pool, phone(55))


async def test_the_list_has_every_column_that_may_hold_words(pool: Pool) -> None:
    """A column that somebody adds is to be thought about: what forgets, exports and lets go reads this list."""
    rows = await pool.fetch(
        """
        select c.relname as table, a.attname as column
          from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
           and a.atttypid::regtype::text in ('text', 'text[]', 'jsonb', 'json', 'bytea', 'character varying', 'uuid', 'inet')
        """
    )
    tables = {row["table"] for row in rows}
    assert tables - {*TABLES, *NO_PERSONS} == set()
    assert {*TABLES} <= tables
    missing = []
    for row in rows:
        table = TABLES.get(row["table"])
        if table is None or table.erased == "row":
            continue
        if row["column"] not in {*table.erased, *table.scrubbed, *table.kept}:
            missing.append(f"{row['table']}.{row['column']}")
    assert missing == []


async def test_the_hash_is_hmac_sha256(pool: Pool) -> None:
    for key in (b"k", b"k" * 64, b"k" * 100):
        assert await pool.fetchval("select forgotten_mark($1, $2, $3)", OLD, *pads_of(key)) == mark_of(
            key, OLD
        )


async def test_in_private_mode_the_key_is_not_in_the_ledger(database_url: str, tmp_path: Path) -> None:
    async with await open_pool(database_url) as before:
        await forget(before, phone(4))
    new_keys(tmp_path / "keys")
    use_keys(read_keys(tmp_path / "keys"))
    try:
        async with await open_pool(database_url) as pool:
            await forget(pool, phone(5))
            assert await is_forgotten(pool, phone(4))
            assert await is_forgotten(pool, phone(5))
            assert not await is_forgotten(pool, phone(6))
            pads = await pool.fetch("select inner_pad from forgotten_keys where id <> 'ledger'")
            assert [row["inner_pad"] for row in pads] == [None]
    finally:
        use_keys(None)
    async with await open_pool(database_url) as without:
        with pytest.raises(asyncpg.PostgresError, match="has not the key"):
            await is_forgotten(without, phone(5))


def test_docs_name_every_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text()
    assert {*TABLES} - {*re.findall(r"`(\w+)`", text)} == set()


async def test_old_contents_go_and_what_counts_stays(known: Scenario) -> None:
    pool = known.pool
    before = await counts(pool)
    old = "interval '100 days'"
    await pool.execute(
        f"update broadcast_messages set updated_at = now() - {old}, content = 'Hi' where purpose is null"
    )
    await pool.execute(f"update inbound_messages set received_at = now() - {old}")
    await pool.execute(f"update events set at = now() - {old} where kind = 'contact.enrolled'")
    await pool.execute(
        "update broadcast_messages set status = 'unconfirmed' where campaign_id is not null and recipient_phone = $1",
        NEW,
    )
    keep = Keep(timedelta(days=101), timedelta(days=101), timedelta(days=101))
    assert await let_go(pool, keep, again=timedelta(0)) == 0
    assert await let_go(pool, Keep(), again=timedelta(0)) == 0
    keep = Keep(timedelta(days=99), timedelta(days=99), timedelta(days=99))
    await let_go(pool, keep)
    assert (
        await pool.fetchval(
            "select count(*) from broadcast_messages where content is null and purpose is null"
        )
        == 0
    )  # through lately
    await let_go(pool, keep, again=timedelta(0))
    left = await pool.fetch("select status from broadcast_messages where content is not null")
    assert [row["status"] for row in left] == ["unconfirmed"]
    open_ones = await pool.fetch("select to_review from inbound_messages where text is not null")
    assert open_ones
    assert all(row["to_review"] for row in open_ones)
    await pool.execute("update inbound_messages set reviewed_at = now() where to_review is not null")
    await let_go(pool, keep, again=timedelta(0))
    assert await pool.fetchval("select count(*) from inbound_messages where text is not null") == 0
    assert await pool.fetchval("select count(*) from events where kind = 'contact.enrolled'") == 0
    await pool.execute("update broadcast_messages set status = 'failed' where status = 'unconfirmed'")
    assert (await counts(pool))[1:] == before[1:]
