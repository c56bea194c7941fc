"""Leads and contacts chosen by a filter: which ones it finds, and what is done to them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.selection.compile import condition_on_contacts, condition_on_leads
from messaging.selection.contacts import find_contacts, pause_contacts, resume_contacts, stop_contacts
from messaging.selection.fields import Arguments
from messaging.selection.leads import list_leads
from messaging.selection.opt_outs import opt_out_leads
from messaging.selection.selection import Selection
from messaging.selection.syntax import FilterError, parse_filter
from rig.people import phone
from tests.support.filters import FILTERS
from tests.support.frozen import running
from tests.support.scenario import Scenario

INTRO = """
sequence: intro
steps:
  - {id: hello, day: 1, text: Hello}
  - {id: more, after: 1h, text: More}
"""

LEADS = """
insert into leads (phone, name, niches, triggers, target_status, device_id, time_zone, attributes, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


@pytest.fixture
async def leads(scenario: Scenario) -> Scenario:
    """Five leads that differ in everything."""
    await scenario.add_device()
    await scenario.add_device(device="other")
    for name in ("intro", "second"):
        await scenario.apply(INTRO.replace("intro", name))
    day = datetime(2026, 11, 1, 12, tzinfo=UTC)
    people: list[tuple[Any, ...]] = [
        ("Aisha Rahman", ["VITAC"], ["X"], "prospect", scenario.device, "Asia/Kuala_Lumpur", {"city": "KL", "age": "30"}),
        ("Ben", ["VITAC", "SKIN"], [], "customer", scenario.device, None, {"city": "Kuala Lumpur", "age": "9"}),
        ("100%_sure\\", [], [], "prospect", "other", None, {"city": "kl", "state": "Johor"}),
        ("", ["SKIN"], ["X", "Y"], "prospect", None, None, {"age": "old"}),
        ("Eve", ["O'BRIEN"], [], "customer", "other", None, {}),
    ]  # fmt: skip
    for index, person in enumerate(people):
        await scenario.pool.execute(LEADS, phone(index), *person, day + timedelta(days=index))
    # 0: active in intro, paused in second. 1: stopped in intro. 2: active in second.
    for index, sequence in ((0, "intro"), (0, "second"), (1, "intro"), (2, "second")):
        await scenario.enroll(sequence, phone(index))
    await scenario.pool.execute(
        "update sequence_contacts set paused_at = now() where phone = $1 and workflow_id like '%second%'",
        phone(0),
    )
    await scenario.pool.execute(
        "update sequence_contacts set status = 'stopped', ended_at = now(), next_step_id = null, next_due_at = null"
        " where phone = $1",
        phone(1),
    )
    await scenario.pool.execute(
        "insert into inbound_messages (device_id, gateway_message_id, kind, phone, text, meaning, sent_at)"
        " values ($1, 'in-1', 'text', $2, 'Yes', 'none', '2026-11-20 10:00+00')",
        *(scenario.device, phone(1)),
    )
    await scenario.pool.execute(
        "insert into suppressions (phone, created_at) values ($1, '2026-11-21 10:00+00')", phone(4)
    )
    return scenario


FOUND = {
    "": [0, 1, 2, 3, 4],
    "city = KL": [0, 2],
    "city = 'Kuala Lumpur'": [1],
    "city != KL": [1, 3, 4],
    "not city = KL": [1, 3, 4],
    "city in (kl, 'kuala lumpur')": [0, 1, 2],
    "city like K*L*": [0, 1, 2],
    "city contains uala": [1],
    "city is empty": [3, 4],
    "city is not empty and age > 10": [0],
    "age < 10": [1],
    "age >= 9": [0, 1],
    "attribute.state = johor": [2],
    "name contains %": [2],
    "name contains _": [2],
    "name like '*\\'": [2],
    "name is empty": [3],
    "name > B and name < F": [1, 4],
    "niche has VITAC": [0, 1],
    "niche = skin": [1, 3],
    "niche not has VITAC and city = KL": [2],
    "niche in (VITAC, SKIN)": [0, 1, 3],
    "niche is empty": [2],
    "niche like S*": [1, 3],
    'niche has "o\'brien"': [4],
    "trigger has y": [3],
    "target_status = customer": [1, 4],
    "status != customer": [0, 2, 3],
    "device = other": [2, 4],
    "device is empty": [3],
    "time_zone = Asia/Kuala_Lumpur": [0],
    f"phone = '{phone(0)[:2]} {phone(0)[2:]}'": [0],
    f"phone in ({phone(0)}, {phone(4)})": [0, 4],
    "phone like +1*": [0, 1, 2, 3, 4],
    "created < 2026-11-02": [0],
    "created = 2026-11-02": [1],
    "created > 2026-11-02": [2, 3, 4],
    "created <= 2026-11-02": [0, 1],
    "created >= '2026-11-02 12:00'": [1, 2, 3, 4],
    "created > '2026-11-02 20:00+08:00'": [2, 3, 4],
    "created < '1h ago'": [0, 1, 2, 3, 4],
    "replied": [1],
    "not replied and not opted_out": [0, 2, 3],
    "replied = no": [0, 2, 3, 4],
    "replied > 2026-11-19": [1],
    "replied > 2026-11-20": [],
    "opted_out": [4],
    "opted_out = yes and opted_out < 2026-12-01": [4],
    "sequence = intro": [0, 1],
    "sequence = intro and state = paused": [],
    "sequence = second and state = paused": [0],
    "state = paused": [0],
    "sequence != intro": [2, 3, 4],
    "not sequence = intro and not state = active": [3, 4],
    "sequence = intro and state != active": [1],
    "sequence = second and (state = paused or state = stopped)": [0],
    "sequence = intro and state = active and city = KL": [0],
    "sequence is empty": [3, 4],
    "step is empty and sequence = intro": [1],
    "sequence = second and step = hello and city = KL": [0, 2],
    "(city = KL or niche has SKIN) and not (device = other or replied)": [0, 3],
}  # fmt: skip


async def test_which_leads_a_filter_finds(leads: Scenario) -> None:
    async with leads.pool.acquire() as connection:
        for where, expected in FOUND.items():
            page = await list_leads(connection, Selection(where=where), sort="phone")
            assert [one.phone for one in page.leads] == [phone(index) for index in expected], where
            assert page.total == len(expected)


async def test_a_campaign_is_what_a_lead_has_a_message_of(leads: Scenario) -> None:
    await running(leads)  # 3 has no device, and 4 has opted out
    async with leads.pool.acquire() as connection:

        async def found(**which: str) -> list[str]:
            page = await list_leads(connection, Selection(**which), sort="phone")
            return [one.phone for one in page.leads]

        assert (
            await found(where="campaign = sale")
            == [phone(0), phone(1), phone(2)]
            == await found(campaign="sale")
        )
        assert await found(where="campaign != sale and not opted_out") == [phone(3)]
        assert await found(where="campaign is empty and replied") == []
        assert await found(sequence="second", device=leads.device) == [phone(0)]
        assert await found(where="campaign = SALE", sequence="intro") == [phone(0)], "1 was stopped"


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        (
            "ctiy = KL",
            "column 1: there is no field of that name, and no lead has a column 'ctiy': did you mean 'city'?",
        ),
        ("city = KL and sequence = intor", "column 26: there is no sequence 'intor': did you mean 'intro'?"),
        ("not device in (other, kl)", "column 23: there is no device 'kl': known are"),
        ("sequence = intro and step = helo", "column 29: there is no step 'helo': did you mean 'hello'?"),
        ("campaign = x", "column 12: there is no campaign 'x'"),
    ],
)
async def test_a_misspelt_name_is_no_empty_list(leads: Scenario, where: str, problem: str) -> None:
    async with leads.pool.acquire() as connection:
        with pytest.raises(FilterError) as error:
            await list_leads(connection, Selection(where=where))
        assert problem in str(error.value)
        for which in ({"sequence": "nope"}, {"campaign": "nope"}, {"device": "nope"}):
            with pytest.raises(NotFound, match="nope"):
                await list_leads(connection, Selection(**which))


async def test_postgresql_takes_every_filter_that_is_understood(leads: Scenario) -> None:
    texts: list[str] = []

    @settings(max_examples=150, database=None, derandomize=True)
    @given(FILTERS)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    understood = 0
    async with leads.pool.acquire() as connection:
        for text in texts:
            arguments, of_contacts = Arguments(), Arguments()
            try:
                filter_ = parse_filter(text)
                condition = condition_on_leads(filter_, arguments)
            except FilterError:
                continue
            understood += 1
            await connection.fetch(f"select from leads l where {condition}", *arguments.values)
            condition = condition_on_contacts(filter_, of_contacts)
            await connection.fetch(
                "select from sequence_contacts c join leads l on l.id = c.lead_id join sequences s on s.id = c.sequence_id"
                f" left join sequence_steps t on t.id = c.next_step_id where {condition}",
                *of_contacts.values,
            )
    assert understood > 30


async def test_pages_and_orders(leads: Scenario) -> None:
    async with leads.pool.acquire() as connection:

        async def order(**how: Any) -> list[str]:
            return [one.phone for one in (await list_leads(connection, Selection(), **how)).leads]

        everyone = [phone(index) for index in range(5)]
        assert await order() == everyone
        assert await order(sort="-created") == everyone[::-1]
        assert await order(sort="city") == [phone(index) for index in (0, 2, 1, 3, 4)], (
            "those without one last"
        )
        assert await order(sort="-replied", limit=2) == [phone(1), phone(0)]
        assert await order(limit=2, page=3) == [phone(4)]
        assert await order(limit=2, page=4) == []
        page = await list_leads(connection, Selection(where="niche has VITAC"), limit=1, page=2)
        assert (page.total, page.first) == (2, 2)
        (ben,) = page.leads
        assert (ben.name, ben.replied_at, ben.opted_out_at) == (
            "Ben",
            datetime(2026, 11, 20, 10, tzinfo=UTC),
            None,
        )
        assert [(one.sequence, one.state, one.step) for one in ben.contacts] == [("intro", "stopped", None)]
        with pytest.raises(InvalidInput, match="cannot be sorted by 'ciyt': did you mean 'city'"):
            await order(sort="ciyt")
        with pytest.raises(InvalidInput, match="cannot be sorted by 'state'"):
            await order(sort="state")
        with pytest.raises(InvalidInput, match="a page has 1 to 10,000 leads"):
            await order(limit=0)


async def states(pool: Pool) -> dict[str, str]:
    rows = await pool.fetch(
        "select s.name || ' ' || c.phone as who, case when c.status = 'active' and c.paused_at is not null then 'paused'"
        " else c.status end || case when c.plan_changed_at is null then '' else ', to signal' end as state"
        " from sequence_contacts c join sequences s on s.id = c.sequence_id"
    )
    return {row["who"]: row["state"] for row in rows}


async def test_contacts_are_paused_resumed_and_stopped_at_once(leads: Scenario) -> None:
    pool, intro, second = leads.pool, f"intro {phone(0)}", f"second {phone(0)}"
    await pool.execute("update sequence_contacts set plan_changed_at = null")
    async with pool.acquire() as connection:
        kl = Selection(where="city = KL")
        found = await find_contacts(connection, "pause", kl)
        assert found.count == 2
        assert [(one.phone, one.sequence, one.state, one.step) for one in found.examples] == [
            (phone(0), "intro", "active", "hello"), (phone(2), "second", "active", "hello"),
        ]  # fmt: skip
        # A condition on the enrollment is about the contact that is paused.
        only_intro = Selection(where="city = KL and sequence = intro")
        assert len(await pause_contacts(connection, only_intro, "holiday")) == 1
        assert await pause_contacts(connection, only_intro, "again") == []
        before = {second: "paused", f"intro {phone(1)}": "stopped", f"second {phone(2)}": "active"}
        assert await states(pool) == {intro: "paused, to signal", **before}
        assert (
            await pool.fetchval(
                "select paused_reason from sequence_contacts where plan_changed_at is not null"
            )
            == "holiday"
        )
        assert len(await resume_contacts(connection, Selection(sequence="intro"))) == 1
        assert await states(pool) == {intro: "active, to signal", **before}
        await message_of(connection, phone(0))
        assert (
            len(
                await stop_contacts(
                    connection, Selection(device=leads.device, where="sequence = intro"), "over"
                )
            )
            == 1
        )
        assert await states(pool) == {intro: "stopped, to signal", **before}
        message = await connection.fetchrow("select status, reason from broadcast_messages")
        assert message is not None
        assert tuple(message) == ("cancelled", "over")
        for nothing in (Selection(), Selection(where=" ")):
            with pytest.raises(InvalidInput, match="say which ones"):
                await stop_contacts(connection, nothing, "over")


async def message_of(connection: Connection, number: str) -> None:
    """A message of the contact's next step that waits."""
    await connection.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id, due_at)"
        " select gen_random_uuid(), next_step_id, id, lead_id, phone, device_id, next_due_at from sequence_contacts"
        " where phone = $1 and next_step_id is not null order by id limit 1",
        number,
    )


async def test_leads_are_opted_out_at_once(leads: Scenario) -> None:
    await running(leads)  # a campaign to 0, 1 and 2
    pool = leads.pool
    await pool.execute("update broadcast_messages set status = 'queued' where recipient_phone = $1", phone(0))
    async with pool.acquire() as connection:
        await message_of(connection, phone(2))
        done = await opt_out_leads(connection, Selection(where="city is not empty"), "asked by mail")
        assert done.phones == [phone(0), phone(1), phone(2)]
        assert len(done.enrollments) == 3
        assert done.workflows == [f"campaign:sale:{phone(0)}"], "no workflow waits with the others"
        noted = await connection.fetch(
            "select phone, source from suppressions where reason = 'asked by mail'"
        )
        assert {tuple(row) for row in noted} == {(number, "operator") for number in done.phones}
        assert set((await states(pool)).values()) == {"opted_out, to signal", "stopped"}
        assert (
            await connection.fetchval("select string_agg(distinct status, ' ') from broadcast_messages")
            == "suppressed"
        )
        again = await opt_out_leads(connection, Selection(where="city is not empty"), "again")
        assert again == ([], [], [])


async def test_after_many_opt_outs_the_planner_knows_how_many(scenario: Scenario) -> None:
    """It would read all of them again for each message that waits: 20,000 took half a minute."""
    await scenario.add_device()
    await scenario.add_leads(600)
    async with scenario.pool.acquire() as connection:
        done = await opt_out_leads(connection, Selection(device=scenario.device), "wants nothing")
        assert len(done.phones) == 600
        known = await connection.fetchval("select reltuples from pg_class where relname = 'suppressions'")
        assert known == 600
