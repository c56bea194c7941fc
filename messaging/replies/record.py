"""Records inbound messages, each once, and acts on them in the same transaction.

The result depends only on the messages, not on when or how often a gateway reports them: of all keywords from one
phone, the one sent last counts.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import asyncpg

from messaging.common.database import Connection, Verdict, verdict_of
from messaging.common.keywords import Keywords, Meaning
from messaging.common.say_once import SayOnce
from messaging.common.transactions import all_or_nothing
from messaging.events.acting import Actor
from messaging.events.record import act_as
from messaging.gateways.webhook_bodies import phone_of
from messaging.gateways.webhook_events import InboundMessage
from messaging.leads.forgotten import is_forgotten, note_wrote
from messaging.leads.opt_outs import OptOutSource, record_opt_out
from messaging.leads.phone_changes import present_phone
from messaging.replies.asking import Asks, asked_for, enroll_by, make_up
from messaging.replies.confirmations import confirm_opt_out, note_confirmation
from messaging.replies.consequences import Consequences, Stopped, together
from messaging.replies.effects import NO_ANSWERS, act_on_reply, affected_before, said_in
from messaging.replies.numbers import change_number, has_written_since
from messaging.replies.senders import learn, names_of, phone_of_sender, phones_concerned

__all__ = ["LOCK_SENDER", "InboundEffect", "RecordedInbound", "act_on_earlier", "follow", "record_inbound"]

logger = logging.getLogger(__name__)
logger.addFilter(SayOnce())

SPOKEN = ("text", "button", "list", "image", "video", "document")
"""Kinds of messages that may contain a keyword: in a text, a caption, a label or a payload."""
UNREAD = ("reaction", "preference", "user_id_changed")
"""Kinds that need no review."""

REASONS: dict[OptOutSource, str] = {
    "reply": "the recipient answered {said!r}",
    "preference": "the recipient stopped marketing messages in WhatsApp",
}


# The device that was written to, by the gateway's own name of it; else that whose address the gateway came to.
# $1: the gateway, $2: the names, $3: that device.
SELECT_DEVICE = """
select id, stop_keywords, start_keywords, opt_out_confirmation
  from devices
 where id = $3 or (gateway = $1 and (gateway_options ->> 'phone_number_id' = any ($2::text[])
                                     or gateway_options ->> 'device' = any ($2)
                                     or (gateway = 'simulated' and id = any ($2))))
 order by coalesce(gateway_options ->> 'phone_number_id', gateway_options ->> 'device', id) = any ($2) desc,
          id = $3 desc, replaced_by is null desc, id
 limit 1
"""

# A message from a phone that is no lead needs a review, whatever it says, unless it is a reaction.
INSERT_INBOUND = """
insert into inbound_messages (device_id, gateway_message_id, kind, phone, identities, name, from_me, text, payload,
                              media_id, answers, referral, meaning, sent_at, asks, to_review)
select $1, $2, $3::text, $4::text, $5::text[], $6, $7::boolean, $8, $9, $10, $11, $12::jsonb, $13,
       least($14::timestamptz, clock_timestamp()), $16::text[],
       case when $15 = 'never' or $3 = 'reaction' then null
            when not exists (select from leads l where l.phone = $4) then 'unmatched' else $15::text end
on conflict (device_id, gateway_message_id) do nothing
returning id
"""

# The phones whose opt-outs rest on this message, as far as they still hold.
SELECT_STANDING = """
select s.phone
  from inbound_messages m
  join suppressions s on s.inbound_message_id = m.id
 where m.device_id = $1 and m.gateway_message_id = $2
"""

# $2: why an operator should look at the message; one without a lead stays in the inbox.
SET_REVIEW = """
update inbound_messages m
   set to_review = $2
 where id = $1 and exists (select from leads where phone = m.phone)
"""

# Enrollments that go on since the change.
SELECT_TO_TELL = """
select workflow_id
  from sequence_contacts
 where phone = any ($1) and status = 'active' and plan_changed_at is not null
 order by id
"""

LOCK_SENDER = "select pg_advisory_xact_lock(inbound_lock(name)) from unnest($1::text[]) name"

# Gateways give times in whole seconds. If a stop and a start have the same second, the stop counts. $1: the message, $2:
# the phone that it is to count for, $3: all phones that it concerns. Another message counts for that phone if it came
# from it, by whatever name, or answers a message to it.
SELECT_KEYWORD = """
select m.meaning, m.text, m.payload, m.sent_at, o.source, exists (
           select from inbound_messages later
            where later.phone = any ($3::text[])
              and (later.phone = $2 or 'wa_id:' || ltrim($2, '+') = any (later.identities)
                   or exists (select from broadcast_messages b
                               where b.gateway_message_id = later.answers and b.recipient_phone = $2))
              and (later.kind = 'preference') = (m.kind = 'preference')
              and (m.meaning = 'stop' and later.meaning = 'start' and later.sent_at > m.sent_at
                   or m.meaning = 'start' and later.meaning = 'stop' and later.sent_at >= m.sent_at)) as outdated
  from inbound_messages m
 cross join lateral (select case when m.kind = 'preference' then 'preference' else 'reply' end as source) o
 where m.id = $1 and m.meaning in ('stop', 'start')
"""


# How often the sender has chosen the opposite so far, also without saying when.
COUNT_OPPOSITE = """
select count(*)
  from inbound_messages
 where (phone = $1 or (phone is null and identities && $2)) and kind = 'preference' and payload <> $3
   and gateway_message_id like 'preference % at any time%'
"""


InboundEffect = Literal[
    "opted_out", "opted_in", "stopped", "paused", "went_on", "enrolled", "maybe_stop", "none"
]
"""What an inbound message has done; the first of these, if it is several. ``maybe_stop``: it may be meant as a stop, and an
operator is to look.
"""


class RecordedInbound(NamedTuple):
    """The result. ``new``: messages that were not known yet; ``then``: what follows from all of them, also from messages
    that were known; ``effects``: for each new message, the one thing that it has done.
    """

    new: int
    then: Consequences = Consequences()
    effects: tuple[InboundEffect, ...] = ()


async def record_inbound(
    connection: Connection,
    gateway: str,
    device: str,
    messages: Sequence[InboundMessage],
    usual: Keywords,
    *,
    confirmation: str = "",
) -> RecordedInbound:
    """Records inbound messages and acts on them, each message in a transaction of its own.

    ``device``: whose address the gateway came to; a message belongs to the device that it was written to, where the
    gateway names one of ours. ``usual``: the keywords of devices that have none of their own. ``confirmation``: the same
    for the text that confirms an opt-out by keyword; empty: none. A message that the database refuses is skipped, with a
    line in the log. Raises the database's other errors; what was written until then stays. Do not call this in a
    transaction.
    """
    done: list[RecordedInbound] = []
    for message in messages:
        try:
            record = partial(_record, connection, gateway, device, message, usual, confirmation)
            done.append(await all_or_nothing(connection, record))
        except asyncpg.PostgresError as error:
            if verdict_of(error) is not Verdict.WRONG:
                raise
            logger.warning(
                "an inbound message of %s is passed over, the database refuses it: %s", gateway, error
            )
    effects = tuple(effect for one in done for effect in one.effects)
    return RecordedInbound(sum(one.new for one in done), together(one.then for one in done), effects)


async def _record(
    connection: Connection,
    gateway: str,
    device: str,
    message: InboundMessage,
    usual: Keywords,
    confirmation: str,
) -> RecordedInbound:
    # Messages of one sender are written one after the other, whatever name the sender has: each sees the ones before.
    await connection.execute(LOCK_SENDER, names_of(message))
    names = [*names_of(message), *filter(None, (message.phone, _new_number(message)))]
    if await is_forgotten(connection, *names):
        await note_wrote(connection, names)
        return RecordedInbound(0)
    phone, concerned = await _sender(connection, gateway, message)
    row = await connection.fetchrow(SELECT_DEVICE, gateway, list(message.receivers), device)
    assert row is not None, "it has just been found"
    keywords = usual.instead(row["stop_keywords"], row["start_keywords"])
    meaning = _meaning(message, keywords)
    asks = Asks()
    if meaning not in ("stop", "start") and message.kind not in NO_ANSWERS:
        asks = await asked_for(connection, message, _said(message) if message.kind in SPOKEN else ())
        meaning = "enroll" if asks.by_keyword else meaning
    gateway_id = await _gateway_id(connection, message, phone)
    if phone is not None:
        await act_as(connection, Actor(f"{row['id']}'s phone" if message.from_me else phone, "reply"))
    identifier = await connection.fetchval(
        INSERT_INBOUND,
        *(row["id"], gateway_id, message.kind, phone, list(message.identities), message.name),
        *(
            message.from_me,
            message.text,
            message.payload,
            message.media_id,
            message.answers,
            message.referral,
        ),
        *(meaning, message.at, _to_review(message, meaning, keywords), asks.sequences),
    )
    if identifier is None:
        # The message is known. The process that wrote it may have died before it signalled the workflows, so do that
        # again.
        known = (row["id"], gateway_id)
        stands = await connection.fetch(SELECT_STANDING, *known)
        standing = Consequences(stopped=tuple(Stopped(one["phone"], []) for one in stands))
        return RecordedInbound(0, together([standing, await affected_before(connection, *known)]))
    if meaning == "stop" and message.kind != "preference":
        own = row["opt_out_confirmation"]
        await note_confirmation(connection, identifier, confirmation if own is None else own)
    if phone is None:
        return RecordedInbound(1, effects=(_effect(meaning, Consequences()),))
    then = [await act_on_earlier(connection, await learn(connection, message, phone), phone)]
    if message.kind == "number_changed":
        then.append(await _change_number(connection, message, phone, identifier))
    then.append(await _act(connection, identifier, concerned))
    if not message.from_me:
        then.append(Consequences(wrote=(phone,)))
    all_of_it = together(then)
    return RecordedInbound(1, all_of_it, (_effect(meaning, all_of_it),))


def _new_number(message: InboundMessage) -> str | None:
    return phone_of(message.payload) if message.kind == "number_changed" else None


def _effect(meaning: Meaning, then: Consequences) -> InboundEffect:
    done: dict[InboundEffect, bool] = {
        "opted_out": bool(then.stopped),
        "opted_in": meaning == "start",
        "stopped": "stopped" in then.did,
        "paused": "paused" in then.did,
        "went_on": "went_on" in then.did,
        "enrolled": bool(then.wanted),
        "maybe_stop": meaning == "maybe_stop",
    }
    return next((effect for effect, is_so in done.items() if is_so), "none")


async def _sender(
    connection: Connection, gateway: str, message: InboundMessage
) -> tuple[str | None, list[str]]:
    """The sender's phone and the phones that the message concerns, which are locked from here on."""
    locked: list[str] = []
    while True:
        phone = await phone_of_sender(connection, gateway, message)
        concerned = [] if phone is None else await phones_concerned(connection, gateway, message, phone)
        # The lock may have been waited for: the number may have changed meanwhile, or other names have become known.
        if set(concerned) <= set(locked):
            return phone, concerned
        await connection.execute(LOCK_SENDER, concerned)
        locked += concerned


async def _gateway_id(connection: Connection, message: InboundMessage, phone: str | None) -> str:
    """The ID by which a repeated report is known. A choice without a time is another one after each opposite choice."""
    if not message.timeless:
        return message.gateway_message_id
    names = list(message.identities)
    opposite = await connection.fetchval(COUNT_OPPOSITE, phone, names, message.payload or "")
    return f"{message.gateway_message_id}, {opposite}" if opposite else message.gateway_message_id


async def _change_number(
    connection: Connection, message: InboundMessage, phone: str, identifier: int
) -> Consequences:
    """Moves the sender to the new number that the message tells. It stays in the inbox if a person has to look: the number
    is none, somebody has written from the old one since, two leads have become one, or no lead is concerned.
    """
    new, then = phone_of(message.payload), list[Consequences]()
    old = message.phone or phone
    if new is None or await has_written_since(connection, old, names_of(message), message.at, lead=phone):
        return Consequences()

    async def follow_stop(present: str, evidence: int) -> None:
        then.append(await follow(connection, present, evidence, [present]))

    # The lead may have another phone than the report names, by which WhatsApp knows them; but not because they have left
    # that one already: a late report says nothing about the phone that they have had since.
    another = {phone} - {await present_phone(connection, old)}
    changes = [
        await change_number(connection, one, new, message.at, follow_stop)
        for one in sorted({old, *another} - {new})
    ]
    phones = {phone for change in changes for phone in (change.new, *change.apart)}
    told = await connection.fetch(SELECT_TO_TELL, sorted(phones))
    then.append(Consequences(shown=tuple(row["workflow_id"] for row in told)))
    joined = any(change.joined for change in changes)
    await connection.execute(SET_REVIEW, identifier, "numbers_joined" if joined else None)
    return together(then)


async def act_on_earlier(connection: Connection, messages: Sequence[int], phone: str) -> Consequences:
    """Acts on stored messages that are now known to be from this phone, which has written to us with them."""
    wrote = Consequences(wrote=(phone,) if messages else ())
    if messages:
        await act_as(connection, Actor(phone, "reply"))
    return together([*[await _act(connection, one, [phone]) for one in messages], wrote])


async def _act(connection: Connection, identifier: int, phones: Sequence[str]) -> Consequences:
    """Acts on a stored message for these phones, which it concerns: on its keyword, or else as a reply to sequences, and on
    what its sender asks for.
    """
    done = [await follow(connection, phone, identifier, phones) for phone in phones]
    done.append(await act_on_reply(connection, identifier, phones))
    return together([*done, await enroll_by(connection, identifier)])


async def follow(
    connection: Connection, phone: str, identifier: int, concerned: Sequence[str]
) -> Consequences:
    """Acts on a keyword for this phone, unless a later one says the opposite."""
    row = await connection.fetchrow(SELECT_KEYWORD, identifier, phone, concerned)
    if row is None or row["outdated"]:
        return Consequences()
    source: OptOutSource = row["source"]
    if row["meaning"] == "start":
        await connection.execute("delete from suppressions where phone = $1 and source = $2", phone, source)
        return together(await make_up(connection, phone, row["sent_at"]))
    reason = REASONS[source].format(said=(row["text"] or row["payload"] or "")[:40])
    # A setting in WhatsApp stops marketing only, and says so; a keyword stops everything.
    recorded = await record_opt_out(
        connection,
        phone,
        reason,
        source=source,
        category="marketing" if source == "preference" else "all",
        evidence=identifier,
    )
    await confirm_opt_out(connection, identifier, phone)
    return Consequences(stopped=(Stopped(phone, recorded.workflows),))


def _meaning(message: InboundMessage, keywords: Keywords) -> Meaning:
    if message.from_me:
        return "none"
    if message.kind == "preference":
        return {"stop": "stop", "resume": "start"}.get(message.payload or "", "none")  # type: ignore[return-value]
    if message.kind not in SPOKEN:
        return "none"
    return keywords.meaning(*_said(message))


def _said(message: InboundMessage) -> tuple[str | None, str | None]:
    return said_in(message.kind, message.text, message.payload)


def _to_review(message: InboundMessage, meaning: Meaning, keywords: Keywords) -> str | None:
    """Why an operator should look at a lead's message; None if there is no need. Messages of others always need a
    look.
    """
    if message.from_me:
        return "never"
    if message.kind == "number_changed":
        return "number_changed"
    if meaning == "maybe_stop" or (meaning == "stop" and keywords.is_doubtful(*_said(message))):
        return "maybe_stop"
    if meaning == "enroll":
        return "enrolled"
    return None if meaning in ("stop", "start") or message.kind in UNREAD else "answer"
