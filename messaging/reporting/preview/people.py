"""Whom a sequence or a campaign concerns now, and which messages they would get when."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from messaging.campaigns.audience import values_for_fates
from messaging.campaigns.store import require_campaign
from messaging.common.database import Connection, Record
from messaging.reporting.audience import REASONS, SELECT_EVERYBODY
from messaging.reporting.preview.rendering import Wanted
from messaging.sending.message_status import SETTLED
from messaging.sequences.joining import WITHOUT_CONSENT
from messaging.sequences.next_step import timeline_of
from messaging.sequences.store import SequenceRow, load_plan
from messaging.times.calendar import Plan, advance, begin, describe, next_due
from messaging.times.local_time import format_moment, load_zone
from messaging.times.sending_hours import SendingHours

__all__ = ["Person", "campaign_people", "sequence_people"]

# $9: these phones only, whatever their standing; null: all that get it. $10: in the order of a hash, so that a sample is
# spread over all, and the same each time.
CAMPAIGN_PEOPLE = f"""
select e.*
  from ({SELECT_EVERYBODY}) e
 where case when $9::text[] is null then e.gets else e.phone = any ($9) end
 order by hashtextextended(e.phone, 0)
"""  # noqa: S608 - a constant of another module

# Those that are under way in the sequence $1, and those that its trigger would enroll. $2: these phones only, whatever their
# standing.
SEQUENCE_PEOPLE = """
select l.id as lead_id, l.phone, l.name, coalesce(l.time_zone, s.time_zone) as zone, c.id as contact_id, c.status,
       c.timeline, c.paused_at, c.paused_reason, first_reply(c) as replied_at, s.trigger = any (l.triggers) as triggered,
       d.id as device, d.opens_at, d.closes_at, d.time_zone as device_zone,
       exists (select from suppressions o where o.phone = l.phone and o.category in ('all', s.category)) as opted_out,
       s.require_consent and l.consent_at is null as without_consent
  from sequences s
  join leads l on true
  left join sequence_contacts c on c.sequence_id = s.id and c.phone = l.phone
  left join devices d on d.id = device_in_use(coalesce(c.device_id, l.device_id, s.device_id, only_device()))
 where s.id = $1
   and case when $2::text[] is null
            then c.status = 'active' or (c.id is null and s.trigger = any (l.triggers)) else l.phone = any ($2) end
 order by hashtextextended(l.phone, 0)
"""


class Person(NamedTuple):
    """One person, and the messages that they would get, in order."""

    phone: str
    name: str
    zone: str
    standing: str
    wanted: tuple[Wanted, ...]


async def campaign_people(
    connection: Connection, campaign: str, phones: Sequence[str] | None
) -> tuple[list[Person], datetime]:
    """The people of a campaign, or those with these phones; and the moment. Raises NotFound."""
    row = await require_campaign(connection, campaign)
    values = await values_for_fates(connection, row)
    found = await connection.fetch(CAMPAIGN_PEOPLE, *values, phones)
    return [_of_campaign(row, one) for one in found], row["now"]


def _of_campaign(row: Record, one: Record) -> Person:
    now: datetime = row["now"]
    started = row["frozen_at"] is not None
    standing, not_sent = ("in the audience" if started else "gets it"), None
    if not one["gets"]:
        names: dict[str, Any] = {**row, "devices": ", ".join(row["device_ids"] or ())}
        not_sent = f"the campaign leaves out leads that {REASONS[one['why']].format_map(names)}"
        standing = "does not get it"
    elif one["status"] in SETTLED:
        standing = f"its message is {one['status']}"
    due = one["due_at"]
    return Person(
        phone=one["phone"],
        name=one["name"],
        zone=one["zone"],
        standing=standing,
        wanted=(
            Wanted(
                lead_id=one["lead_id"],
                campaign_id=row["id"],
                device=one["device"],
                due_at=due,
                when=format_moment(due, load_zone(one["zone"])) if due else "at the start",
                at=max(due, now) if due else now,
                not_sent=not_sent,
            ),
        ),
    )


async def sequence_people(
    connection: Connection, sequence: SequenceRow, phones: Sequence[str] | None
) -> tuple[list[Person], datetime]:
    """The people of a sequence, or those with these phones; and the moment."""
    plan = await load_plan(connection, sequence.id)
    now: datetime = await connection.fetchval("select clock_timestamp()")
    found = await connection.fetch(SEQUENCE_PEOPLE, sequence.id, phones)
    return [_of_sequence(plan, one, now) for one in found], now


def _of_sequence(plan: Plan, one: Record, now: datetime) -> Person:
    active = one["status"] == "active"
    not_sent = None
    if one["opted_out"]:
        not_sent = "the recipient has opted out"
    elif one["without_consent"]:
        not_sent = WITHOUT_CONSENT
    elif one["contact_id"] is not None and not active:
        not_sent = (
            f"the enrollment has ended ({one['status'].replace('_', ' ')}), and nobody goes through it twice"
        )
    if active:
        standing = "under way" + (" (paused)" if one["paused_at"] else "")
    elif one["contact_id"] is not None:
        standing = f"was in it: {one['status'].replace('_', ' ')}"
    else:
        standing = "would be enrolled by its trigger" if one["triggered"] else "as if enrolled now"
    return Person(
        phone=one["phone"],
        name=one["name"],
        zone=one["zone"],
        standing=standing,
        wanted=tuple(_steps(plan, one, now, not_sent=not_sent)),
    )


def _steps(plan: Plan, one: Record, now: datetime, *, not_sent: str | None) -> Iterator[Wanted]:
    """The steps that are still to come, each planned as if the one before went out when it is due."""
    active = one["status"] == "active"
    timeline = (
        timeline_of(one["timeline"], one["zone"], one["replied_at"])
        if active
        else begin(plan, one["zone"], now)
    )
    hours = None
    if one["device"] is not None:
        hours = SendingHours(
            opens_at=one["opens_at"], closes_at=one["closes_at"], time_zone=one["device_zone"]
        )
    moment, first = now, True
    while (scheduled := next_due(plan, timeline, moment)) is not None:
        moment = max(scheduled.due_at, moment)
        moment = hours.next_opening(moment) if hours else moment
        yield Wanted(
            lead_id=one["lead_id"],
            step_id=scheduled.step.id,
            step=scheduled.step.key,
            contact_id=one["contact_id"],
            device=one["device"],
            due_at=scheduled.due_at,
            when=describe(timeline, scheduled),
            at=moment,
            comes_next=first and active,
            not_sent=not_sent,
        )
        timeline = advance(plan, timeline, scheduled.step.key, scheduled.due_at, moment, hours)
        first = False
