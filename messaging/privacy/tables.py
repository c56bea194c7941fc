"""Where the ledger holds data of persons: one list, by which it is exported and erased, and by which a test finds columns
that somebody has added and not thought about.

In the conditions, $1 are the person's phones, $2 other names that gateways have for them, $3 the IDs of their leads, $4 of
their enrollments, $5 of their messages, $6 their phones in digits alone, and $7 the gateways' IDs of their messages.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

__all__ = ["NO_PERSONS", "TABLES", "Table"]


class Table(NamedTuple):
    """What a table holds of a person, in which rows, and what is done about it."""

    title: str
    """Of its part of an export."""
    whose: str
    """Picks the person's rows, as a condition on the table ``t``."""
    erased: Literal["row"] | Mapping[str, str]
    """What happens to a person's row: it is deleted; or columns get these values (SQL), and the row is kept, as it counts."""
    scrubbed: tuple[str, ...] = ()
    """Columns of everybody's rows in which the phone may stand among other words: it is replaced there."""
    kept: Mapping[str, str] = {}
    """Other columns with text, and what is in them: nothing about a person."""
    shown: str = ""
    """More columns of an export, as SQL: names in place of IDs."""
    order: str = "t.id"


PERSON = "$8::jsonb ->> t.{column}"
"""The word that stands for a phone: each of a person's phones has its own, so that what is unique stays so."""


TABLES: Mapping[str, Table] = {
    "leads": Table("Lead", "t.phone = any ($1) or t.id = any ($3)", "row"),
    "joined_leads": Table(
        "Leads that became one with it", "t.phone = any ($1) or t.into_lead = any ($3)", "row", order="t.joined_at"
    ),
    "phone_changes": Table(
        "Changes of the phone", "t.old_phone = any ($1) or t.new_phone = any ($1)", "row", order="t.changed_at"
    ),
    "exchanged_numbers": Table(
        "Exchanged phones", "t.old_phone = any ($1) or t.new_phone = any ($1)", "row", order="t.changed_at"
    ),
    "identities": Table(
        "Other names of gateways", "t.phone = any ($1) or t.identity = any ($2)", "row", order="t.identity"
    ),
    "suppressions": Table(
        "Opt-outs",
        "t.phone = any ($1)",
        {"phone": PERSON.format(column="phone"), "reason": "'opted out'", "signalled_at": "coalesce(signalled_at, clock_timestamp())"},
        kept={"source": "who opted out: operator or reply", "category": "from what"},
        order="t.created_at",
    ),
    "sequence_contacts": Table(
        "Enrollments",
        "t.id = any ($4)",
        {
            "phone": PERSON.format(column="phone"),
            "lead_id": "null",
            "key_phone": "null",
            "reason": "case when reason is not null then 'forgotten' end",
            "workflow_id": "'forgotten-' || id",
            "run_id": "''",
            "paused_reason": "null",
            "go_step_id": "null",
            "go_at": "null",
            "go_reason": "null",
            "plan_changed_at": "null",
        },
        kept={"device_id": "a device", "status": "a status", "timeline": "steps, their times and the time zone"},
        shown="(select name from sequences where id = t.sequence_id) as sequence",
    ),
    "broadcast_messages": Table(
        "Messages to the person",
        "t.id = any ($5)",
        {
            "recipient_phone": "coalesce($8::jsonb ->> t.recipient_phone, t.recipient_phone)",
            "lead_id": "null",
            "key_phone": "null",
            "went_to": "null",
            "content": "null",
            "image_url": "null",
            # What remains says which opt-outs it would be for.
            "contents": "case when contents is not null then jsonb_strip_nulls(jsonb_build_object('category', contents -> 'category')) end",
            "gateway_message_id": "case when gateway_message_id is not null then 'forgotten-' || id end",
            "earlier_gateway_ids": "'{}'",
            "reason": "case when reason like 'skipped: %' then 'skipped' else reason end",
        },
        scrubbed=("reason",),
        kept={
            "purpose": "test or confirmation",
            "device_id": "a device",
            "status": "a status",
            "processing_worker_id": "an attempt of a worker",
            "waits_for": "pause, window or device",
            "id": "of a forgotten person: a random one, as it was derived from the phone",
        },
        shown="(select key from sequence_steps where id = t.sequence_stepid) as step,"
        " (select name from campaigns where id = t.campaign_id) as campaign",
        order="t.due_at, t.id",
    ),
    "inbound_messages": Table(
        "Messages from the person",
        "t.phone = any ($1) or t.phone is null and t.identities && $2",
        {
            "phone": "coalesce($8::jsonb ->> t.phone, $8::jsonb ->> '')",
            "gateway_message_id": "'forgotten-' || id",
            "identities": "'{}'",
            "name": "null",
            "text": "null",
            "payload": "null",
            "media_id": "null",
            "answers": "(select 'forgotten-' || m.id from broadcast_messages m where m.id = any ($5) and t.answers = any (m.gateway_message_id || m.earlier_gateway_ids) limit 1)",
            "referral": "null",
            "confirmation": "null",
            "to_review": "case when reviewed_at is not null then to_review end",
        },
        kept={
            "device_id": "a device",
            "kind": "what kind of message",
            "asks": "names of sequences",
            "meaning": "stop, start or another",
            "effects": "names of sequences and steps",
        },
        order="t.sent_at, t.id",
    ),
    "wanted_enrollments": Table(
        "Enrollments asked for", "t.phone = any ($1)", "row", shown="(select name from sequences where id = t.sequence_id) as sequence"
    ),
    "refused_enrollments": Table("Enrollments refused", "t.phone = any ($1)", "row", order="t.refused_at"),
    "rejected_rows": Table(
        "Rows of imported files that could not be used", "t.phone = any ($1) or t.digits = any ($6)", "row"
    ),
    "events": Table(
        "What was done, and by whom",
        "t.phone = any ($1) or t.actor = any ($1)",
        {
            "phone": "coalesce($8::jsonb ->> t.phone, t.phone)",
            "actor": "coalesce($8::jsonb ->> t.actor, t.actor)",
            "reason": "null",
            # What counts, and no words.
            "data": "(select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(data) where key in ('step', 'status', 'source', 'category', 'inbound_message'))",
        },
        scrubbed=("reason", "data"),
        kept={
            "via": "how they acted",
            "kind": "what kind of event",
            "sequence": "a sequence",
            "campaign": "a campaign",
            "device": "a device",
            "message_id": "of a forgotten person: the message's new one",
        },
    ),
    "outbox": Table(
        "Events that other systems are still to be told",
        "t.data ->> 'phone' = any ($1) or t.data ->> 'actor' = any ($1)",
        "row",
        scrubbed=("data", "error"),
    ),
    "early_receipts": Table("Receipts that came before their message", "t.gateway_message_id = any ($7)", "row"),
    "alerts": Table("Alerts", "false", {}, scrubbed=("detail",), kept={"kind": "a kind", "subject": "a device, sequence, campaign or receiver"}, order="t.since"),
    "alert_reports": Table("Reports of alerts", "false", {}, scrubbed=("detail",), kept={"kind": "a kind", "subject": "the same"}),
    "devices": Table(
        "Devices",
        "false",
        {},
        scrubbed=("status_reason", "waits_reason", "refusal", "late_refusal"),
        kept={
            "id": "a name", "gateway": "a name", "gateway_options": "the operator's settings", "time_zone": "a time zone",
            "status": "a status", "replaced_by": "a device", "stop_keywords": "words", "start_keywords": "words",
            "opt_out_confirmation": "a text for everybody", "shown_as": "a state",
        },
    ),
    "campaigns": Table(
        "Campaigns",
        "false",
        {},
        scrubbed=("reason",),
        kept={
            "name": "a name", "title": "a title", "niche": "a niche", "target_status": "a status", "device_ids": "devices",
            "text": "a text for everybody", "image_url": "an image for everybody", "template": "a template",
            "time_zone": "a time zone", "until": "an end", "if_passed": "a rule", "fan_out": "a way", "category": "a category",
            "outside_window": "a rule", "status": "a status", "audience": "leads of each device",
        },
    ),
    "sequences": Table(
        "Sequences",
        "false",
        {},
        scrubbed=("status_reason",),
        kept={
            "name": "a name", "trigger": "a trigger", "next_trigger": "a trigger", "time_zone": "a time zone",
            "device_id": "a device", "category": "a category", "outside_window": "a rule", "status": "a status",
            "on_reply": "rules for everybody", "shown_as": "a state",
        },
    ),
    "receivers": Table(
        "Receivers",
        "false",
        {},
        scrubbed=("error", "test_answer"),
        kept={"name": "a name", "channel": "a channel", "options": "the operator's settings", "types": "kinds of events", "held_by": "a worker"},
    ),
}  # fmt: skip
"""The tables in which a person may stand."""

NO_PERSONS: Mapping[str, str] = {
    "sequence_steps": "texts for everybody",
    "sequence_keywords": "words that everybody may write",
    "joined_contacts": "numbers of enrollments",
    "workers": "processes",
    "private_mode": "by what its keys are known again",
    "ledger_home": "which Temporal goes with this database",
    "restores": "that a server came back from a backup, and what was done about it",
    "forgotten_keys": "keys",
    "forgotten": "keyed hashes, and words that stand for persons",
    "erasures": "what is still to be erased; the row goes when it is",
    "retained": "how far contents were let go",
    "schema_migrations": "numbers of migrations",
}
"""The other tables, and what is in them."""
