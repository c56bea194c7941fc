"""Why a phone did not get a message of a sequence."""

from datetime import tzinfo

from messaging.common.database import Pool, Record
from messaging.devices.words import paused_words
from messaging.events.latest import By, by_whom, latest_of_contact, paused_by
from messaging.reporting.why.messages import Fate
from messaging.sequences.condition_words import format_conditions
from messaging.times.local_time import format_wall

__all__ = ["causes_of_sequence"]

# $1: the sequence, $2: the phone.
SELECT_STANDING = """
select s.name, s.trigger, s.status as sequence_status, s.status_reason, s.category, s.require_consent,
       l.id as lead_id, l.triggers, l.consent_at,
       coalesce(l.device_id, s.device_id, only_device()) as sender,
       c.id as enrollment, c.status, c.reason, c.enrolled_at, c.ended_at, c.paused_at, c.paused_reason, c.answered_at, c.next_due_at,
       c.timeline ->> 'replied_at' as replied_at, c.workflow_id,
       t.key as next_step, t.conditions, t.wait_for,
       d.id as device, d.status as device_status, d.status_reason as device_reason, e.free_at, e.why,
       exists (select from wanted_enrollments w where w.sequence_id = s.id and w.phone = $2) as wanted,
       (select r.reason from refused_enrollments r where r.sequence = s.name and r.phone = $2) as refused
  from sequences s
  left join leads l on l.phone = $2
  left join sequence_contacts c on c.sequence_id = s.id and c.phone = $2
  left join sequence_steps t on t.id = c.next_step_id
  left join devices d on d.id = device_in_use(c.device_id)
  left join lateral earliest_send(d, null, greatest(c.next_due_at, clock_timestamp())) e on d.id is not null
 where s.name = $1
"""


async def causes_of_sequence(
    pool: Pool, sequence: str, phone: str, opted_out: set[str], fates: list[Fate], zone: tzinfo
) -> list[str]:
    """The sentences about this phone in this sequence, which exists. ``opted_out``: from which categories.

    Times in ``zone``, without its name.
    """
    row = await pool.fetchrow(SELECT_STANDING, sequence, phone)
    assert row is not None
    if row["enrollment"] is None:
        return _not_enrolled(row, phone, opted_out)
    mine = [one for one in fates if one.enrollment == row["enrollment"]]
    whom = await _by(pool, row, phone)
    pauses = _pauses(row, phone, zone, whom) if row["status"] == "active" else []
    told = (one.sentence(zone, pause_is_told=bool(pauses)) for one in mine)
    sentences = [_enrollment(row, zone, whom), *told, *pauses]
    if row["status"] == "active" and not any(one.waits for one in mine):
        sentences += _next(row, zone)
    return sentences


async def _by(pool: Pool, row: Record, phone: str) -> dict[str, By | None]:
    """Who did what holds the contact, or ended its enrollment."""
    name, device = row["name"], row["device"]
    whom: dict[str, By | None] = dict.fromkeys(("contact", "end", "sequence", "device"))
    if row["paused_at"] is not None:
        whom["contact"] = await latest_of_contact(pool, phone, name, "contact.paused")
    if row["status"] == "stopped":
        whom["end"] = await latest_of_contact(pool, phone, name, "contact.stopped")
    if row["sequence_status"] == "paused":
        whom["sequence"] = (await paused_by(pool, "sequence", [name])).get(name)
    if row["device_status"] == "paused":
        whom["device"] = (await paused_by(pool, "device", [device])).get(device)
    return whom


def _not_enrolled(row: Record, phone: str, opted_out: set[str]) -> list[str]:
    """Why the phone was never enrolled: the first cause that would keep it out, and nothing that follows from it."""
    name, never = row["name"], "It was never enrolled"
    by_hand = f"'enroll {name} {phone}' does it by hand"
    if row["wanted"]:
        return [
            "It is not enrolled yet: the person asked for it, and a worker enrolls it within a minute, once one runs."
        ]
    if row["refused"] is not None:
        return [f"{never}: a worker refused the enrollment: {row['refused']}."]
    if row["lead_id"] is None:
        return [f"{never}, since there is no such lead; {by_hand}."]
    if "all" in opted_out or (opted_out and row["category"] == "marketing"):
        return [f"{never}, since the phone has opted out."]
    if row["require_consent"] and row["consent_at"] is None:
        return [f"{never}: the sequence requires consent, and the lead has given none."]
    if row["trigger"] is None:
        return [f"{never}: the sequence has no trigger, so that nobody is enrolled automatically; {by_hand}."]
    if row["trigger"] not in row["triggers"]:
        has = f"it has {', '.join(row['triggers'])}" if row["triggers"] else "it has none"
        return [
            f"{never}: the lead does not have the sequence's trigger {row['trigger']} ({has}); {by_hand}."
        ]
    if row["sequence_status"] != "active":
        return [
            f"{never}: the sequence is paused{_because(row['status_reason'])}; 'sequence resume {name}' goes on."
        ]
    if row["sender"] is None:
        return [
            f"{never}: there is no device to write from: give the lead one, or the sequence ('device:' in its file)."
        ]
    return ["It is not enrolled yet: a worker enrolls it by its trigger within a minute, once one runs."]


def _enrollment(row: Record, zone: tzinfo, whom: dict[str, By | None]) -> str:
    since = f"It was enrolled on {format_wall(row['enrolled_at'], zone)}"
    ended = "" if row["ended_at"] is None else f" on {format_wall(row['ended_at'], zone)}"
    match row["status"]:
        case "active":
            return f"{since}, and is in the sequence."
        case "completed":
            return f"{since}, and was through{ended}{_because(row['reason'])}."
        case "opted_out":
            return f"{since}, and left the sequence{ended}{_because(row['reason'])}."
        case _:
            by = _people(whom["end"])
            return f"{since}, and was stopped{by}{ended}{_because(row['reason'])}: no contact goes through a sequence twice."


def _pauses(row: Record, phone: str, zone: tzinfo, whom: dict[str, By | None]) -> list[str]:
    """What holds the contact, the nearest cause first, and by whom."""
    name, sentences = row["name"], []
    if row["next_step"] is None:
        return []
    if row["paused_at"] is not None:
        who = (
            " by a reply" if row["answered_at"] is not None else _people(whom["contact"]) or " by an operator"
        )
        sentences.append(
            f"The contact is paused{who} since {format_wall(row['paused_at'], zone)}{_because(row['paused_reason'])};"
            f" 'resume {name} {phone}' goes on."
        )
    if row["sequence_status"] != "active":
        sentences.append(
            f"The sequence is paused{_because(row['status_reason'])}{by_whom(whom['sequence'], zone, zone_is_named=True)};"
            f" 'sequence resume {name}' goes on."
        )
    if row["device_status"] != "active":
        sentences.append(
            f"Device {row['device']} {paused_words(row['device_reason'])}{by_whom(whom['device'], zone, zone_is_named=True)};"
            f" 'device resume {row['device']}' goes on."
        )
    return sentences


def _people(by: By | None) -> str:
    """`` by anna``; empty where no person is known."""
    return f" {by.words}" if by is not None and by.words and by.via != "itself" else ""


def _next(row: Record, zone: tzinfo) -> list[str]:
    """What comes next, and what it waits for."""
    step, sentences = row["next_step"], []
    if step is None:
        return ["Nothing comes next; a worker ends the enrollment, once one runs."]
    due = format_wall(row["next_due_at"], zone)
    if row["wait_for"] is not None and row["replied_at"] is None:
        sentences.append(f"{step} comes next: as soon as a reply comes, and on {due} at the latest.")
    else:
        sentences.append(f"{step} comes next, due on {due}.")
    if row["why"] is not None and row["free_at"] is not None and row["free_at"] > row["next_due_at"]:
        sentences.append(f"It waits until {format_wall(row['free_at'], zone)} at least: {row['why']}.")
    if words := format_conditions(row["conditions"]):
        sentences.append(f"It is sent only if {words}.")
    return sentences


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""
