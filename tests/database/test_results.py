"""What came of messages: whom a campaign, a sequence and a step count as replied and opted out."""

import random

import pytest

from messaging.replies.inbox import inbound_of_phone
from messaging.sending.results import Results
from rig.people import phone
from tests.support.scenario import Scenario
from tests.support.told import DAY, HOUR, Told


@pytest.fixture
async def told(scenario: Scenario) -> Told:
    return Told(scenario)


async def test_delivered_and_read_count_messages(told: Told) -> None:
    await told.begin(2)
    await told.sent("one", 0, delivered=True)
    await told.sent("one", 1, read=True)
    await told.sent("two", 0, HOUR)
    await told.sent("sale", 1, read=True)
    results = await told.results()
    nobody = {"replied": 0, "opted_out": 0}
    assert results == {
        "intro": Results(delivered=2, read=1, **nobody),
        "one": Results(delivered=2, read=1, **nobody),
        "two": Results(delivered=0, read=0, **nobody),
        "sale": Results(delivered=1, read=1, **nobody),
    }


async def test_a_reply_counts_for_the_step_before_it_and_for_each_campaign(told: Told) -> None:
    await told.begin(3)
    for number in range(3):
        await told.sent("one", number)
    await told.said(0, "Hi", 60)
    assert await told.replied() == {"intro": 1, "one": 1}
    await told.sent("two", 0, HOUR)
    await told.sent("sale", 0, HOUR + 1)
    await told.said(0, "And what of this?", HOUR + 60)
    await told.said(0, "Hello?", HOUR + 90)
    await told.said(1, "Hi", 60)
    assert await told.replied() == {"intro": 2, "one": 2, "two": 1, "sale": 1}


async def test_what_counts_as_a_reply(told: Told) -> None:
    await told.begin(1)
    message = await told.sent("one", 0, 0.7)
    await told.said(0, "too early", -1)
    await told.said(0, "another device", 60, device="other", receivers=("other",))
    await told.said(0, "👍", 60, kind="reaction", answers=message)
    await told.said(0, "I call you", 60, from_me=True)
    await told.said(0, None, 60, kind="preference", payload="resume")
    await told.said(0, "too late", 3 * DAY + 1)
    assert await told.replied() == {}
    # Its time is in whole seconds, and the message went out within that second.
    await told.said(0, "at once", 0)
    assert await told.replied() == {"intro": 1, "one": 1}


async def test_a_sequence_says_how_long_a_reply_counts(told: Told) -> None:
    await told.begin(1)
    await told.sent("one", 0)
    await told.sent("sale", 0)
    await told.pool.execute("update sequences set reply_within = '1 hour'")
    await told.said(0, "Hi", HOUR)
    assert await told.replied() == {"sale": 1}
    await told.said(0, "Hi", HOUR - 1)
    assert await told.replied() == {"intro": 1, "one": 1, "sale": 1}


async def test_a_quoted_message_counts_however_late(told: Told) -> None:
    await told.begin(1)
    first = await told.sent("one", 0)
    await told.sent("two", 0, HOUR)
    await told.said(0, "About the first", HOUR + 60, answers=first)
    assert await told.replied() == {"intro": 1, "one": 1}, "not for the later step"
    sale = await told.sent("sale", 0, HOUR)
    await told.said(0, "Still on?", 30 * DAY, answers=sale)
    assert (await told.replied())["sale"] == 1


async def test_an_opt_out_counts_for_the_last_message_before_it(told: Told) -> None:
    await told.begin(3)
    one = await told.sent("one", 0)
    await told.sent("sale", 0, HOUR)
    await told.said(0, "STOP", 30 * DAY)
    assert await told.opted_out() == {"sale": 1}
    assert await told.replied() == {}
    await told.sent("one", 1)
    await told.sent("sale", 1, -HOUR)
    await told.said(1, None, 60, kind="preference", payload="stop")
    await told.said(1, "STOP", 90)
    assert await told.opted_out() == {"sale": 1, "intro": 1, "one": 1}, "one person"
    await told.said(0, "stop", 31 * DAY, answers=one)
    assert await told.opted_out() == {"sale": 1, "intro": 2, "one": 2}
    await told.said(1, "START", 120)
    assert (await told.opted_out())["one"] == 2, "they had opted out all the same"
    await told.sent("one", 2)
    await told.said(2, "stop by tomorrow", 60)
    assert (await told.opted_out())["one"] == 2
    assert (await told.replied())["one"] == 3


async def test_the_counts_are_the_sums_of_what_is_shown_of_each_person(told: Told) -> None:
    chance = random.Random(7)
    people = 8
    await told.begin(people)
    sent: list[tuple[int, str]] = []
    for number in range(people):
        for what in ("one", "two", "sale"):
            if chance.random() < 0.8:
                device = chance.choice([None, "other"])
                sent.append(
                    (number, await told.sent(what, number, chance.uniform(0, 2 * DAY), device=device))
                )
    for _ in range(60):
        number, quoted = chance.choice(sent)
        answers = quoted if chance.random() < 0.3 else None
        device = chance.choice([None, "other"])
        text = chance.choice(["Hi", "STOP", "What?", "START"])
        receivers = () if device is None else (device,)
        await told.said(
            number, text, chance.uniform(-DAY, 6 * DAY), device=device, answers=answers, receivers=receivers
        )
    seen = [await inbound_of_phone(told.pool, phone(number)) for number in range(people)]
    results = await told.results()
    for name, called in (
        ("one", "intro / one"),
        ("two", "intro / two"),
        ("sale", "campaign sale"),
        ("intro", "intro / "),
    ):
        replied = [
            any(what.startswith(called) for one in all_of for what in one.counts_for) for all_of in seen
        ]
        opted_out = [any((one.opts_out_of or "").startswith(called) for one in all_of) for all_of in seen]
        assert (results[name].replied, results[name].opted_out) == (sum(replied), sum(opted_out)), name
    assert results["intro"].replied > 3
    assert results["intro"].opted_out > 1
