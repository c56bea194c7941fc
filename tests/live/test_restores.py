"""The ledger, or Temporal, is put back to an earlier moment: nothing is sent twice, and nothing is lost in silence."""

from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from shutil import copyfile

import pytest

from messaging.leads.lead import Lead
from messaging.sending.restores import find_restore
from messaging.sequences.contract import EnrollmentRequest
from operations import campaigns, opt_outs
from operations.audit import audit
from operations.repair import repair
from rig.people import phone
from rig.waiting import until
from temporal.contacts import start_contact
from tests.support.backups import dump, put_back
from tests.support.live import Live, live_servers
from tests.support.scenario import Scenario

pytestmark = pytest.mark.long

SEQUENCE = """
sequence: welcome
steps:
  - {id: hello, after: 0s, text: Hello}
  - {id: second, after: 3s, text: Second}
  - {id: third, after: 1h, text: Third}
"""

CAMPAIGN = """
campaign: sale
target: {niche: VITAC}
text: Sale
"""


async def sent(live: Live) -> Counter[tuple[str, str]]:
    """How often each text went to each phone, as the gateway counts."""
    return Counter((row["phone"], row["text"]) for row in await live.scenario.accepted())


async def enroll(live: Live, *people: int) -> None:
    for person in people:
        lead = Lead(phone=phone(person), device_id=live.scenario.device)
        await start_contact(
            live.connection.temporal,
            EnrollmentRequest(sequence="welcome", lead=lead),
            task_queue=live.connection.settings.task_queue,
        )


async def begin(live: Live) -> None:
    """Three contacts have had their first step, and a campaign is ready."""
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.apply_campaign(CAMPAIGN)
    await live.scenario.add_leads(4, first=20)
    await live.start_worker()
    await enroll(live, 1, 2, 3)
    await until(lambda: reached(live, {(phone(person), "Hello") for person in (1, 2, 3)}), 30)


async def reached(live: Live, wanted: set[tuple[str, str]]) -> bool:
    return wanted <= set(await sent(live))


async def go_on(live: Live) -> set[tuple[str, str]]:
    """What happens after the backup: enrollments, steps, a campaign, an opt-out."""
    await enroll(live, 4)
    await campaigns.start(live.connection, "sale", now=True)
    wanted = {(phone(person), "Second") for person in (1, 2, 3)} | {(phone(4), "Hello")}
    wanted |= {(phone(20 + lead), "Sale") for lead in range(4)}
    await until(lambda: reached(live, wanted), 30)
    await opt_outs.opt_out(live.connection, phone(2), "STOP")
    return wanted


async def has_ended(live: Live, person: int) -> bool:
    rows = await live.scenario.pool.fetch(
        "select status from sequence_contacts where phone = $1", phone(person)
    )
    return [row["status"] for row in rows] == ["opted_out"]


@pytest.mark.parametrize("temporal_kept", [True, False])
async def test_the_ledger_is_put_back_while_temporal_is_ahead(
    live: Live, database_url: str, tmp_path: Path, temporal_kept: bool
) -> None:
    await begin(live)
    backup = await dump(database_url, tmp_path / "drumbeat.dump")
    await go_on(live)
    await until(lambda: settled(live), 20)
    await live.stop_workers()
    before = await sent(live)
    await live.scenario.pool.expire_connections()
    await put_back(database_url, backup)

    await live.start_worker()
    await until(lambda: noted(live), 20)
    await enroll(live, 5)  # takes no number of an enrollment that is gone
    await until(lambda: is_enrolled(live, 5), 20)
    report = await audit(live.connection)
    assert not report.kept
    assert "everything is paused" in str(report.checks[0].broken)

    planned = await repair(live.connection, dry_run=True, temporal_kept=temporal_kept)
    assert planned.restored
    assert not planned.confirmed
    assert await sent(live) == before, "a dry run sends nothing, and nothing else does"
    done = await repair(live.connection, temporal_kept=temporal_kept)
    assert done.confirmed, done
    assert "1 enrollment is stored again" in done.done
    assert "1 person opted out before the ledger was restored" in done.done

    # What was due when the restore was found may have been sent, if nobody can say that it was not.
    await until(lambda: is_settled(live, 4, {"sent"} if temporal_kept else {"sent", "unconfirmed"}), 30)
    await until(lambda: reached(live, {(phone(5), "Second")}), 30)
    after = await sent(live)
    assert max(after.values()) == 1, "nothing is sent twice"
    rows = await live.scenario.messages()
    known = {(row["recipient_phone"], row["step"] or "sale") for row in rows if row["status"] == "sent"}
    assert {(phone(person), "second") for person in (1, 2, 3)} <= known
    assert {(phone(20 + lead), "sale") for lead in range(4)} <= known
    waiting = await live.scenario.pool.fetch(
        "select c.phone, t.key from sequence_contacts c join sequence_steps t on t.id = c.next_step_id"
        " where c.status = 'active'"
    )
    assert {(row["phone"], row["key"]) for row in waiting} >= {(phone(1), "third"), (phone(3), "third")}
    assert await has_ended(live, 2)
    await until(lambda: is_kept(live), 30)


@pytest.mark.parametrize("lost", [False, True], ids=["an hour ago", "lost"])
async def test_temporal_is_put_back_while_the_ledger_is_ahead(
    scenario: Scenario, database_url: str, tmp_path: Path, lost: bool
) -> None:
    file, backup = tmp_path / "temporal.db", tmp_path / "temporal.backup"

    def servers(which: Path = file) -> AbstractAsyncContextManager[Live]:
        return live_servers(
            scenario,
            database_url,
            tmp_path / "worker.log",
            task_queue="restored",
            dev_server_database_filename=str(which),
        )

    async with servers() as live:
        await begin(live)
    copyfile(file, backup)
    async with servers() as live:
        await live.start_worker()
        await go_on(live)
        await until(lambda: settled(live), 20)

    async with servers(tmp_path / "new.db" if lost else backup) as live:
        assert not (await audit(live.connection)).kept
        planned = await repair(live.connection, dry_run=True)
        assert any("without a workflow" in line for line in planned.done), planned
        assert not planned.restored, "the ledger knows what was sent: nothing is paused"
        await live.start_worker()
        await until(live.works, 20)
        await repair(live.connection)
        await until(lambda: reached(live, {(phone(4), "Second")}), 30)
        await until(lambda: is_kept(live), 30)
        assert max((await sent(live)).values()) == 1, "nothing is sent twice"
        assert await live.active() == 3
        assert await has_ended(live, 2)
        assert (await repair(live.connection)).nothing


async def settled(live: Live) -> bool:
    rows = await live.scenario.messages()
    return not any(row["status"] in ("pending", "queued", "processing") for row in rows)


async def is_settled(live: Live, person: int, statuses: set[str]) -> bool:
    rows = await live.scenario.messages()
    return any(
        (row["recipient_phone"], row["step"]) == (phone(person), "second") and row["status"] in statuses
        for row in rows
    )


async def noted(live: Live) -> bool:
    return await find_restore(live.scenario.pool) is not None and await live.works()


async def is_enrolled(live: Live, person: int) -> bool:
    return bool(
        await live.scenario.pool.fetchval(
            "select exists (select from sequence_contacts where phone = $1 and id > 1000000)", phone(person)
        )
    )


async def is_kept(live: Live) -> bool:
    return (await audit(live.connection)).kept
