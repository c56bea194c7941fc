"""Reads who did what: acts, each in one line however many contacts it concerned, and single events."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.events.words import KINDS, Group, what_was_done, whose

__all__ = ["ActPage", "ActReport", "Event", "EventFilter", "events_of_act", "events_of_phones", "list_acts"]

EXAMPLES = 3

AT_A_TIME = 200
"""Acts that are read at once."""

MOST = 5_000
"""Acts that are read for a page, as many of them may be shown as one."""

FOLDED = ("contact.enrolled", "contact.completed", "contact.skipped")
"""What is done to one contact after the other, in a transaction for each."""

WITHIN = timedelta(hours=1)
"""Between two acts that are shown as one, at most."""

COLUMNS = "id, act, at, actor, via, kind, phone, sequence, campaign, device, message_id, reason, data"

# {condition} is on the event e. Acts after $1 were shown before; null: none were. $2: how many.
SELECT_ACTS = """
select e.act
  from events e
 where ($1::bigint is null or e.act < $1) and {condition}
 group by e.act
 order by e.act desc
 limit $2
"""

# For each act, what was done of each kind to contacts, and to each other thing; of what differs, null.
SELECT_GROUPS = """
select e.act, e.kind, min(e.id) as first, min(e.at) as at, count(*) as events,
       min(e.actor) as actor, min(e.via) as via,
       case when min(e.phone) = max(e.phone) then min(e.phone) end as phone,
       case when min(e.sequence) = max(e.sequence) then min(e.sequence) end as sequence,
       case when min(e.campaign) = max(e.campaign) then min(e.campaign) end as campaign,
       case when min(e.device) = max(e.device) then min(e.device) end as device,
       case when min(e.reason) = max(e.reason) and count(e.reason) = count(*) then min(e.reason) end as reason,
       (array_agg(e.phone order by e.id) filter (where e.phone is not null))[1:{examples}] as examples
  from events e
 where e.act = any ($1) and {condition}
 group by e.act, e.kind, case when e.phone is null then array[e.sequence, e.campaign, e.device] end
 order by e.act desc, min(e.id)
"""

SELECT_DATA = "select id, data from events where id = any ($1)"

SELECT_OF_ACT = f"select {COLUMNS} from events where act = $1 order by id limit $2"  # noqa: S608 - of this module

SELECT_OF_PHONES = f"select {COLUMNS} from events where phone = any ($1) order by id desc limit $2"  # noqa: S608

SELECT_KINDS = "select distinct kind from events"


class Event(Value):
    """One thing that was done: a row of the table."""

    id: int
    act: int
    at: datetime
    actor: str
    via: str
    kind: str
    phone: str | None
    sequence: str | None
    campaign: str | None
    device: str | None
    message_id: UUID | None
    reason: str | None
    data: dict[str, Any]

    @property
    def what(self) -> str:
        """What was done, in words."""
        return what_was_done([_group_of(self)])

    @property
    def who(self) -> str:
        """Who did it, in words."""
        return whose(self.actor, self.via)


class ActReport(Value):
    """What was done together. Where its events differ, a field is None."""

    act: int
    acts: int = 1
    """More than one, if the same was done to one contact after another; ``act`` and ``at`` are those of the last."""
    at: datetime
    actor: str
    via: str
    what: str
    """In words."""
    kinds: dict[str, int]
    """How many events of each kind."""
    phone: str | None
    sequence: str | None
    campaign: str | None
    device: str | None
    reason: str | None
    examples: tuple[str, ...]
    """Some of the phones."""
    data: dict[str, Any]
    """Of the first event."""

    @property
    def who(self) -> str:
        """Who did it, in words."""
        return whose(self.actor, self.via)


class EventFilter(Value):
    """Which events. What is not given limits nothing."""

    actor: str | None = None
    """Whatever the case; the first word of a name is enough."""
    via: str | None = None
    kind: str | None = None
    """``contact.paused``; or a part of it, ``contact`` or ``paused``."""
    phones: tuple[str, ...] = ()
    """Of these, all of which are of one person."""
    sequence: str | None = None
    campaign: str | None = None
    device: str | None = None
    since: datetime | None = None
    everything: bool = False
    """Also what goes as planned, of which there is much."""

    @property
    def shows_routine(self) -> bool:
        """True if what goes as planned is not left out."""
        return self.everything or bool(self.phones) or self.kind is not None or self.via is not None


class ActPage(Value):
    """A page of acts, the newest first."""

    acts: tuple[ActReport, ...]
    before: int | None
    """The act to ask for the next page with; None: there are no older ones."""
    left_out: bool
    """Whether what goes as planned was left out."""


async def list_acts(
    pool: Pool, wanted: EventFilter | None = None, *, limit: int = 50, before: int | None = None
) -> ActPage:
    """The newest acts. ``before``: the last act of the page before. Raises InvalidInput for a kind that does not exist."""
    wanted, folds, more = wanted or EventFilter(), list[list[_Done]](), False
    async with pool.acquire() as connection:
        kinds = None if wanted.kind is None else await _kinds(connection, wanted.kind)
        for _ in range(MOST // AT_A_TIME):
            done = await _acts(connection, wanted, kinds, before, AT_A_TIME)
            for one in done:
                if folds and folds[-1][-1].goes_with(one):
                    folds[-1].append(one)
                else:
                    folds.append([one])
            more = len(done) == AT_A_TIME
            if len(folds) > limit or not more:
                break
            before = done[-1].act
    shown = folds[:limit]
    return ActPage(
        acts=tuple(map(_report, shown)),
        before=shown[-1][-1].act if more or len(folds) > limit else None,
        left_out=not wanted.shows_routine,
    )


async def events_of_act(pool: Pool, act: int, *, limit: int = 1000) -> list[Event]:
    """Each event of one act, in order; the first ``limit``."""
    return [Event.model_validate(dict(row)) for row in await pool.fetch(SELECT_OF_ACT, act, limit)]


async def events_of_phones(pool: Pool, phones: Collection[str], *, limit: int = 1000) -> list[Event]:
    """What was done about a person with these phones, the latest ``limit``, the oldest first."""
    rows = await pool.fetch(SELECT_OF_PHONES, list(phones), limit)
    return [Event.model_validate(dict(row)) for row in reversed(rows)]


class _Done(NamedTuple):
    """One act: what was done of each kind."""

    act: int
    rows: list[Record]
    groups: list[Group]

    def goes_with(self, older: "_Done") -> bool:
        """True if the same was done to another contact just before."""
        mine, other = self.rows[0], older.rows[0]
        same = ("actor", "via", "kind", "sequence", "reason")
        return (
            len(self.rows) == len(older.rows) == 1
            and mine["kind"] in FOLDED
            and all(mine[name] == other[name] for name in same)
            and self.groups[0].data == older.groups[0].data
            and mine["at"] - other["at"] < WITHIN
        )


async def _acts(
    connection: Connection, wanted: EventFilter, kinds: list[str] | None, before: int | None, limit: int
) -> list[_Done]:
    arguments: list[Any] = []
    condition = _condition(wanted, kinds, arguments, first=3)
    acts = await connection.fetch(SELECT_ACTS.format(condition=condition), before, limit, *arguments)
    arguments = []
    condition = _condition(wanted, kinds, arguments, first=2, of_acts=True)
    select = SELECT_GROUPS.format(condition=condition, examples=EXAMPLES)
    rows = await connection.fetch(select, [row["act"] for row in acts], *arguments)
    firsts = await connection.fetch(SELECT_DATA, [row["first"] for row in rows])
    data = {row["id"]: row["data"] for row in firsts}
    done: list[_Done] = []
    for row in rows:
        if not done or done[-1].act != row["act"]:
            done.append(_Done(row["act"], [], []))
        done[-1].rows.append(row)
        done[-1].groups.append(_group(row, data[row["first"]]))
    return done


def _condition(
    wanted: EventFilter, kinds: list[str] | None, arguments: list[Any], *, first: int, of_acts: bool = False
) -> str:
    def given(value: Any) -> str:
        arguments.append(value)
        return f"${first + len(arguments) - 1}"

    parts = []
    if not wanted.shows_routine and not of_acts:
        parts.append("not is_routine(e.kind, e.via)")
    if wanted.actor is not None:
        name = given(wanted.actor)
        parts.append(f"(lower(e.actor) = lower({name}) or starts_with(lower(e.actor), lower({name}) || ' '))")
    if wanted.via is not None:
        parts.append(f"e.via = {given(wanted.via)}")
    if kinds is not None:
        parts.append(f"e.kind = any ({given(kinds)})")
    if wanted.phones:
        parts.append(f"e.phone = any ({given(list(wanted.phones))})")
    names = ("sequence", "campaign", "device")
    parts += [f"e.{name} = {given(value)}" for name in names if (value := getattr(wanted, name)) is not None]
    if wanted.since is not None:
        parts.append(f"e.at >= {given(wanted.since)}")
    return " and ".join(parts) or "true"


async def _kinds(connection: Connection, written: str) -> list[str]:
    """The kinds that are meant. Raises InvalidInput."""
    known = sorted({*KINDS, *(row["kind"] for row in await connection.fetch(SELECT_KINDS))})
    meant = [kind for kind in known if written.lower() in (kind, *kind.split("."))]
    if not meant:
        names = [*known, *sorted({part for kind in known for part in kind.split(".")})]
        raise InvalidInput(f"there is no kind of event {written!r}: {did_you_mean(written, names)}")
    return meant


def _group(row: Record, data: dict[str, Any]) -> Group:
    names = ("kind", "events", "phone", "sequence", "campaign", "device", "reason")
    return Group(**{name: row[name] for name in names}, data=data)


def _report(done: Sequence[_Done]) -> ActReport:
    """Acts that are shown as one, the last of them first."""
    first, groups, kinds = done[0].rows[0], done[0].groups, Counter[str]()
    for row in (row for one in done for row in one.rows):
        kinds[row["kind"]] += row["events"]
    phones = [phone for one in done for phone in one.rows[0]["examples"] or ()]
    if len(done) > 1:
        groups = [groups[0]._replace(events=kinds.total(), phone=None)]
    alone = len({(row["sequence"], row["campaign"], row["device"]) for row in done[0].rows}) == 1
    return ActReport(
        acts=len(done),
        act=first["act"],
        at=first["at"],
        actor=first["actor"],
        via=first["via"],
        reason=first["reason"],
        sequence=first["sequence"] if alone else None,
        campaign=first["campaign"] if alone else None,
        device=first["device"] if alone else None,
        phone=groups[0].phone,
        what=what_was_done(groups),
        kinds=dict(kinds),
        examples=tuple(phones[:EXAMPLES]),
        data=groups[0].data,
    )


def _group_of(event: Event) -> Group:
    return Group(events=1, **event.model_dump(include=set(Group.__annotations__) - {"events"}))
