"""Creates and edits campaigns from their files: all files or none, in one transaction.

A campaign is locked while it is edited and while it starts: an edit either comes before the start, or is refused as too
late. Once it has started, its contents, audience and times are fixed; its pace, fan-out and title are not. Applying
what is stored already writes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from messaging.campaigns.checks import check_moved, check_together, check_with_stored, warnings_for
from messaging.campaigns.contract import CampaignStatus
from messaging.campaigns.file import CampaignDraft, CampaignFile
from messaging.common.database import Connection, Record
from messaging.common.transactions import all_or_nothing
from messaging.common.values import Value
from messaging.files.yaml import FieldPath, FileProblems, Problem
from messaging.texts.approved import format_template
from messaging.times.local_time import format_moment

__all__ = ["AppliedCampaign", "apply_campaigns"]


class AppliedCampaign(Value):
    """The result of one file."""

    campaign: str
    result: Literal["created", "changed", "unchanged"]
    status: CampaignStatus
    changes: tuple[str, ...] = ()
    """Each change in words."""
    rescheduled: bool = False
    """True if its start time has changed: its workflow waits for the start, and must be signalled."""
    warnings: tuple[str, ...] = ()
    """What should be looked at, with file and line."""


class _Field(NamedTuple):
    """A field of the file and the column that holds it."""

    path: FieldPath
    column: str
    what: str = ""
    """The field's name for people; empty if it may change at any time."""
    other: str = ""
    """The purpose for which another campaign is needed, for the error."""
    none: str = "none"
    """What is shown if it is not set."""


_FIELDS = (
    _Field(("title",), "title"),
    _Field(("target", "niche"), "niche", "target", "other leads"),
    _Field(("target", "status"), "target_status", "target", "other leads"),
    _Field(("target", "devices"), "device_ids", "target", "other leads", none="all"),
    _Field(("scheduled_at",), "scheduled_at", "time", "another time"),
    _Field(("timezone",), "time_zone", "time zone", "another time"),
    _Field(("until",), "until", "end", "another end"),
    _Field(("if_passed",), "if_passed", "rule for recipients whose time has passed", "another rule"),
    _Field(("min_delay",), "min_delay"),
    _Field(("max_delay",), "max_delay"),
    _Field(("fan_out",), "fan_out"),
    _Field(("category",), "category", "category", "another category"),
    _Field(("require_consent",), "require_consent", "audience", "other leads"),
    _Field(("outside_window",), "outside_window", "rule for free text outside the window", "another rule"),
    _Field(("text",), "text", "text", "other words"),
    _Field(("image",), "image_url", "image", "another image"),
    _Field(("template",), "template", "template", "another template"),
)

_COLUMNS = ", ".join(field.column for field in _FIELDS)
_INSERTED = ", ".join(f"${number}" for number in range(2, len(_FIELDS) + 2))
_UPDATED = ", ".join(f"${number}" for number in range(4, len(_FIELDS) + 4))

INSERT_CAMPAIGN = f"""
insert into campaigns (name, {_COLUMNS})
values ($1, {_INSERTED})
    on conflict (name) do nothing
returning true
"""  # noqa: S608 - the columns above

# $2: the start time has changed; $3: the present moment. A new time is the operator's last decision, and replaces a
# start at once.
UPDATE_CAMPAIGN = f"""
update campaigns
   set ({_COLUMNS}) = ({_UPDATED}),
       start_now = start_now and not $2,
       asked_at = case when asked_at is not null and $2 then $3 else asked_at end,
       reason = case when status = 'draft' then null else reason end, updated_at = clock_timestamp()
 where id = $1
"""  # noqa: S608 - the columns above


async def apply_campaigns(
    connection: Connection, drafts: Sequence[CampaignDraft], *, now: datetime | None = None
) -> list[AppliedCampaign]:
    """Stores the campaigns of the files, in a transaction of its own. ``now``: the database's clock if None.

    Raises FileProblems with every problem of every file, in which case nothing is stored.
    """
    return await all_or_nothing(connection, lambda: _apply(connection, drafts, now))


async def _apply(
    connection: Connection, drafts: Sequence[CampaignDraft], now: datetime | None
) -> list[AppliedCampaign]:
    moment: datetime = now or await connection.fetchval("select clock_timestamp()")
    problems = [problem for draft in drafts for problem in draft.document.problems]
    problems += check_together(drafts)
    problems += await check_with_stored(connection, drafts)
    edits: dict[str, _Edit] = {}
    usable = [(draft, draft.campaign) for draft in drafts if draft.campaign is not None]
    for draft, campaign in sorted(usable, key=lambda pair: pair[1].campaign):  # the same lock order for all
        edit = await _Edit.begin(connection, draft, campaign)
        problems += edit.problems(moment)
        edits[campaign.campaign] = edit
    if problems:
        raise FileProblems(list(dict.fromkeys(problems)))
    return [await edits[campaign.campaign].store(connection, moment) for _, campaign in usable]


class _Edit:
    """The edit of one campaign, from what is stored to what its file says."""

    def __init__(self, draft: CampaignDraft, campaign: CampaignFile, row: Record, *, new: bool) -> None:
        self._draft = draft
        self._campaign = campaign
        self._row = row
        self._new = new
        self._values = _values(campaign)
        self._changed = [
            field
            for field in _FIELDS
            if _comparable(row[field.column]) != _comparable(self._values[field.column])
        ]

    @property
    def _rescheduled(self) -> bool:
        return any(field.column in ("scheduled_at", "time_zone") for field in self._changed)

    @classmethod
    async def begin(cls, connection: Connection, draft: CampaignDraft, campaign: CampaignFile) -> "_Edit":
        """Locks the campaign; creates it if it is new."""
        values = _values(campaign)
        new = await connection.fetchval(
            INSERT_CAMPAIGN, campaign.campaign, *(values[field.column] for field in _FIELDS)
        )
        # A campaign that is just starting either has its audience before we go on, or starts with what we store.
        row = await connection.fetchrow(
            "select * from campaigns where name = $1 for update", campaign.campaign
        )
        assert row is not None, "campaigns are never deleted"
        return cls(draft, campaign, row, new=bool(new))

    def problems(self, now: datetime) -> list[Problem]:
        """Refuses changes that come too late, or that would start the campaign by mistake."""
        if self._row["status"] == "cancelled":
            state = "was cancelled"
        elif self._row["frozen_at"] is not None:
            state = f"has started on {format_moment(self._row['frozen_at'])}"
        else:
            return check_moved(self._draft.document, self._campaign, self._row, now)
        return [
            self._draft.document.problem(
                field.path,
                f"the campaign {state} and its {field.what} cannot change any more:"
                f" for {field.other} make another campaign",
            )
            for field in self._changed
            if field.what
        ]

    async def store(self, connection: Connection, now: datetime) -> AppliedCampaign:
        """Writes the differences; nothing if there are none."""
        if self._changed:
            await connection.execute(
                UPDATE_CAMPAIGN,
                self._row["id"],
                self._rescheduled,
                now,
                *(self._values[field.column] for field in _FIELDS),
            )
        warnings = await warnings_for(connection, self._draft, self._campaign, self._row, now)
        return AppliedCampaign(
            campaign=self._campaign.campaign,
            result="created" if self._new else "changed" if self._changed else "unchanged",
            status=self._row["status"],
            changes=tuple(self._format_change(field) for field in self._changed),
            rescheduled=self._rescheduled,
            warnings=tuple(map(str, warnings)),
        )

    def _format_change(self, field: _Field) -> str:
        old, new = self._row[field.column], self._values[field.column]
        if field.column == "text":
            return "text reworded" if old and new else "text added" if new else "text removed"
        return f"{'.'.join(map(str, field.path))}: {_format_value(old, field)} → {_format_value(new, field)}"


def _values(campaign: CampaignFile) -> dict[str, Any]:
    """The columns' values from the file."""
    return {
        "title": campaign.title,
        "niche": campaign.target.niche,
        "target_status": campaign.target.status,
        "device_ids": campaign.target.devices,
        "scheduled_at": campaign.scheduled_at,
        "time_zone": campaign.timezone,
        "until": campaign.until,
        "if_passed": campaign.if_passed,
        "min_delay": campaign.min_delay,
        "max_delay": campaign.max_delay,
        "fan_out": campaign.fan_out,
        "category": campaign.category,
        "require_consent": campaign.require_consent,
        "outside_window": campaign.outside_window,
        "text": campaign.text,
        "image_url": campaign.image,
        "template": campaign.template.model_dump() if campaign.template else None,
    }


def _comparable(value: Any) -> Any:
    """The value in a form for comparing: the order of a list does not matter."""
    return sorted(value) if isinstance(value, list) else value


def _format_value(value: Any, field: _Field) -> str:
    if value is None or value == "":
        return field.none
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" + (f":{value:%S}" if value.second else "")
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, dict):
        return format_template(value)
    return ", ".join(value) if isinstance(value, list) else str(value)
