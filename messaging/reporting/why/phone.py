"""What can keep a phone from getting anything at all: no lead, a rejected row, another number now, an opt-out."""

from datetime import datetime, tzinfo
from typing import Any

from messaging.common.database import Pool, Record
from messaging.events.latest import By, opted_out_by
from messaging.leads.csv_rejects import RejectedLead
from messaging.leads.opt_outs import gets_no
from messaging.times.local_time import format_wall

__all__ = ["OPT_OUT_SOURCES", "causes_of_phone", "opt_out_sentence", "rejected_sentence"]

OPT_OUT_SOURCES = {
    "operator": "by an operator",
    "reply": "by a reply",
    "preference": "by the recipient's choice in WhatsApp",
}

SELECT_PHONE = """
select l.id as lead_id, present_phone($1) as present_phone,
       array(select jsonb_build_object('source', source, 'category', category, 'reason', nullif(reason, 'opted out'),
                                       'at', created_at)
               from suppressions
              where phone = $1
              order by category, created_at) as opt_outs
  from (select) one
  left join leads l on l.phone = $1
"""


async def causes_of_phone(
    pool: Pool, phone: str, rejected: list[RejectedLead], zone: tzinfo
) -> tuple[list[str], Record]:
    """The sentences about the phone itself, and its row: ``lead_id`` and ``opt_outs``."""
    row = await pool.fetchrow(SELECT_PHONE, phone)
    assert row is not None
    sentences = [rejected_sentence(one, zone) for one in rejected]
    if row["present_phone"] != phone:
        sentences.append(f"The person has another number now, {row['present_phone']}: ask about that one.")
    if row["lead_id"] is None:
        sentences.append(
            f"There is no lead with the phone {phone}, so nothing is sent to it: 'lead import' or 'enroll' makes it one."
        )
    by = await opted_out_by(pool, phone) if row["opt_outs"] else {}
    sentences += [opt_out_sentence(one, zone, by.get(one["source"])) for one in row["opt_outs"]]
    return sentences, row


def rejected_sentence(one: RejectedLead, zone: tzinfo) -> str:
    """A row of an imported file that made no lead."""
    return (
        f"Row {one.row} below the header of {one.file} ({one.written!r}) was rejected on import, {format_wall(one.rejected_at, zone)}:"
        f" {one.reason}."
    )


def opt_out_sentence(one: dict[str, Any], zone: tzinfo, by: By | None = None) -> str:
    """An opt-out: from what, by whom, when, and why."""
    whom = by.words if by is not None and one["source"] == "operator" and by.via != "itself" else ""
    reason = f" ({one['reason']})" if one["reason"] else ""
    return (
        f"The phone opted out on {format_wall(datetime.fromisoformat(one['at']), zone)} {whom or OPT_OUT_SOURCES[one['source']]}{reason}, and gets"
        f" {gets_no(one['category'])}."
    )
