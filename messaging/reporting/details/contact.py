"""The details of one contact of a sequence, and of one message."""

from zoneinfo import ZoneInfo

from messaging.common.database import Pool, Record
from messaging.common.markdown import escape_markdown, markdown_list
from messaging.common.storable import storable
from messaging.leads.phone_changes import present_phone
from messaging.reporting.why.messages import Fate, fates_of_phone, silent_gateways
from messaging.reporting.why.sequences import causes_of_sequence
from messaging.times.local_time import format_wall, load_zone

__all__ = ["contact_details", "message_details"]

FIRST_WORDS = 40
"""Characters of an answer that a page shows."""

SHOWN = 40
"""Messages that a page shows, the latest."""

# $1: the sequence, $2: the phone.
SELECT_CONTACT = """
select c.id, c.phone, l.name, c.device_id, c.timeline ->> 'zone' as zone, a.said, a.sent_at as said_at,
       case when c.status = 'active' and c.paused_at is not null then 'paused'
            when c.status = 'active' then 'under way' else replace(c.status, '_', ' ') end as state
  from sequence_contacts c
  join sequences s on s.id = c.sequence_id
  join leads l on l.id = c.lead_id
  left join lateral (select coalesce(i.text, i.payload, '(' || i.kind || ')') as said, i.sent_at
                       from inbound_messages i
                      where i.phone = c.phone and i.sent_at >= date_trunc('second', c.enrolled_at) and is_answer(i)
                      order by i.sent_at desc, i.id desc
                      limit 1) a on true
 where s.name = $1 and c.phone = $2
"""

# $1: the campaign, $2: the phone that the workflow's ID has; or $3: the message.
SELECT_MESSAGE = """
select m.id, m.recipient_phone as phone, coalesce(l.name, '') as name, m.device_id,
       coalesce(l.time_zone, d.time_zone) as zone, coalesce(s.name || ' / ' || t.key, 'campaign ' || k.name, m.purpose) as what
  from broadcast_messages m
  join devices d on d.id = m.device_id
  left join leads l on l.id = m.lead_id
  left join campaigns k on k.id = m.campaign_id
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
 where case when $3::uuid is not null then m.id = $3 else k.name = $1 and m.recipient_phone = present_phone($2) end
 order by m.created_at desc
 limit 1
"""


async def contact_details(pool: Pool, sequence: str, phone: str) -> str | None:
    """Who it is, what was sent when, what comes next and why it waits; None if there is no such enrollment.

    Times are those of the person's zone.
    """
    phone = await present_phone(pool, phone)
    row = await pool.fetchrow(SELECT_CONTACT, sequence, phone)
    if row is None:
        return None
    opted_out = {
        one["category"]
        for one in await pool.fetch("select category from suppressions where phone = $1", phone)
    }
    fates = [one for one in await fates_of_phone(pool, phone) if one.enrollment == row["id"]]
    sentences = await causes_of_sequence(
        pool, sequence, phone, opted_out, [one for one in fates if one.waits], zone := load_zone(row["zone"])
    )
    settled = [one for one in fates if not one.waits]
    return "\n\n".join(
        [
            _who(row["name"], row["phone"], f"sequence **{sequence}**", row["device_id"]),
            markdown_list(f"**{row['state']}**", *map(escape_markdown, sentences), _answer(row, zone)),
            *_list(settled, zone),
            f"Times of {zone}.",
        ]
    )


async def message_details(
    pool: Pool, *, campaign: str = "", phone: str = "", message: str | None = None
) -> str | None:
    """Whose message it is and what became of it; None if there is no such message."""
    row = await pool.fetchrow(SELECT_MESSAGE, campaign, phone, message)
    if row is None:
        return None
    zone = load_zone(row["zone"])
    fates = [one for one in await fates_of_phone(pool, row["phone"]) if one.message.id == row["id"]]
    return "\n\n".join(
        [
            _who(row["name"], row["phone"], escape_markdown(row["what"]), row["device_id"]),
            markdown_list(
                *map(escape_markdown, [*(one.sentence(zone) for one in fates), *silent_gateways(fates)])
            ),
            f"Times of {zone}.",
        ]
    )


def _answer(row: Record, zone: ZoneInfo) -> str:
    """What the person answered last, since the enrollment."""
    if row["said"] is None:
        return ""
    words = storable(" ".join(row["said"].split()), FIRST_WORDS)
    return f'Last answer: "{escape_markdown(words)}", {format_wall(row["said_at"], zone)}'


def _who(name: str, phone: str, what: str, device: str) -> str:
    return f"**{escape_markdown(name) or 'No name'}** · {phone} · {what} · device {device}"


def _list(settled: list[Fate], zone: ZoneInfo) -> list[str]:
    if not settled:
        return []
    left = len(settled) - SHOWN
    head = f"**Messages** (the latest {SHOWN} of {len(settled)})" if left > 0 else "**Messages**"
    return [head, markdown_list(*(_line(one, zone) for one in settled[-SHOWN:]))]


def _line(fate: Fate, zone: ZoneInfo) -> str:
    one = fate.message
    name = f"**{escape_markdown(one.what.rpartition(' / ')[2])}**"
    if one.sent_at is None:
        return f"{name}: {one.status}" + (f" ({escape_markdown(one.reason)})" if one.reason else "")
    said, day = [], ""
    for word, moment in (("sent", one.sent_at), ("delivered", fate.delivered_at), ("read", fate.read_at)):
        if moment is not None:
            wall = format_wall(moment, zone)
            said.append(f"{word} {wall.removeprefix(day)}")
            day = f"{wall[:10]} "
    return f"{name}: {', '.join(said)}"
