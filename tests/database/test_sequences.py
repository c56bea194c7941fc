"""Applying the files of sequences to a real database: created, edited, refused, and seen again."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from messaging.common.database import Pool, Record
from messaging.common.errors import NotFound
from messaging.files.yaml import FileProblems
from messaging.sequences.apply import AppliedSequence, apply_sequences
from messaging.sequences.file import SequenceDraft, read_sequence
from messaging.sequences.store import (
    ContactCounts,
    find_sequence,
    list_sequences,
    load_plan,
    set_sequence_status,
    show_sequence,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
PHONE = "+12015550123"


def draft_of(*steps: str, head: str = "", name: str = "cold", file: str = "cold.yaml") -> SequenceDraft:
    """A file whose steps are these; ``head``: more fields, on line 2 if there are any."""
    first = f"sequence: {name}\n" + (f"{head}\n" if head else "")
    return read_sequence(f"{first}steps:\n" + "".join(f"  - {{{step}}}\n" for step in steps), file)


async def apply(pool: Pool, *drafts: SequenceDraft) -> list[AppliedSequence]:
    """Applies the files."""
    async with pool.acquire() as connection:
        return await apply_sequences(connection, drafts)


async def refused(pool: Pool, *drafts: SequenceDraft) -> list[str]:
    """Applies the files, which must not work; the lines that say why."""
    with pytest.raises(FileProblems) as raised:
        await apply(pool, *drafts)
    lines = str(raised.value).splitlines()
    assert lines == [str(problem) for problem in raised.value.problems]
    return lines


async def steps_of(pool: Pool) -> list[tuple[str, str, bool]]:
    """Key, text and whether it was removed, of every stored step in order."""
    rows = await pool.fetch(
        "select key, text, removed_at is not null as removed from sequence_steps order by removed_at is not null, position"
    )
    return [(row["key"], row["text"], row["removed"]) for row in rows]


def mapping(rows: list[Record]) -> dict[str, object]:
    """Rows of two columns as a dict."""
    return {row[0]: row[1] for row in rows}


async def carry(pool: Pool, key: str, status: str = "sent", phone: str = PHONE) -> None:
    """Makes a message of the step ``key`` as the ledger does."""
    await pool.execute(
        "insert into devices (id, gateway) values ('main', 'simulated') on conflict do nothing"
    )
    await pool.execute("insert into leads (phone) values ($1) on conflict do nothing", phone)
    await pool.execute(
        "insert into sequence_contacts (sequence_id, lead_id, phone, device_id, workflow_id, run_id, timeline,"
        " plan_revision) select s.id, l.id, l.phone, 'main', 'w', 'r', '{}', s.revision"
        " from sequences s, leads l where l.phone = $1 and s.name = 'cold' on conflict do nothing",
        phone,
    )
    await pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id,"
        " due_at, status, sent_at) select $1, t.id, c.id, c.lead_id, c.phone, 'main', now(), $3,"
        " case when $3 = 'sent' then now() end from sequence_steps t, sequence_contacts c"
        " where t.key = $2 and t.sequence_id = c.sequence_id and c.phone = $4",
        uuid4(),
        key,
        status,
        phone,
    )


A, B, C = "id: a, day: 1, text: Hello", "id: b, day: 2, text: Story", "id: c, day: 3, text: Bye"


async def test_creates(pool: Pool) -> None:
    await pool.execute("insert into devices (id, gateway) values ('main', 'simulated')")
    draft = draft_of(
        "id: a, day: 1, at: 10:00, text: Hello",
        "id: b, after: 48h, text: Bye, image: 'https://example.com/a.jpg'",
        head="{trigger: cold, next_trigger: warm}"[1:-1].replace(", ", "\n")
        + "\ntimezone: Asia/Kuala_Lumpur\nskip_weekends: true\ndevice: main",
    )
    (applied,) = await apply(pool, draft)
    assert (applied.result, applied.revision, applied.steps, applied.changes) == ("created", 1, 2, ())
    async with pool.acquire() as connection:
        row = await find_sequence(connection, "cold")
        assert row is not None
        assert (row.trigger, row.next_trigger, row.time_zone) == ("COLD", "WARM", "Asia/Kuala_Lumpur")
        assert (row.skip_weekends, row.device_id, row.status, row.revision) == (True, "main", "active", 1)
        plan = await load_plan(connection, row.id)
    assert (plan.sequence, plan.revision, plan.time_zone, plan.skip_weekends) == (
        *("cold", 1, "Asia/Kuala_Lumpur", True),
    )
    assert [(step.key, step.day, step.at, step.after) for step in plan.steps] == [
        ("a", 1, time(10), None),
        ("b", None, None, timedelta(hours=48)),
    ]


async def test_the_same_again_changes_nothing(pool: Pool) -> None:
    draft = draft_of(
        A, "id: b, day: 2, at: 10:00, text: Story", "id: c, after: 90m, text: Bye", head="timezone: UTC"
    )
    await apply(pool, draft)
    versions = "select s.xmin::text, t.xmin::text from sequences s, sequence_steps t order by t.id"
    before = [tuple(row) for row in await pool.fetch(versions)]
    (applied,) = await apply(pool, draft)
    assert (applied.result, applied.revision, applied.changes) == ("unchanged", 1, ())
    assert [tuple(row) for row in await pool.fetch(versions)] == before, "a row was written"


@pytest.mark.parametrize(
    ("steps", "head", "changes"),
    [
        (("id: a, day: 1, text: Hi", B, C), "", ("step 'a' reworded",)),
        ((A, "id: b, day: 3, text: Story", C), "", ("step 'b' moved: day 2 → day 3",)),
        ((A, "id: b, after: 36h, text: Story", C), "", ("step 'b' moved: day 2 → after 36h",)),
        (
            (A, "id: b, day: 2, at: 09:00, text: Story", C),
            "timezone: UTC",
            ("step 'b' moved: day 2 → day 2 09:00",),
        ),
        ((A, B), "", ("step 'c' removed",)),
        ((A, B, C, "id: d, day: 4, text: PS"), "", ("step 'd' added",)),
        ((A, "id: x, day: 2, text: PS", B, C), "", ("step 'x' added",)),
        (
            (A, "id: c, day: 2, text: Bye", "id: b, day: 3, text: Story"),
            "",
            ("step 'c' moved: day 3 → day 2", "step 'b' moved: day 2 → day 3", "order of the steps: a, c, b"),
        ),
        (
            (A, "id: b, day: 2, text: Story, image: 'https://example.com/a'", C),
            "",
            ("step 'b' got an image",),
        ),
        ((A, B, C), "trigger: COLD", ("trigger: none → COLD",)),
        ((A, B, C), "timezone: Asia/Tokyo", ("timezone: UTC → Asia/Tokyo",)),
        ((A, B, C), "skip_weekends: true", ("skip_weekends: false → true",)),
    ],
)
async def test_an_edit_is_one_revision_and_keeps_the_steps_rows(
    pool: Pool, steps: tuple[str, ...], head: str, changes: tuple[str, ...]
) -> None:
    await apply(pool, draft_of(A, B, C))
    for key in "abc":
        await carry(pool, key)
    ids = mapping(await pool.fetch("select key, id from sequence_steps"))
    (applied,) = await apply(pool, draft_of(*steps, head=head))
    assert (applied.result, applied.revision, applied.changes) == ("changed", 2, changes)
    after = mapping(await pool.fetch("select key, id from sequence_steps"))
    assert {key: after[key] for key in ids} == ids
    (again,) = await apply(pool, draft_of(*steps, head=head))
    assert (again.result, again.revision) == ("unchanged", 2)
    async with pool.acquire() as connection:
        plan = await load_plan(connection, 1)
    assert [step.key for step in plan.steps] == [step.split(",")[0].removeprefix("id: ") for step in steps]


WANDERED = "contents keep their ID, give new ones a new ID"


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        (  # swapped
            ("id: a, day: 1, text: Story", "id: b, day: 2, text: Hello", C),
            [
                f"cold.yaml:3: steps[0].id: 'a' has the contents of step 'b' now, and 'a' carried messages: {WANDERED}",
                f"cold.yaml:4: steps[1].id: 'b' has the contents of step 'a' now, and 'a' carried messages: {WANDERED}",
            ],
        ),
        (  # renamed, text as it was but for its spaces
            ("id: hello, day: 1, text: ' Hello '", B, C),
            [
                "cold.yaml:3: steps[0].id: 'hello' has the contents of step 'a', which carried messages: keep the ID 'a'"
            ],
        ),
        (  # moved to a step that carried nothing
            ("id: a, day: 1, text: Hi", "id: b, day: 2, text: Hello", C),
            [
                f"cold.yaml:4: steps[1].id: 'b' has the contents of step 'a' now, and 'a' carried messages: {WANDERED}"
            ],
        ),
        (  # took over the contents of one that is given up
            ("id: a, day: 1, text: Story", C),
            [
                f"cold.yaml:3: steps[0].id: 'a' has the contents of step 'b' now, and 'a' carried messages: {WANDERED}"
            ],
        ),
    ],
)
@pytest.mark.parametrize("status", ["sent", "queued", "cancelled"])
async def test_contents_keep_their_id_once_it_carried_a_message(
    pool: Pool, steps: tuple[str, ...], lines: list[str], status: str
) -> None:
    await apply(pool, draft_of(A, B, C))
    await carry(pool, "a", status)
    before = await steps_of(pool)
    assert await refused(pool, draft_of(*steps)) == lines
    assert await steps_of(pool) == before
    assert await pool.fetchval("select revision from sequences") == 1


@pytest.mark.parametrize(
    "steps",
    [
        ("id: a, day: 1, text: Story", "id: b, day: 2, text: Hello", C),
        ("id: hello, day: 1, text: Hello", B, C),
        ("id: a, day: 1, text: Story", C),
    ],
)
async def test_as_long_as_nothing_was_carried_everything_is_allowed(
    pool: Pool, steps: tuple[str, ...]
) -> None:
    await apply(pool, draft_of(A, B, C))
    (applied,) = await apply(pool, draft_of(*steps))
    assert applied.result == "changed"


async def test_a_text_may_be_repeated_on_purpose(pool: Pool) -> None:
    await apply(pool, draft_of(A, B))
    await carry(pool, "a")
    (applied,) = await apply(pool, draft_of(A, B, "id: again, day: 3, text: Hello"))
    assert applied.changes == ("step 'again' added",)


async def test_the_id_of_a_removed_step_is_not_given_to_another(pool: Pool) -> None:
    await apply(pool, draft_of(A, B))
    await carry(pool, "b")
    await apply(pool, draft_of(A))
    assert await refused(pool, draft_of(A, "id: b, day: 2, text: News")) == [
        (
            "cold.yaml:4: steps[1].id: 'b' was the ID of a step that was removed, and it carried messages:"
            " give this step another ID, or restore the old contents"
        )
    ]
    assert await refused(pool, draft_of(A, "id: news, day: 2, text: Story")) == [
        "cold.yaml:4: steps[1].id: 'news' has the contents of step 'b', which carried messages: keep the ID 'b'"
    ]
    (applied,) = await apply(pool, draft_of(A, "id: b, day: 4, text: Story"))
    assert (applied.revision, applied.changes) == (3, ("step 'b' restored",))
    assert await steps_of(pool) == [("a", "Hello", False), ("b", "Story", False)]


async def test_a_removed_step_without_messages_is_forgotten(pool: Pool) -> None:
    await apply(pool, draft_of(A, B))
    await carry(pool, "a")
    await apply(pool, draft_of(A))
    assert await steps_of(pool) == [("a", "Hello", False), ("b", "Story", True)]
    (applied,) = await apply(pool, draft_of("id: a, day: 1, text: Story", "id: b, day: 2, text: News"))
    assert applied.changes == ("step 'a' reworded", "step 'b' added")


async def test_known_variables_are_those_of_stored_leads(pool: Pool) -> None:
    draft = draft_of(
        "id: a, day: 1, text: 'Hi {{ nmae }} in {{ city }}, {{ first_name }}'", "id: b, day: 2, text: '{{'"
    )
    assert await refused(pool, draft) == [
        (
            "cold.yaml:3: steps[0].text: unknown variable 'city';"
            " known are name, phone, niche, trigger, target_status, device"
        ),
        (
            "cold.yaml:3: steps[0].text: unknown variable 'first_name';"
            " known are name, phone, niche, trigger, target_status, device"
        ),
        "cold.yaml:3: steps[0].text: unknown variable 'nmae'; did you mean 'name'?",
        "cold.yaml:4: steps[1].text: the template does not work: expected '}}' after '{{', and it is not there",
    ]
    await pool.execute(
        "insert into leads (phone, attributes) values ($1, $2)", PHONE, {"city": "Ipoh", "first_name": "Aina"}
    )
    (applied,) = await apply(pool, draft_of("id: a, day: 1, text: 'Hi {{ first_name }} in {{ city }}'"))
    assert (applied.result, applied.warnings) == ("created", ())


async def test_warns_of_blanks(pool: Pool) -> None:
    await pool.executemany(
        "insert into leads (phone, name, attributes) values ($1, $2, $3)",
        [(PHONE, "Aina", {"city": "Ipoh"}), ("+12015550124", "", {"city": ""}), ("+12015550125", "", {})],
    )
    text = "Hi {{ name }} of {{ city | default: 'here' }} {{ phone }}"
    (applied,) = await apply(
        pool, draft_of(f'id: a, day: 1, text: "{text}"', 'id: b, day: 2, text: "{{ city }}"')
    )
    assert applied.result == "created"
    assert applied.warnings == (
        (
            "cold.yaml:3: steps[0].text: warning: 'name' is empty for 2 of 3 leads,"
            " give a default: {{ name | default: '…' }}"
        ),
        (
            "cold.yaml:4: steps[1].text: warning: 'city' is empty for 2 of 3 leads,"
            " give a default: {{ city | default: '…' }}"
        ),
    )


async def test_a_trigger_belongs_to_one_sequence(pool: Pool) -> None:
    await apply(pool, draft_of(A, head="trigger: COLD"))
    assert await refused(pool, draft_of(A, head="trigger: cold", name="other", file="other.yaml")) == [
        "other.yaml:2: trigger: 'COLD' is the trigger of sequence 'cold'"
    ]


async def test_triggers_can_change_hands_in_one_apply(pool: Pool) -> None:
    await apply(pool, draft_of(A, head="trigger: ONE"), draft_of(A, head="trigger: TWO", name="other"))
    await apply(pool, draft_of(A, head="trigger: TWO"), draft_of(A, head="trigger: ONE", name="other"))
    assert mapping(await pool.fetch("select name, trigger from sequences")) == {"cold": "TWO", "other": "ONE"}


async def test_files_are_compared_with_each_other(pool: Pool) -> None:
    first = draft_of(A, head="trigger: ONE", file="one.yaml")
    assert await refused(pool, first, draft_of(A, head="trigger: one", file="two.yaml")) == [
        "two.yaml:1: sequence: 'cold' is in one.yaml too, give each its own",
        "two.yaml:2: trigger: 'ONE' is in one.yaml too, give each its own",
    ]


async def test_all_files_or_none_with_every_problem(pool: Pool) -> None:
    await pool.execute("insert into devices (id, gateway) values ('main', 'simulated')")
    good = draft_of(A, name="good", file="good.yaml")
    bad = draft_of("id: a, day: 0, text: '{{ nmae }}'", head="device: mian", file="bad.yaml")
    assert await refused(pool, good, bad) == [
        "bad.yaml:2: device: there is no device 'mian'; did you mean 'main'?",
        "bad.yaml:4: steps[0].day: 0 is not a day of a sequence, the first is 1 and the last 3650",
        "bad.yaml:4: steps[0].text: unknown variable 'nmae'; did you mean 'name'?",
    ]
    assert await pool.fetchval("select count(*) from sequences") == 0


async def test_warns_of_a_chain_that_leads_nowhere(pool: Pool) -> None:
    (applied,) = await apply(pool, draft_of(A, head="trigger: COLD\nnext_trigger: WARM"))
    assert applied.warnings == ("cold.yaml:3: next_trigger: warning: no sequence has the trigger 'WARM' yet",)
    (applied,) = await apply(pool, draft_of(A, head="trigger: COLD\nnext_trigger: COLD"))
    assert applied.warnings == (
        (
            "cold.yaml:3: next_trigger: warning: is the sequence's own trigger,"
            " and a contact goes through a sequence only once"
        ),
    )


async def test_concurrent_applies_come_one_after_the_other(pool: Pool) -> None:
    drafts = [draft_of(f"id: a, day: 1, text: Hello {n}", B, head="trigger: COLD") for n in range(8)]
    applied = await asyncio.gather(*(apply(pool, draft) for draft in drafts))
    results = sorted((one.revision, one.result) for (one,) in applied)
    assert results == [(1, "created"), *((n, "changed") for n in range(2, 9))]
    assert await pool.fetchval("select revision from sequences") == 8


async def test_one_of_two_sequences_gets_the_trigger(pool: Pool) -> None:
    drafts = [draft_of(A, head="trigger: COLD", name=f"s{n}") for n in range(6)]
    applied = await asyncio.gather(*(apply(pool, draft) for draft in drafts), return_exceptions=True)
    assert [type(one) for one in applied].count(list) == 1
    assert all(isinstance(one, list | FileProblems) for one in applied)


async def test_no_message_begins_while_its_steps_meaning_is_looked_at(pool: Pool) -> None:
    await apply(pool, draft_of(A, B))
    await carry(pool, "b", phone="+12015550199")
    async with pool.acquire() as other, other.transaction():
        # What the ledger does when it creates a message of step a; not committed yet.
        await other.execute(
            "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone,"
            " device_id, due_at) select $1, (select id from sequence_steps where key = 'a'), c.id, c.lead_id, c.phone,"
            " 'main', now() from sequence_contacts c",
            uuid4(),
        )
        edit = asyncio.create_task(refused(pool, draft_of("id: hello, day: 1, text: Hello", B)))
        done, _ = await asyncio.wait({edit}, timeout=0.5)
        assert not done
    assert len(await edit) == 1


async def test_pause_and_resume(pool: Pool) -> None:
    await apply(pool, draft_of(A))
    async with pool.acquire() as connection:
        assert await set_sequence_status(connection, "cold", "paused")
        assert not await set_sequence_status(connection, "cold", "paused")
        row = await find_sequence(connection, "cold")
        assert row is not None
        assert row.status == "paused"
        await apply(pool, draft_of(A, B))
        assert not await set_sequence_status(connection, "cold", "paused")
        assert await set_sequence_status(connection, "cold", "active")
        with pytest.raises(NotFound, match=r"^there is no sequence 'clod': did you mean 'cold'\?$"):
            await set_sequence_status(connection, "clod", "paused")
        assert await find_sequence(connection, "clod") is None
        with pytest.raises(NotFound, match="there is no sequence with the number 99"):
            await load_plan(connection, 99)


async def test_shows_where_contacts_stand(pool: Pool) -> None:
    await apply(pool, draft_of(A, B), draft_of(A, name="other"))
    await carry(pool, "a")
    due = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)
    await pool.execute(
        "update sequence_contacts set next_step_id = (select id from sequence_steps where key = 'b'), next_due_at = $1"
        " where sequence_id = 1",
        due,
    )
    async with pool.acquire() as connection:
        details = await show_sequence(connection, "cold")
        summaries = await list_sequences(connection)
        with pytest.raises(NotFound, match="there is no sequence 'nothing': known are cold, other"):
            await show_sequence(connection, "nothing")
    assert details.contacts == ContactCounts(active=1)
    assert details.next_due_at == due
    assert [(step.key, step.waiting, step.next_due_at, step.sent) for step in details.steps] == [
        ("a", 0, None, 1),
        ("b", 1, due, 0),
    ]
    assert [(one.name, one.steps, one.contacts.active) for one in summaries] == [
        ("cold", 2, 1),
        ("other", 1, 0),
    ]


@pytest.mark.parametrize("folder", ["sequences", "demo/sequences"])
async def test_the_examples_can_be_applied(pool: Pool, folder: str) -> None:
    files = sorted((EXAMPLES / folder).glob("*.yaml"))
    assert len(files) >= 3
    applied = await apply(pool, *(read_sequence(file.read_text(), file.name) for file in files))
    assert [(one.result, one.warnings) for one in applied] == [("created", ())] * len(files)
    chain = mapping(await pool.fetch("select trigger, next_trigger from sequences"))
    assert chain.items() >= {"COLDVITAC": "WARMVITAC", "WARMVITAC": "HOTVITAC", "HOTVITAC": None}.items()
    first = await pool.fetch("select text from sequence_steps where position = 0")
    assert all("Reply STOP" in row["text"] for row in first)


async def test_a_zone_with_its_sign_reversed_is_warned_of(pool: Pool) -> None:
    (applied,) = await apply(pool, draft_of(A, head="timezone: Etc/GMT-8"))
    (warning,) = applied.warnings
    assert warning.startswith(
        "cold.yaml:2: timezone: warning: Etc/GMT-8 is UTC+8, the sign of these names is reversed"
    )


async def test_what_looks_like_a_variable_is_refused_or_warned_of(pool: Pool) -> None:
    await pool.execute(
        "insert into leads (phone, attributes) values ('+12015550101', '{\"city\": \"Ipoh\"}')"
    )
    assert await refused(pool, draft_of("id: a, day: 1, text: 'Hi [City], {city}, [sic]'")) == [
        "cold.yaml:3: steps[0].text: [City] would go out as it stands, write {{ city }}",
        "cold.yaml:3: steps[0].text: {city} would go out as it stands, write {{ city }}",
    ]
    (applied,) = await apply(pool, draft_of("id: a, day: 1, text: 'Hi {first name} [sic]'"))
    assert applied.warnings == (
        (
            "cold.yaml:3: steps[0].text: warning: {first name} goes out as it stands,"
            " a variable is written {{ name }}"
        ),
    )


async def test_a_text_that_is_too_long_has_one_line(pool: Pool) -> None:
    assert await refused(pool, draft_of(f"id: a, day: 1, text: '{'{{' * 5000}'")) == [
        "cold.yaml:3: steps[0].text: has 10,000 characters, WhatsApp takes 4,096"
    ]
