"""The kinds of events: what the database notes, what is said of it, and what the documents list is the same."""

import re
from pathlib import Path

import pytest

from messaging.events.words import KINDS, Group, what_was_done, whose

ROOT = Path(__file__).parents[2]
NOBODY = Group("x.y", 1, None, None, None, None, None, {})


def test_every_kind_has_words_and_is_in_the_documents() -> None:
    documented = {
        kind
        for line in (ROOT / "docs" / "events.md").read_text().split("## Kinds")[1].splitlines()
        if line.startswith("| `")
        for kind in re.findall(r"`([a-z_]+\.[a-z_]+)`", line.split("|")[1])
    }
    assert documented == set(KINDS)


def test_every_kind_that_the_code_names_is_known() -> None:
    named = set()
    for file in [
        *(ROOT / "messaging" / "migrations").glob("2026120*.sql"),
        *(ROOT / "messaging").rglob("*.py"),
    ]:
        text = file.read_text()
        named |= set(re.findall(r"note_event\(\s*'([a-z_]+\.[a-z_]+)'", text))
        named |= set(
            re.findall(r"(?:then|else) '((?:device|sequence|contact|message|inbox|receiver)\.[a-z_]+)'", text)
        )
        named |= set(re.findall(r"\bnote\(\s*connection,\s*\"([a-z_]+\.[a-z_]+)\"", text))
    assert len(named) > 25
    assert named <= set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_said_with_nothing_known(kind: str) -> None:
    assert what_was_done([NOBODY._replace(kind=kind)])
    assert what_was_done([NOBODY._replace(kind=kind, events=20_000, reason="fair")]).endswith(": fair")


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (
            NOBODY._replace(kind="contact.paused", events=20_000, data={"chosen": {"where": "city = KL"}}),
            "paused 20,000 contacts (city = KL)",
        ),
        (
            NOBODY._replace(kind="contact.stopped", phone="+12015550123", sequence="intro", reason="asked"),
            "stopped +12015550123 in intro: asked",
        ),
        (
            NOBODY._replace(
                kind="campaign.changed",
                campaign="sale",
                data={"changes": {"min_delay": [None, 1], "device_ids": [["a"], ["a", "b"]], "text": []}},
            ),
            "changed campaign sale: min delay none → 1, device ids a → a, b, text",
        ),
        (
            NOBODY._replace(
                kind="sequence.changed", sequence="intro", data={"changes": ["step 'a' reworded"]}
            ),
            "changed sequence intro: step 'a' reworded",
        ),
        (
            NOBODY._replace(
                kind="lead.changed",
                phone="+12015550123",
                data={"before": {"city": ""}, "after": {"city": "Ipoh"}},
            ),
            "changed +12015550123: city none → Ipoh",
        ),
        (
            NOBODY._replace(
                kind="message.resolved",
                phone="+12015550123",
                sequence="intro",
                data={"step": "hello", "status": "pending"},
            ),
            "had the message of intro / hello to +12015550123 sent again",
        ),
        (NOBODY._replace(kind="tag.added", phone="+12015550123"), "tag added +12015550123"),
    ],
)
def test_what_was_done_in_words(group: Group, words: str) -> None:
    assert what_was_done([group]) == words


def test_who_did_it() -> None:
    assert [whose("anna", "command line"), whose("shop", "service"), whose("somebody", "web ui")] == [
        "anna",
        "shop (service)",
        "somebody (Web UI)",
    ]
