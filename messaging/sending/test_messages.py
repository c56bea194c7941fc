"""Test messages: one text for real, to one phone, that counts for nothing.

A test is a row of the ledger with the purpose ``test`` and contents of its own: a copy of the text that it tests. So it is
claimed, sent and settled like any other message, at its device's pace and in its daily limit, which the number has at WhatsApp. It
has no step and no campaign: no unique index, no report and no promise of a real message knows it.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from messaging.common.database import Connection, Pool, Record
from messaging.common.errors import Conflict, InvalidInput, NotFound
from messaging.common.suggestions import did_you_mean
from messaging.common.values import Value
from messaging.leads.forgotten import find_tombstone
from messaging.sending.message_status import SETTLED
from messaging.sending.outcomes import MessageRef

__all__ = ["SentTest", "Tested", "find_subject", "insert_test", "look_at_test"]

SELECT_SEQUENCE = """
select s.name, s.category, s.device_id, t.key, t.text, t.image_url, t.template
  from sequences s
  join sequence_steps t on t.sequence_id = s.id and t.removed_at is null
 where s.name = $1
 order by t.position
"""

SELECT_CAMPAIGN = """
select name, category, null as device_id, text, image_url, template
  from campaigns
 where name = $1
"""

SELECT_NAMES = "select name from sequences union all select name from campaigns order by name"

# $2: the phone whose lead has the values, $3: the device that was asked for, $4: the sequence's. The device is that of the
# recipient's lead, else that of the lead with the values, else the sequence's, else the only one.
SELECT_WAY = """
select v.id as lead_id, v.phone as lead, d.id as device_id, d.status, d.status_reason,
       exists (select from suppressions s where s.phone = p.phone and s.category in ('all', $5)) as opted_out, p.phone,
       (select array_agg(id order by id) from devices where replaced_by is null) as devices
  from (select hold_phone($1) as phone) p
  left join leads r on r.phone = p.phone
  left join leads v on v.phone = present_phone(coalesce($2, p.phone))
  left join devices d on d.id = device_in_use(coalesce($3, r.device_id, v.device_id, $4, only_device()))
"""

INSERT_TEST = """
insert into broadcast_messages (id, purpose, contents, lead_id, recipient_phone, device_id, due_at, expires_at)
values ($1, 'test', $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + $6::interval)
    on conflict (id) do nothing
"""

SELECT_TEST = """
select m.id, m.recipient_phone as phone, m.contents ->> 'of' as of, m.device_id as device, m.status, m.content as text, m.sent_at,
       coalesce(case when is_waiting(m.status) then hold_of(m) end, m.reason) as reason, m.slot_at, m.expires_at
  from broadcast_messages m
 where m.id = $1 and m.purpose = 'test'
"""


class Tested(Value):
    """What is tested: a step of a sequence, or a campaign's message."""

    of: str
    """``cold-vitac / story``, ``campaign black-friday``."""
    category: str
    device_id: str | None
    """The sequence's own."""
    text: str
    image_url: str | None
    template: dict[str, Any] | None


class SentTest(Value):
    """A test message, as it stands."""

    message_id: UUID
    phone: str
    of: str
    lead: str | None = None
    """The phone of the lead whose values it has; None: it has none."""
    device: str
    status: str
    reason: str | None
    """Why it failed, or waits."""
    text: str | None
    """The text that went out."""
    sent_at: datetime | None
    goes_out_at: datetime | None
    """The slot for which it waits."""
    expires_at: datetime

    @property
    def settled(self) -> bool:
        """True if nothing more happens to it."""
        return self.status in SETTLED


async def find_subject(connection: Connection, name: str) -> Tested:
    """What ``name`` means: a campaign, a sequence (its first step), or ``SEQUENCE/STEP``. Raises NotFound, InvalidInput."""
    wanted, slash, step = (part.strip() for part in name.partition("/"))
    steps = await connection.fetch(SELECT_SEQUENCE, wanted)
    campaign = None if slash else await connection.fetchrow(SELECT_CAMPAIGN, wanted)
    if steps and campaign is not None:
        raise InvalidInput(
            f"both a sequence and a campaign have the name {wanted!r}: name the step, {wanted}/{steps[0]['key']}"
        )
    if campaign is not None:
        return _subject(campaign, f"campaign {wanted}")
    if not steps:
        names = [row["name"] for row in await connection.fetch(SELECT_NAMES)]
        hint = did_you_mean(wanted, names)
        raise NotFound(f"there is no sequence or campaign {wanted!r}" + (f"; {hint}" if hint else ""))
    found = {row["key"]: row for row in steps}
    key = step or steps[0]["key"]
    if key not in found:
        raise NotFound(f"sequence {wanted!r} has no step {key!r}; {did_you_mean(key, found)}")
    return _subject(found[key], f"{wanted} / {key}")


def _subject(row: Record, of: str) -> Tested:
    return Tested(
        of=of, **{name: row[name] for name in ("category", "device_id", "text", "image_url", "template")}
    )


async def insert_test(
    connection: Connection,
    subject: Tested,
    phone: str,
    *,
    lead: str | None,
    device: str | None,
    within: timedelta,
    message_id: UUID | None = None,
) -> tuple[MessageRef, str | None]:
    """Stores a test to ``phone``, with the values of the lead with the phone ``lead``, or the recipient's own.

    It is not sent later than ``within`` from now. Answers it, and the lead's phone, None if there is no lead. The same
    ``message_id`` stores it once. Raises NotFound, and Conflict if the phone has opted out or the device cannot send.
    """
    async with connection.transaction():
        if (known := await find_tombstone(connection, phone)) is not None:
            raise Conflict(f"no test is sent: {known.words}")
        way = await connection.fetchrow(SELECT_WAY, phone, lead, device, subject.device_id, subject.category)
        assert way is not None
        if way["opted_out"]:
            raise Conflict(f"{way['phone']} has opted out: no test is sent to it")
        if lead is not None and way["lead_id"] is None:
            raise NotFound(f"there is no lead with the phone {lead}")
        if way["device_id"] is None:
            raise _no_device(device, way["devices"] or [])
        if way["status"] != "active":
            why = f": {way['status_reason']}" if way["status_reason"] else ""
            raise Conflict(
                f"device {way['device_id']} is paused{why}: resume it, or name another one with --device"
            )
        identifier = message_id or uuid4()
        await connection.execute(
            INSERT_TEST,
            identifier,
            subject.model_dump(exclude={"device_id"}),
            way["lead_id"],
            way["phone"],
            way["device_id"],
            within,
        )
    ref = MessageRef(
        message_id=identifier, phone=way["phone"], device_id=way["device_id"], purpose=f"test of {subject.of}"
    )
    return ref, way["lead"]


def _no_device(device: str | None, devices: list[str]) -> Exception:
    if device is not None:
        return NotFound(f"there is no device {device!r}; {did_you_mean(device, devices)}")
    if not devices:
        return Conflict("there is no device to send from: add one with 'device add ID --gateway NAME'")
    return Conflict(f"name the device to send from with --device: {', '.join(devices[:5])}")


async def look_at_test(pool: Pool, message_id: UUID, lead: str | None = None) -> SentTest:
    """The test as it stands now. Raises NotFound."""
    row = await pool.fetchrow(SELECT_TEST, message_id)
    if row is None:
        raise NotFound(f"there is no test message {message_id}")
    waits = row["status"] not in SETTLED
    return SentTest(
        message_id=row["id"],
        lead=lead,
        goes_out_at=row["slot_at"] if waits else None,
        **{
            name: row[name]
            for name in ("phone", "of", "device", "status", "reason", "text", "sent_at", "expires_at")
        },
    )
