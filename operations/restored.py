"""Rebuilds the ledger after it was restored to an earlier moment: by what Temporal's histories know, and else by time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from messaging.campaigns.audience import freeze_audience
from messaging.common.counts import count_of
from messaging.common.database import Pool
from messaging.common.errors import DrumbeatError
from messaging.common.values import Value
from messaging.leads.opt_outs import record_opt_out
from messaging.sending import restores
from messaging.sending.message_ids import sequence_message_id
from messaging.sending.restores import DOUBT, Restore
from messaging.sequences import doubts
from messaging.sequences.contacts import pause_contact
from messaging.sequences.contract import EnrollmentEnd, EnrollmentRequest
from messaging.sequences.enrollments import Enrollments
from operations.connection import Drumbeat
from operations.histories import Attempted, Known, read_histories
from temporal.campaigns import CAMPAIGN_WORKFLOW
from temporal.contacts import CONTACT_WORKFLOW
from temporal.messages import MESSAGE_WORKFLOW

__all__ = ["Rebuilt", "rebuild", "rebuild_contacts"]

BEFORE = "before the ledger was restored"


class Rebuilt(Value):
    """What was found, or done, after a restore of the ledger; each a sentence."""

    done: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """What cannot be brought back: for the operator."""


async def rebuild(drumbeat: Drumbeat, restore: Restore, *, by_time: bool, dry_run: bool) -> Rebuilt:
    """Brings back what Temporal knows, and marks the rest that may have been sent as unconfirmed.

    ``by_time``: whatever was due counts as possibly sent, unless a history says what became of it. Otherwise only what
    the histories show counts, which is right if Temporal's own database is as it was. Repeating it is harmless.
    """
    pool = await drumbeat.pool()
    known = await read_histories(drumbeat, since=restore.restored_to, until=restore.found_at)
    work = _Rebuilding(pool, restore, dry_run=dry_run)
    for contact in sorted(known, key=lambda one: one.started_at):
        if contact.kind == CONTACT_WORKFLOW and contact.enrollment_id is not None and not contact.duplicate:
            await work.contact(contact)
    messages = [one for one in known if one.kind == MESSAGE_WORKFLOW]
    started = await _started_campaigns(drumbeat)
    await work.campaigns(
        started | {one.request["campaign"] for one in messages if one.request.get("campaign")}, by_time
    )
    for message in messages:
        await work.message(message)
    await work.rest(by_time=by_time)
    return work.rebuilt()


async def rebuild_contacts(drumbeat: Drumbeat, workflow_ids: Sequence[str], *, dry_run: bool) -> Rebuilt:
    """Stores the enrollments of these running workflows again, with the messages that their histories know."""
    now = datetime.now(UTC)
    restore = Restore(0, "", None, now, None)
    work = _Rebuilding(await drumbeat.pool(), restore, dry_run=dry_run)
    for contact in await read_histories(drumbeat, since=now, until=now, only=workflow_ids):
        if contact.enrollment_id is not None and not contact.duplicate:
            await work.contact(contact)
    return work.rebuilt()


async def _started_campaigns(drumbeat: Drumbeat) -> set[str]:
    """The campaigns that Temporal knows."""
    query = f"WorkflowType = '{CAMPAIGN_WORKFLOW}'"
    return {one.id.partition(":")[2] async for one in drumbeat.temporal.list_workflows(query, page_size=1000)}


class _Rebuilding:
    """Does it, or counts what it would do."""

    def __init__(self, pool: Pool, restore: Restore, *, dry_run: bool) -> None:
        self._pool = pool
        self._restore = restore
        self._dry_run = dry_run
        self._counts: Counter[str] = Counter()
        self._left: list[str] = []

    def rebuilt(self) -> Rebuilt:
        """What was done, in sentences."""
        words = {
            "enrolled": ("enrollment is stored again", "enrollments are stored again"),
            "sent": (f"message was sent {BEFORE}", f"messages were sent {BEFORE}"),
            "settled": (
                f"message was settled {BEFORE}, and not sent",
                f"messages were settled {BEFORE}, and not sent",
            ),
            "unconfirmed": (
                "message may have been sent: it becomes unconfirmed",
                "messages may have been sent: they become unconfirmed",
            ),
            "steps": (
                "contact may have had its next step: it becomes unconfirmed, and the contact goes on",
                "contacts may have had their next step: it becomes unconfirmed, and they go on",
            ),
            "opted_out": (f"person opted out {BEFORE}", f"people opted out {BEFORE}"),
            "stopped": (f"contact was stopped {BEFORE}", f"contacts were stopped {BEFORE}"),
            "paused": (f"contact was paused {BEFORE}", f"contacts were paused {BEFORE}"),
            "frozen": (
                f"campaign may have started {BEFORE}: it gets its audience",
                f"campaigns may have started {BEFORE}: they get their audience",
            ),
        }
        done = [count_of(self._counts[key], *words[key]) for key in words if self._counts[key]]
        return Rebuilt(done=tuple(done), left=tuple(self._left))

    async def contact(self, known: Known) -> None:
        """Brings back one contact: enrollment, messages, and whether it left or waits."""
        assert known.enrollment_id is not None
        request = EnrollmentRequest.model_validate(known.request)
        row = await self._row(known)
        if row is None:
            self._counts["enrolled"] += 1
            if self._dry_run:
                self._count_steps(known.attempts, {})
                return
            try:
                refused = await doubts.enroll_again(
                    self._pool,
                    request,
                    enrollment_id=known.enrollment_id,
                    workflow_id=known.workflow_id,
                    run_id=known.run_id,
                    now=known.started_at,
                )
                why = refused and refused.reason
            except DrumbeatError as error:
                why = str(error)
            row = await self._row(known)
            if why is not None or row is None:
                self._counts["enrolled"] -= 1
                self._left.append(
                    f"{known.workflow_id} cannot be stored again: {why or 'another enrollment is there'}"
                )
                return
        await self._steps(known, row["id"], request.lead.phone)
        if not self._dry_run:
            await doubts.go_past_settled(self._pool, row["id"])
        await self._standing(known, row)

    async def _row(self, known: Known) -> asyncpg.Record | None:
        return await doubts.stored_enrollment(
            self._pool, known.workflow_id, known.run_id, known.enrollment_id
        )

    async def _steps(self, known: Known, enrollment: int, phone: str) -> None:
        ids = {
            sequence_message_id(one.step_id, phone): one for one in known.attempts if one.step_id is not None
        }
        statuses = await self._statuses(ids)
        if self._dry_run:
            self._count_steps(
                known.attempts, {one.step_id: statuses.get(key, "") for key, one in ids.items()}
            )
            return
        for message_id, one in ids.items():
            status, reason = _of(one)
            try:
                settled = await restores.settle_message(
                    self._pool,
                    message_id,
                    status,
                    one.at,
                    enrollment=enrollment,
                    step=one.step_id,
                    reason=reason,
                )
            except asyncpg.UniqueViolationError:
                continue  # the same step went to this phone under another row, which has its outcome
            if settled:
                self._note(status)
            elif message_id not in statuses:
                self._left.append(
                    f"{phone} had a step of {known.workflow_id.split(':')[1]} that the ledger does not know any more:"
                    " apply the sequence's file, and see that its text does not go out again"
                )

    def _count_steps(self, attempts: Iterable[Attempted], statuses: dict[int | None, str]) -> None:
        for one in attempts:
            if statuses.get(one.step_id, "") in ("", "pending", "queued", "processing"):
                self._note(_of(one)[0])

    def _note(self, status: str) -> None:
        self._counts[status if status in ("sent", "unconfirmed") else "settled"] += 1

    async def _statuses(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        return await restores.statuses_of(self._pool, ids)

    async def _standing(self, known: Known, row: asyncpg.Record) -> None:
        if row["status"] != "active":
            return
        what = known.outcome if known.outcome in ("opted_out", "stopped") else None
        if what is None and known.paused is not None and known.running:
            what = "paused"
        if what is None:
            return
        self._counts[what] += 1
        if self._dry_run:
            return
        async with self._pool.acquire() as connection:
            if what == "opted_out":
                await record_opt_out(connection, row["phone"], f"opted out {BEFORE}")
            elif what == "paused":
                await pause_contact(connection, row["id"], known.paused)
        if what == "stopped":
            end = EnrollmentEnd(enrollment_id=row["id"], status="stopped", reason=known.reason)
            await Enrollments(self._pool).finish(end, now=None)

    async def campaigns(self, started: set[str], by_time: bool) -> None:
        """Gives campaigns that may have started their audience, so that each of its messages can be marked."""
        there = await restores.campaign_names(self._pool)
        self._left += [
            f"campaign {name} was made after that moment, and the ledger does not know it: do not send it again under another"
            f' name; DrumbeatCampaign = "{name}" in the Web UI lists who got it'
            for name in sorted(started - there)
        ]
        found = await restores.started_campaigns(self._pool, self._restore, sorted(started), by_time=by_time)
        self._counts["frozen"] += len(found)
        if self._dry_run:
            return
        async with self._pool.acquire() as connection:
            for campaign in found:
                await connection.execute(restores.START_CAMPAIGN, campaign)
                await freeze_audience(connection, campaign, now=None)

    async def message(self, known: Known) -> None:
        """Brings back what became of one message that has a workflow of its own."""
        if not known.attempts:
            return
        message_id = UUID(known.request["message_id"])
        one = max(known.attempts, key=lambda attempt: attempt.at)
        status, reason = _of(one)
        if self._dry_run:
            if (await self._statuses([message_id])).get(message_id, "") in (
                "pending",
                "queued",
                "processing",
            ):
                self._note(status)
        elif await restores.settle_message(self._pool, message_id, status, one.at, reason=reason):
            self._note(status)

    async def rest(self, *, by_time: bool) -> None:
        """Marks what may have been sent, and of which no history says what became of it."""
        contacts = await doubts.contacts_in_doubt(self._pool, self._restore) if by_time else []
        if self._dry_run:
            if by_time:
                self._counts["unconfirmed"] = max(
                    self._counts["unconfirmed"],
                    await restores.count_may_have_been_sent(self._pool, self._restore),
                )
                self._counts["steps"] += len(contacts)
            return
        marked = await restores.doubt_messages(self._pool, self._restore, None if by_time else [])
        self._counts["unconfirmed"] += len(marked)
        for contact in contacts:
            if await doubts.doubt_steps(self._pool, contact, self._restore):
                self._counts["steps"] += 1
        await restores.note_settled(self._pool, self._restore, datetime.now(UTC))


def _of(one: Attempted) -> tuple[str, str | None]:
    """The status and reason that the row gets."""
    if one.status is None:
        return "unconfirmed", DOUBT
    return one.status.value, one.reason
