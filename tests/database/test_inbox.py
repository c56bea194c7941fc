"""The inbox: filters, pages, and what is dealt with."""

from datetime import UTC, datetime, timedelta

import pytest

from messaging.common.database import Pool
from messaging.common.errors import NotFound
from messaging.replies.inbox import (
    Cleared,
    InboxFilter,
    inbound_of_phone,
    list_inbox,
    mark_matching,
    mark_reviewed,
)
from rig.people import phone
from tests.support.replies import NOON
from tests.support.scenario import Scenario
from tests.support.told import HOUR, Told


@pytest.fixture
async def told(scenario: Scenario) -> Told:
    """Three people who wrote: two after messages of ours, one may mean stop."""
    made = Told(scenario)
    await made.begin(3)
    await made.sent("one", 0)
    await made.sent("sale", 1)
    await made.said(0, "Is it red?", 60)
    await made.said(1, "Still on?", 120)
    await made.said(2, "don't stop", HOUR, device="other", receivers=("other",))
    return made


async def texts(pool: Pool, **wanted: object) -> list[str | None]:
    page = await list_inbox(pool, InboxFilter.model_validate(wanted))
    assert page.total == len(page.messages)
    return [one.text for one in page.messages]


async def test_what_is_listed_is_the_newest_first_and_may_be_filtered(told: Told) -> None:
    pool = told.pool
    assert await texts(pool) == ["don't stop", "Still on?", "Is it red?"]
    assert await texts(pool, reasons=("maybe_stop",)) == ["don't stop"]
    assert await texts(pool, device="other") == ["don't stop"]
    assert await texts(pool, sequence="intro") == ["Is it red?"]
    assert await texts(pool, campaign="sale") == ["Still on?"]
    assert await texts(pool, phone=phone(1)) == ["Still on?"]
    assert await texts(pool, since=NOON + timedelta(seconds=100)) == ["don't stop", "Still on?"]
    assert await texts(pool, phone=phone(1), device="other") == []


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [("sequence", "intor", "intro"), ("campaign", "sales", "sale"), ("device", "othre", "other")],
)
async def test_a_name_that_does_not_exist_is_no_empty_list(
    told: Told, kind: str, name: str, hint: str
) -> None:
    with pytest.raises(NotFound, match=f"there is no {kind} '{name}': did you mean '{hint}'"):
        await list_inbox(told.pool, InboxFilter.model_validate({kind: name}))


async def test_pages_are_not_moved_by_what_arrives(told: Told) -> None:
    first = await list_inbox(told.pool, limit=2)
    assert (first.total, len(first.messages), first.more) == (3, 2, True)
    await told.said(0, "Hello?", 2 * HOUR)
    second = await list_inbox(told.pool, limit=2, before=first.messages[-1].id)
    assert [one.text for one in second.messages] == ["Is it red?"]
    assert not second.more
    with pytest.raises(NotFound, match="no inbound message 999"):
        await list_inbox(told.pool, before=999)


async def test_several_are_done_or_none(told: Told) -> None:
    newest, middle, _ = (await list_inbox(told.pool)).messages
    with pytest.raises(NotFound, match=r"no inbound message 10{12}: "):
        await mark_reviewed(told.pool, [newest.id, 10**12])
    assert len(await texts(told.pool)) == 3
    done = await mark_reviewed(told.pool, [newest.id, middle.id])
    assert [one.id for one in done] == [newest.id, middle.id]
    assert all(one.reviewed_at for one in done)
    assert await mark_reviewed(told.pool, [newest.id, middle.id]) == done, "again, it changes nothing"
    assert await texts(told.pool) == ["Is it red?"]


async def test_what_came_after_the_look_is_not_done(told: Told) -> None:
    wanted = InboxFilter(since=datetime(2026, 1, 1, tzinfo=UTC), device=told.scenario.device)
    page = await list_inbox(told.pool, wanted, limit=1)
    await told.said(0, "Hello?", 2 * HOUR)
    assert await mark_matching(told.pool, wanted, newest=page.newest) == Cleared(done=2)
    assert await texts(told.pool) == ["Hello?", "don't stop"]


async def test_what_a_message_did_is_listed_with_it(told: Told) -> None:
    assert [one.did for one in (await list_inbox(told.pool)).messages] == [(), (), ("paused intro",)]
    await told.sent("one", 2)
    await told.said(2, "Basta", 2 * HOUR)
    (newest, *_) = (await list_inbox(told.pool)).messages
    assert newest.did == ("opted out",)
    await told.said(2, "START", 3 * HOUR)
    shown = await inbound_of_phone(told.pool, phone(2))
    assert [one.did for one in shown][-1] == ("took back an earlier stop",)
    effects = [
        {"enrollment": 1, "sequence": "intro", "did": did, "to": to}
        for did, to in (("stopped", None), ("went_on", "two"), ("enrolled", "vitac"))
    ]
    await told.pool.execute("update inbound_messages set effects = $1", effects)
    assert (await list_inbox(told.pool)).messages[-1].did == (
        "stopped intro",
        "went on to two of intro",
        "stopped intro, enrolled in vitac",
    )
