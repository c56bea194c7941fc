"""What a reply does to the sequences that wrote to the person, in the transaction that records it.

A reply counts for each sequence that has sent the person a message by the device that was written to, within the
sequence's ``reply_within`` before the reply; and for the sequence of the message that it quotes. There the rules of the
step that it answers decide, then the rules of the sequence; without a rule, the contact is paused, unless a step that is
to come waits for the reply or asks for it. A message that somebody has typed on the device's phone pauses in any case.

The effect is a state of the enrollment, which every claim reads: a pause, the end of the enrollment, or ``go_step_id``,
by which the steps before are not sent any more. It does not depend on the order in which replies come: a stop is final,
the pause is that of the reply sent first, and of several steps to go to the latest counts.
"""

from collections.abc import Sequence
from datetime import datetime

from messaging.common.database import Connection, Record
from messaging.common.storable import storable
from messaging.events.record import note
from messaging.replies.consequences import Affected, Consequences, Effect
from messaging.replies.own_sends import is_own_send
from messaging.sequences.awaited import release_awaiting
from messaging.sequences.contract import EnrollmentEnd, EnrollmentRequest
from messaging.sequences.leaving import end_enrollment
from messaging.sequences.on_reply import Action, action_for, read_rules
from messaging.sequences.wanted import want_enrollment

__all__ = ["CHOSEN", "NO_ANSWERS", "act_on_reply", "affected_before", "said_in"]

CHOSEN = ("button", "list")
"""Kinds whose payload is said too; a document's payload is its file name."""

NO_ANSWERS = ("reaction", "preference", "number_changed", "user_id_changed")
"""Kinds that are no answer to a message."""

FIRST_WORDS = 40
"""Characters of a reply in the reason of what it did."""

# A reply may seem earlier than the message that it answers: gateways give whole seconds, and clocks differ.
SLACK = "1 minute"


SELECT_REPLY = """
select i.id, i.kind, i.from_me, i.text, i.payload, i.answers, i.device_id, i.gateway_message_id, i.meaning, i.sent_at, d.gateway
  from inbound_messages i
  join devices d on d.id = i.device_id
 where i.id = $1
"""

# Messages are locked before enrollments, as everywhere.
LOCK_WAITING_MESSAGES = """
select from broadcast_messages
 where recipient_phone = any ($1) and sequence_contact_id is not null and is_waiting(status)
 order by id
   for no key update
"""

LOCK_CONTACTS = """
select from sequence_contacts
 where phone = any ($1)
 order by id
   for no key update
"""

# The enrollments of the phones $2 that the reply $1 counts for, each with the step that it answers: the one whose message
# it quotes, or else the last one sent before it. A message that may be at the gateway counts like one that was sent, but
# is answered only if no other is. A time in whole seconds may have been up to a second later, but before it came here.
SELECT_ANSWERED = f"""
select c.id, c.phone, c.status, c.workflow_id, c.sequence_id, s.name as sequence, s.on_reply, t.on_reply as step_on_reply,
       expects_reply(c) as expected
  from inbound_messages i
  join sequence_contacts c on c.phone = any ($2) and c.status in ('active', 'completed')
  join sequences s on s.id = c.sequence_id
 cross join lateral (
       select m.sequence_stepid
         from broadcast_messages m
        cross join lateral (select coalesce(i.answers = any (m.gateway_message_id || m.earlier_gateway_ids), false) as quoted,
                                   coalesce(m.sent_at, m.begun_at) as at) w
        where m.sequence_contact_id = c.id
          and (w.quoted or (m.status in ('sent', 'processing', 'unconfirmed')
                            and device_in_use(m.device_id) = device_in_use(i.device_id)
                            and w.at between i.sent_at - s.reply_within and i.sent_at + interval '{SLACK}'))
        order by w.quoted desc, m.status <> 'processing' and w.at <= least(i.sent_at + interval '1 second', i.received_at) desc,
                 case when w.at <= i.sent_at + interval '1 second' then w.at end desc nulls last, w.at
        limit 1) answered
  join sequence_steps t on t.id = answered.sequence_stepid
 where i.id = $1
 order by c.id
"""  # noqa: S608 - of this module

# Of several replies, the one sent first gives the reason; a pause by an operator stays as it is.
PAUSE_ANSWERED = """
update sequence_contacts
   set paused_at = coalesce(paused_at, clock_timestamp()), paused_reason = $2, answered_at = $3,
       plan_changed_at = clock_timestamp()
 where id = $1 and status = 'active'
   and (paused_at is null or answered_at > $3 or (answered_at = $3 and paused_reason > $2))
"""

# Of several steps to go to, the latest counts. Nothing changes for a contact that is there already, or past it.
GO_ON = """
update sequence_contacts c
   set go_step_id = g.id, go_at = $3, go_reason = $4, plan_changed_at = clock_timestamp()
  from sequence_steps g, sequence_steps n
 where c.id = $1 and c.status = 'active' and g.id = $2 and n.id = c.next_step_id and n.position < g.position
   and (c.go_step_id is null or (c.go_step_id = g.id and c.go_at > $3)
        or g.position > (select position from sequence_steps where id = c.go_step_id))
"""

SELECT_STEP = "select id from sequence_steps where sequence_id = $1 and key = $2 and removed_at is null"

NOTE_EFFECTS = "update inbound_messages set effects = effects || $2 where id = $1"

SELECT_AFFECTED = """
select c.id as enrollment, c.workflow_id
  from inbound_messages i
 cross join jsonb_array_elements(i.effects) e
  join sequence_contacts c on c.id = (e ->> 'enrollment')::bigint
 where i.device_id = $1 and i.gateway_message_id = $2
"""


def said_in(kind: str, text: str | None, payload: str | None) -> tuple[str | None, str | None]:
    """What a message says, for comparing with keywords: its text or label, and the payload of a choice."""
    return text, payload if kind in CHOSEN else None


async def act_on_reply(connection: Connection, identifier: int, phones: Sequence[str]) -> Consequences:
    """Acts on the stored message for the sequences that wrote to these phones, in the caller's transaction.

    Call it once for each message and phone: when the message is stored, or when its sender becomes known.
    """
    reply = await connection.fetchrow(SELECT_REPLY, identifier)
    if reply is None or reply["kind"] in NO_ANSWERS or reply["meaning"] == "stop":
        return Consequences()
    if reply["meaning"] == "start":  # no rule is for it, but it is what a step waits for
        return Consequences(affected=await _release(connection, phones))
    if reply["from_me"] and await is_own_send(connection, reply, phones):
        return Consequences()
    await connection.execute(LOCK_WAITING_MESSAGES, phones)
    await connection.execute(LOCK_CONTACTS, phones)
    effects: list[Effect] = []
    affected: list[Affected] = []
    shown: list[str] = []
    wanted: list[EnrollmentRequest] = []
    for contact in await connection.fetch(SELECT_ANSWERED, identifier, phones):
        did, request = await _act(connection, reply, contact)
        if did is not None:
            effects.append(did)
            affected.append(Affected(contact["id"], contact["workflow_id"]))
        elif contact["status"] == "active":
            shown.append(contact["workflow_id"])
        if request is not None:
            wanted.append(request)
    affected += await _release(connection, phones)
    if effects:
        await connection.execute(NOTE_EFFECTS, identifier, [effect.model_dump() for effect in effects])
    return Consequences(
        affected=tuple(affected),
        wanted=tuple(wanted),
        shown=tuple(shown),
        did=tuple(effect.did for effect in effects),
    )


async def _release(connection: Connection, phones: Sequence[str]) -> tuple[Affected, ...]:
    return tuple(Affected(*waiting) for waiting in await release_awaiting(connection, phones))


async def affected_before(connection: Connection, device: str, gateway_message_id: str) -> Consequences:
    """What a message that was stored before has changed."""
    rows = await connection.fetch(SELECT_AFFECTED, device, gateway_message_id)
    return Consequences(affected=tuple(Affected(row["enrollment"], row["workflow_id"]) for row in rows))


async def _act(
    connection: Connection, reply: Record, contact: Record
) -> tuple[Effect | None, EnrollmentRequest | None]:
    """The effect on one enrollment, and the enrollment that follows, if any."""
    enrollment: int = contact["id"]
    active, reason = contact["status"] == "active", _reason(reply)
    done = Effect(enrollment=enrollment, sequence=contact["sequence"], did="paused")
    action = _action(reply, contact)
    if action.name is not None:
        step = await connection.fetchval(SELECT_STEP, contact["sequence_id"], action.name)
        if step is not None:
            went = active and await _go_on(connection, enrollment, step, reply["sent_at"], reason)
            if went:
                of = {"phone": contact["phone"], "sequence": contact["sequence"], "reason": reason}
                await note(connection, "contact.went_on", **of, step=action.name)
            return (done.model_copy(update={"did": "went_on", "to": action.name}) if went else None), None
        return await _change_over(connection, reply, contact, action.name, done)
    if not active or action.verb == "continue":
        return None, None
    if action.verb == "stop":
        await _stop(connection, enrollment, reason)
        return done.model_copy(update={"did": "stopped"}), None
    await connection.execute(PAUSE_ANSWERED, enrollment, reason, reply["sent_at"])
    return done, None


async def _change_over(
    connection: Connection, reply: Record, contact: Record, sequence: str, done: Effect
) -> tuple[Effect | None, EnrollmentRequest | None]:
    """Ends the enrollment, and asks for one in the other sequence; pauses if there is no such sequence any more."""
    active, reason = contact["status"] == "active", _reason(reply)
    other = await connection.fetchval("select id from sequences where name = $1", sequence)
    if other is None:
        if active:
            await connection.execute(PAUSE_ANSWERED, contact["id"], reason, reply["sent_at"])
        return (done if active else None), None
    request = await want_enrollment(connection, other, contact["phone"], reply["id"])
    if active:
        # None: it has been there, has opted out, or lacks the consent for it.
        then = f"goes on in {sequence}" if request else f"does not begin {sequence}"
        await _stop(connection, contact["id"], f"{reason}, {then}")
    if not active and request is None:
        return None, None
    return done.model_copy(update={"did": "enrolled" if request else "stopped", "to": sequence}), request


def _action(reply: Record, contact: Record) -> Action:
    if reply["from_me"]:
        return Action("pause")
    rules = [*read_rules(contact["step_on_reply"]), *read_rules(contact["on_reply"])]
    otherwise = Action("continue" if contact["expected"] else "pause")
    if reply["meaning"] == "enroll":
        # It asks for a sequence, and answers nothing, unless a rule names that very keyword.
        rules, otherwise = [rule for rule in rules if rule.when is not None], Action("continue")
    return action_for(rules, said_in(reply["kind"], reply["text"], reply["payload"])) or otherwise


def _reason(reply: Record) -> str:
    words = " ".join((reply["text"] or reply["payload"] or "").split())
    said = f'"{storable(words, FIRST_WORDS)}"' if words else f"({reply['kind'].replace('_', ' ')})"
    return f"{'taken over on the phone' if reply['from_me'] else 'answered'}: {said}"


async def _stop(connection: Connection, enrollment: int, reason: str) -> None:
    end = EnrollmentEnd(enrollment_id=enrollment, status="stopped", reason=reason)
    await end_enrollment(connection, end, now=None, by_workflow=False)


async def _go_on(connection: Connection, enrollment: int, step: int, at: datetime, reason: str) -> bool:
    changed: str = await connection.execute(GO_ON, enrollment, step, at, reason)
    return changed != "UPDATE 0"
