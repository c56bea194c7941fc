"""Finds the workflows that must be signalled about a change: page by page, the earliest due first.

There are two kinds of change. Another step than the workflow knows comes next, or none (``plans``): the contact's row
says so until the workflow has replanned. Or a hold by a sequence, device or campaign has ended: its workflows are
found by their messages. Signalling a workflow twice is harmless, and so is not signalling one that has just moved on.

A signal can be lost: the process that changed the row dies before it sends the signal, or Temporal cannot be reached.
But the rows still say which workflows are to be signalled, so the recovery sweep does it within a minute
(``any_to_signal``, ``any_passed_over``).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from messaging.common.database import Pool
from messaging.common.values import Value

__all__ = [
    "SELECT_HELD",
    "Page",
    "Tell",
    "Telling",
    "ToSignal",
    "any_passed_over",
    "any_to_signal",
    "awaiting",
    "count_held",
    "count_unplanned",
    "note_signalled",
    "page",
    "unmoved",
]


class Tell(Value):
    """What workflows are to be signalled about: that something else comes next (``plans``), or that a hold of this kind
    ended.

    ``passed-over``: workflows whose message could go out and has not moved for some minutes, whatever held it.
    ``after`` and ``after_key``: go on after this workflow, which was signalled last.
    """

    kind: Literal["plans", "sequence", "device", "campaign", "passed-over"]
    name: str = ""
    after: datetime | None = None
    after_key: str = ""


class Telling(Value):
    """The input of TellingWorkflow: what is still to be signalled, in this order."""

    of: tuple[Tell, ...] = ()


PAGE = 500
"""How many workflows are found at a time."""

SELECT_UNPLANNED = """
select id::text as key, coalesce(next_due_at, plan_changed_at) as due_at, plan_changed_at as seen_at, workflow_id
  from sequence_contacts
 where plan_changed_at is not null
"""

# Of a message m, its campaign k and its enrollment c.
WORKFLOW_ID = """
case when k.id is not null then 'campaign:' || k.name || ':' || coalesce(m.key_phone, m.recipient_phone)
     when m.resends > 0 or m.purpose is not null then 'message:' || m.id else c.workflow_id end
"""

# Messages held by the sequence $1, the device $2 or the campaign $3, whichever is given: attempted before and without a
# future slot, so that only a signal wakes them. A message in 'processing' with a reason is in doubt, and waits for the
# next attempt. (offset 0 fixes the plan, whatever the statistics say: first the held messages, which are few; then the
# contact of each one.)
SELECT_HELD = f"""
select m.id::text as key, m.due_at, m.updated_at as seen_at, {WORKFLOW_ID} as workflow_id
  from (select *
          from broadcast_messages
         where is_unsettled(status) and reason is not null
           and (slot_at is null or slot_at <= clock_timestamp()) and due_at <= clock_timestamp()
        offset 0) m
  left join lateral (select * from sequence_contacts where id = m.sequence_contact_id offset 0) c on true
  left join sequences s on s.id = c.sequence_id
  left join campaigns k on k.id = m.campaign_id
 where (c.id is null or c.status = 'active' or m.resends > 0)
   and ($1::text is null or s.name = $1) and ($2::text is null or m.device_id = $2)
   and ($3::text is null or k.name = $3)
"""  # noqa: S608 - of this module

SELECT_AWAITING = f"""
select {WORKFLOW_ID} as workflow_id
  from broadcast_messages m
  left join sequence_contacts c on c.id = m.sequence_contact_id
  left join campaigns k on k.id = m.campaign_id
 where m.recipient_phone = $1 and awaits_window(m)
"""  # noqa: S608 - of this module

# $4: how long they have not moved. One that has not moved for a day is signalled for two minutes of each hour only (the
# sweep runs every minute): its workflow may be gone, or fail again and again, and Temporal takes 10,000 signals for one.
SELECT_PASSED_OVER = f"""
select h.*
  from ({SELECT_HELD}) h
  join broadcast_messages b on b.id = h.key::uuid
 cross join lateral (select extract(epoch from clock_timestamp() - greatest(h.seen_at, h.due_at)) as seconds) still
 where h.seen_at < clock_timestamp() - $4::interval and hold_of(b) is null
   and (still.seconds < 86400 or mod(still.seconds, 3600) < 120)
"""  # noqa: S608 - of this module

IS_ANY_PASSED_OVER = f"select exists (select from ({SELECT_PASSED_OVER}) passed_over)"  # noqa: S608

PASSED_OVER_AFTER = timedelta(minutes=7)
"""A message that could go out and has not moved for this long was passed over. The longest pause between two attempts,
while the gateway is away, is six minutes.
"""

# go_on: those that nothing else holds.
COUNT_HELD = f"""
select count(distinct h.workflow_id) as held,
       count(distinct h.workflow_id) filter (
           where not coalesce(k.status = 'paused' or (c.status = 'active' and c.paused_at is not null) or s.status = 'paused'
                              or (d.status <> 'active' and d.replaced_by is null) or b.waits_for = 'window', false)) as go_on
  from ({SELECT_HELD}) h
  join broadcast_messages b on b.id = h.key::uuid
  join devices d on d.id = b.device_id
  left join campaigns k on k.id = b.campaign_id
  left join sequence_contacts c on c.id = b.sequence_contact_id
  left join sequences s on s.id = c.sequence_id
"""  # noqa: S608 - of this module

# One page of such a query. {after} and {key} are the numbers of the parameters that say where the page begins.
SELECT_PAGE = """
select workflow_id, key, due_at, seen_at
  from ({found}) found
 where ${after}::timestamptz is null or (due_at, key) > (${after}, ${key}::text)
 order by due_at, key
 limit {size}
"""

SELECT_UNMOVED_CONTACTS = """
select c.id::text as key
  from unnest($1::text[], $2::timestamptz[]) as t (key, seen_at)
  join sequence_contacts c on c.id = t.key::bigint
 where c.plan_changed_at = t.seen_at
"""

SELECT_UNMOVED_MESSAGES = """
select m.id::text as key
  from unnest($1::text[], $2::timestamptz[]) as t (key, seen_at)
  join broadcast_messages m on m.id = t.key::uuid
 where is_unsettled(m.status) and m.updated_at = t.seen_at
"""

COUNT_UNPLANNED = """
select count(*)
  from sequence_contacts
 where status = 'active' and plan_changed_at is not null and ($1::bigint is null or sequence_id = $1)
"""

# A workflow that was signalled and has not replanned is signalled again after a minute, then two, four and so on.
IS_ANY_TO_SIGNAL = """
select exists (select from sequence_contacts
                where plan_changed_at is not null
                  and (signalled_at is null or signalled_at < plan_changed_at
                       or signalled_at + greatest(interval '1 minute', signalled_at - plan_changed_at) < clock_timestamp()))
"""

NOTE_SIGNALLED = """
update sequence_contacts c
   set signalled_at = clock_timestamp(), plan_changed_at = case when t.running then c.plan_changed_at end
  from unnest($1::bigint[], $2::timestamptz[], $3::boolean[]) as t (id, seen_at, running)
 where c.id = t.id and c.plan_changed_at = t.seen_at
"""


class ToSignal(NamedTuple):
    """A workflow to signal: the row that is the reason, and when that row was changed last."""

    workflow_id: str
    key: str
    due_at: datetime
    seen_at: datetime


class Page(NamedTuple):
    """One page of workflows to signal, the signal, and whether more pages follow."""

    signal: str
    next: tuple[ToSignal, ...]
    more: bool


async def page(pool: Pool, tell: Tell) -> Page:
    """The next page of workflows to signal, the earliest due first."""
    found, arguments = _found(tell)
    number = len(arguments)
    rows = await pool.fetch(
        SELECT_PAGE.format(found=found, after=number + 1, key=number + 2, size=PAGE),
        *arguments,
        tell.after,
        tell.after_key,
    )
    return Page(
        "plan_changed" if tell.kind == "plans" else "wake",
        tuple(ToSignal(**row) for row in rows),
        more=len(rows) == PAGE,
    )


def _found(tell: Tell) -> tuple[str, list[Any]]:
    """The query for the workflows to signal, and its arguments."""
    match tell.kind:
        case "plans":
            return SELECT_UNPLANNED, []
        case "passed-over":
            return SELECT_PASSED_OVER, [None, None, None, PASSED_OVER_AFTER]
        case _:
            return SELECT_HELD, _held_by(tell.kind, tell.name)


async def note_signalled(pool: Pool, signalled: Sequence[ToSignal], running: Sequence[bool]) -> None:
    """Notes which workflows were signalled about a new plan. A contact without a running workflow needs no signal any
    more.
    """
    keys = [int(one.key) for one in signalled]
    await pool.execute(NOTE_SIGNALLED, keys, [one.seen_at for one in signalled], list(running))


async def unmoved(pool: Pool, tell: Tell, signalled: Sequence[ToSignal]) -> set[str]:
    """The keys of those that have not acted on the signal yet."""
    query = SELECT_UNMOVED_CONTACTS if tell.kind == "plans" else SELECT_UNMOVED_MESSAGES
    rows = await pool.fetch(query, [one.key for one in signalled], [one.seen_at for one in signalled])
    return {row["key"] for row in rows}


async def count_held(pool: Pool, kind: str, name: str) -> tuple[int, int]:
    """How many contacts and leads the sequence, device or campaign of this name has held, and how many of them go on, as
    nothing else holds them.
    """
    row = await pool.fetchrow(COUNT_HELD, *_held_by(kind, name))
    return (row["held"], row["go_on"]) if row is not None else (0, 0)


def _held_by(kind: str, name: str) -> list[str | None]:
    return [name if kind == one else None for one in ("sequence", "device", "campaign")]


async def awaiting(pool: Pool, phone: str) -> list[str]:
    """The workflows of messages that wait until this phone writes."""
    return [row["workflow_id"] for row in await pool.fetch(SELECT_AWAITING, phone)]


async def count_unplanned(pool: Pool, sequence_id: int | None = None) -> int:
    """How many contacts, of one sequence or all, have a workflow that does not know yet that something else comes
    next.
    """
    count: int = await pool.fetchval(COUNT_UNPLANNED, sequence_id)
    return count


async def any_to_signal(pool: Pool) -> bool:
    """True if a contact's workflow is to be signalled now that something else, or nothing, comes next.

    A workflow that has not reacted is signalled again, but at longer and longer intervals: its task may be failing, and
    each signal stays in its history.
    """
    found: bool = await pool.fetchval(IS_ANY_TO_SIGNAL)
    return found


async def any_passed_over(pool: Pool) -> bool:
    """True if a message could go out and has not moved for some minutes: its workflow missed the signal, or is gone."""
    found: bool = await pool.fetchval(IS_ANY_PASSED_OVER, None, None, None, PASSED_OVER_AFTER)
    return found
