"""Renders messages that are not in the ledger, by the functions that the claim and the send use."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from messaging.common.database import Connection, Record
from messaging.gateways import capabilities_of
from messaging.gateways.base import Capabilities, NotAccepted, WrongContent
from messaging.gateways.images import ImageStore
from messaging.reporting.preview.report import PreviewedMessage
from messaging.sending.claim_answers import Claim
from messaging.sending.compose import compose, wording
from messaging.sequences.condition_words import format_conditions
from messaging.texts.liquid import TemplateProblem, lead_variables, unguarded_variables_of
from messaging.times.sending_hours import SendingHours

__all__ = ["Wanted", "render_all"]

NO_ID = UUID(int=0)

# $1 to $6, of each message: the lead; the campaign, or the step and the contact, if there is one; the device; the moment at
# which it goes out. $7: whether all conditions of its step are asked, or only those on what is known of the lead. $8: the
# present moment.
SELECT_CONTENTS = """
select d.id as device_id, d.gateway, d.gateway_options as options, d.opens_at, d.closes_at, d.time_zone, w.at, t.conditions,
       contents_of(m, w.at) as contents, case when d.service_window then form_of(m, w.at) end as form, outside_window(m) as outside,
       pause_of(m) as pause,
       case when t.conditions is not null
            then unmet_condition(case when w.whole then t.conditions else t.conditions - array['replied', 'delivered', 'read'] end,
                                 c, l) end as unmet
  from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[], $7::boolean[])
       with ordinality w (lead, campaign, step, contact, device, at, whole, place)
  join leads l on l.id = w.lead
  join devices d on d.id = w.device
  left join sequence_steps t on t.id = w.step
  left join sequence_contacts c on c.id = w.contact
 cross join lateral jsonb_populate_record(null::broadcast_messages, jsonb_build_object(
       'campaign_id', w.campaign, 'sequence_stepid', w.step, 'sequence_contact_id', w.contact, 'lead_id', w.lead,
       'recipient_phone', l.phone, 'device_id', w.device, 'status', 'pending', 'due_at', w.at, 'parts_sent', 0, 'resends', 0)) m
 order by w.place
"""


class Wanted(NamedTuple):
    """A message to render: as it would be if it went out at ``at``."""

    lead_id: int
    device: str | None
    due_at: datetime | None
    when: str
    at: datetime
    campaign_id: int | None = None
    step_id: int | None = None
    step: str | None = None
    contact_id: int | None = None
    comes_next: bool = True
    """Whether all of its conditions are known now; of later steps, only those on the lead are."""
    not_sent: str | None = None
    waits: str | None = None


async def render_all(
    connection: Connection, images: ImageStore, wanted: Sequence[Wanted], now: datetime
) -> list[PreviewedMessage]:
    """The messages as their people would get them, in the same order."""
    found = [one for one in wanted if one.device is not None]
    rows = iter(
        await connection.fetch(
            SELECT_CONTENTS,
            [one.lead_id for one in found],
            [one.campaign_id for one in found],
            [one.step_id for one in found],
            [one.contact_id for one in found],
            [one.device for one in found],
            [one.at for one in found],
            [one.comes_next for one in found],
        )
    )
    return [
        await _render(one, next(rows), images, now) if one.device is not None else _without_device(one)
        for one in wanted
    ]


def _without_device(one: Wanted) -> PreviewedMessage:
    return PreviewedMessage(
        step=one.step,
        due_at=one.due_at,
        when=one.when,
        device=None,
        not_sent=one.not_sent or "it has no device to be written from, and there is not exactly one",
    )


async def _render(one: Wanted, row: Record, images: ImageStore, now: datetime) -> PreviewedMessage:
    hours = SendingHours(opens_at=row["opens_at"], closes_at=row["closes_at"], time_zone=row["time_zone"])
    claim = Claim(
        outcome="claimed",
        device_id=row["device_id"],
        gateway=row["gateway"],
        options={},
        attempts=0,
        now=now,
        due_at=row["at"],
        must_not_send=False,
        hours=hours,
        **row["contents"],
    )
    message = PreviewedMessage(
        step=one.step,
        due_at=one.due_at,
        when=one.when,
        device=claim.device_id,
        image_url=claim.image_url,
        condition=format_conditions(row["conditions"]) or None,
        not_sent=one.not_sent or (f"if {row['unmet']}" if row["unmet"] else None),
        waits=one.waits
        or row["pause"]
        or (f"{row['outside']}; it waits until they write" if row["form"] == "wait" else None),
        fails=f"{row['outside']}; give it a template for such recipients" if row["form"] == "fail" else None,
    )
    return message.model_copy(update=await _composed(claim, message, images))


async def _composed(claim: Claim, message: PreviewedMessage, images: ImageStore) -> dict[str, object]:
    capabilities: Capabilities = capabilities_of(claim.gateway)
    try:
        parts = await compose(claim, NO_ID, capabilities, images)
    except (TemplateProblem, WrongContent, NotAccepted) as error:
        return {"fails": message.fails or str(error)}
    last = parts[-1]
    return {
        "text": wording(parts),
        "template": last.template.name if last.template is not None else None,
        "parts": len(parts),
        "notes": _blanks(claim),
    }


def _blanks(claim: Claim) -> tuple[str, ...]:
    """The names that the text puts out, without a default, and that are empty for this person."""
    variables = lead_variables(claim.lead)
    sources = [claim.text, *(claim.approved_template.parameters if claim.approved_template else ())]
    blanks = {
        name for source in sources for name in _unguarded(source) if not (variables.get(name) or "").strip()
    }
    return tuple(f"{name} is empty: the text has a blank there" for name in sorted(blanks))


_known: dict[str, frozenset[str]] = {}


def _unguarded(source: str) -> frozenset[str]:
    """The same for a text, remembered: an audience shares one."""
    if source not in _known:
        if len(_known) > 256:
            _known.clear()
        _known[source] = (
            frozenset(unguarded_variables_of(source)) if re.search(r"\{[{%]", source) else frozenset()
        )
    return _known[source]
