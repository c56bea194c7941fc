"""Puts together why a phone did not get its messages: first what is about the phone, then each sequence and campaign."""

from datetime import UTC

from messaging.common.database import Pool
from messaging.common.errors import NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.leads.csv_rejects import rejects_of
from messaging.leads.forgotten import find_tombstone
from messaging.reporting.why.campaigns import causes_of_campaign
from messaging.reporting.why.messages import fates_of_phone, silent_gateways
from messaging.reporting.why.phone import causes_of_phone, rejected_sentence
from messaging.reporting.why.sequences import causes_of_sequence
from messaging.sending.restores import hold_of_restore
from messaging.times.local_time import load_zone

__all__ = ["Subject", "WhyReport", "why_not", "why_unreadable", "workflows_of_phone"]


class Subject(Value):
    """One sequence or campaign, and what it is about it for the phone, in sentences."""

    what: str
    """``sequence intro`` or ``campaign sale``."""
    sentences: tuple[str, ...]


class WhyReport(Value):
    """The answer, in the order of cause."""

    phone: str | None
    """E.164; None for what is no phone."""
    zone: str = "UTC"
    """Of the times in the sentences: the lead's time zone, else that of its enrollments, else UTC."""
    sentences: tuple[str, ...]
    """About the phone itself: what keeps it from getting anything."""
    subjects: tuple[Subject, ...]


# With the phone $1: its sequences; campaigns that wrote to it or are not over. $2: only of this name; null: all of these.
SELECT_SUBJECTS = """
select 'sequence' as kind, s.name, s.id
  from sequences s
 where s.name = $2 or ($2 is null and exists (select from sequence_contacts c where c.sequence_id = s.id and c.phone = $1))
    or ($2 is null and exists (select from refused_enrollments r where r.sequence = s.name and r.phone = $1))
    or ($2 is null and exists (select from leads l where l.phone = $1 and s.trigger = any (l.triggers)))
 union all
select 'campaign', k.name, k.id
  from campaigns k
 where k.name = $2
    or ($2 is null and (k.status in ('scheduled', 'running', 'paused')
                        or exists (select from broadcast_messages m where m.campaign_id = k.id and m.recipient_phone = $1)))
 order by 1 desc, 3
"""


# As in 'contact'.
SELECT_ZONE = """
select coalesce((select time_zone from leads where phone = $1),
                (select min(timeline ->> 'zone') from sequence_contacts where phone = $1
                 having count(distinct timeline ->> 'zone') = 1),
                'UTC')
"""


async def why_not(pool: Pool, phone: str, written: str, name: str | None = None) -> WhyReport:
    """Why this phone, in E.164, did not get its messages; what it did get is said, too.

    ``written``: the phone as it was asked for. ``name``: only of the sequence or campaign of this name; None: of its
    sequences, of the campaigns that wrote to it, and of those that are not over. Raises NotFound for a name that is
    neither.
    """
    if (buried := await find_tombstone(pool, phone)) is not None:
        sentence = f"{buried.words[0].upper()}{buried.words[1:]}: nothing is sent to them, and nothing of them is stored."
        return WhyReport(phone=phone, sentences=(sentence,), subjects=())
    subjects = await pool.fetch(SELECT_SUBJECTS, phone, name)
    if name is not None and not subjects:
        known = [
            row["name"]
            for row in await pool.fetch(
                "select name from sequences union select name from campaigns order by 1"
            )
        ]
        hint = did_you_mean(name, known) or "'sequence list' and 'campaign list' list them"
        raise NotFound(f"there is no sequence or campaign {name!r}: {hint}")
    zone = load_zone(await pool.fetchval(SELECT_ZONE, phone))
    sentences, row = await causes_of_phone(pool, phone, await rejects_of(pool, phone, written), zone)
    if (held := await hold_of_restore(pool)) is not None:
        sentences = [f"{held[0].upper()}{held[1:]}.", *sentences]
    opted_out = {one["category"] for one in row["opt_outs"]}
    fates = await fates_of_phone(pool, phone)
    told = []
    for one in subjects:
        causes = causes_of_sequence if one["kind"] == "sequence" else causes_of_campaign
        said = await causes(pool, one["name"], phone, opted_out, fates, zone)
        told.append(Subject(what=f"{one['kind']} {one['name']}", sentences=tuple(said)))
    sentences += silent_gateways(fates, name)
    if not told and row["lead_id"] is not None:
        sentences.append(
            "It is in no sequence and has no trigger of one, and no campaign has written to it or is under way."
        )
    return WhyReport(phone=phone, zone=str(zone), sentences=tuple(sentences), subjects=tuple(told))


async def workflows_of_phone(pool: Pool, phone: str) -> set[str]:
    """The workflow IDs of the phone's enrollments."""
    rows = await pool.fetch("select workflow_id from sequence_contacts where phone = $1", phone)
    return {row["workflow_id"] for row in rows}


async def why_unreadable(pool: Pool, written: str, problem: str) -> WhyReport | None:
    """The same for what is no phone: the rows of imported files that were rejected with it; None if there are none."""
    rejected = await rejects_of(pool, None, written)
    if not rejected:
        return None
    said = (
        f"{written!r} is no phone that can be written to: {problem}.",
        *(rejected_sentence(one, UTC) for one in rejected),
    )
    return WhyReport(phone=None, sentences=said, subjects=())
