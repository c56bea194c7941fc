"""Checks of any file against other files and what is stored: names given twice, devices, templates."""

from collections.abc import Iterable, Sequence

from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.common.suggestions import did_you_mean
from messaging.files.fields import FileText
from messaging.files.yaml import Document, Problem
from messaging.texts.liquid import LEAD_VARIABLES, problems, unguarded_variables_of
from messaging.texts.placeholders import placeholders
from messaging.times.zones import time_zone_warning

__all__ = [
    "check_blanks",
    "check_devices",
    "check_repeats",
    "check_templates",
    "check_zone",
    "devices_with_service_window",
    "free_text_warning",
]

_EMPTY = {
    "name": "name = ''",
    "niche": "niches = '{}'",
    "trigger": "triggers = '{}'",
    "device": "device_id is null",
}


def check_repeats(names: Iterable[FileText]) -> list[Problem]:
    """A problem for each of these names that an earlier file has too."""
    found = []
    first: dict[str, str] = {}
    for document, path, name in names:
        if name in first:
            found.append(document.problem(path, f"{name!r} is in {first[name]} too, give each its own"))
        first.setdefault(name, document.file)
    return found


async def check_devices(connection: Connection, names: Iterable[FileText]) -> list[Problem]:
    """A problem for each of these names that is no device."""
    devices = [row["id"] for row in await connection.fetch("select id from devices order by id")]
    return [
        document.problem(
            path,
            f"there is no device {name!r}; {did_you_mean(name, devices) or 'add it first, with device add'}",
        )
        for document, path, name in names
        if name not in devices
    ]


async def devices_with_service_window(
    connection: Connection, names: Sequence[str] | None = None
) -> list[str]:
    """Those of these devices, or of all, whose gateway takes free text only within the service window."""
    rows = await connection.fetch(
        "select id from devices where service_window and ($1::text[] is null or id = any($1)) order by id",
        names,
    )
    return [row["id"] for row in rows]


_OUTSIDE = {
    "fail": "to all others it fails",
    "wait": "for all others it waits until they write (outside_window: wait)",
}


def free_text_warning(devices: Sequence[str], outside_window: str, steps: Sequence[str] = ()) -> str:
    """A warning about a text without an approved template on these devices. ``steps``: those without one."""
    which = f"device {devices[0]}" if len(devices) == 1 else f"devices {', '.join(devices)}"
    where = f" in {count_of(len(steps), 'step')} ({', '.join(steps)})" if len(steps) > 1 else ""
    return (
        f"warning: is missing{where}, and by {which} a text reaches only recipients that have written in the last 24 hours,"
        f" {_OUTSIDE[outside_window]}: give the name, language and parameters of an approved template beside it"
    )


async def check_templates(connection: Connection, texts: Sequence[FileText]) -> list[Problem]:
    """Problems that keep these texts from being sent: broken templates, variables that no stored lead has."""
    known = set(LEAD_VARIABLES)
    if any(problems(text, known) or placeholders(text) for _, _, text in texts):
        rows = await connection.fetch("select distinct jsonb_object_keys(attributes) as name from leads")
        known |= {row["name"] for row in rows}
    return [
        document.problem(path, message)
        for document, path, text in texts
        if not document.has_problem(path)  # a text that is too long needs no other problem
        for message in problems(text, known)
    ]


async def check_blanks(connection: Connection, texts: Sequence[FileText]) -> list[Problem]:
    """Warnings about variables that some leads lack, and about what only looks like a variable."""
    found = []
    lacking: dict[str, tuple[int, int]] = {}
    for document, path, text in texts:
        found += [
            document.problem(
                path, f"warning: {place.written} goes out as it stands, a variable is written {{{{ name }}}}"
            )
            for place in placeholders(text)
            if not place.plain
        ]
        for variable in sorted(unguarded_variables_of(text)):
            if variable not in lacking:
                lacking[variable] = await _leads_without(connection, variable)
            without, leads = lacking[variable]
            if without:
                message = (
                    f"warning: {variable!r} is empty for {without:,} of {leads:,} leads,"
                    f" give a default: {{{{ {variable} | default: '…' }}}}"
                )
                found.append(document.problem(path, message))
    return found


def check_zone(document: Document, zone: str) -> list[Problem]:
    """A warning if the file's ``timezone`` is not the offset that its name suggests."""
    warning = time_zone_warning(zone)
    return [document.problem(("timezone",), f"warning: {warning}")] if warning else []


async def _leads_without(connection: Connection, variable: str) -> tuple[int, int]:
    """How many stored leads have no value for the variable, and how many there are."""
    if variable in LEAD_VARIABLES:
        condition = _EMPTY.get(variable, "false")
        row = await connection.fetchrow(
            f"select count(*) filter (where {condition}) as without, count(*) as leads from leads"  # noqa: S608
        )
    else:
        row = await connection.fetchrow(
            "select count(*) filter (where coalesce(attributes ->> $1, '') = '') as without, count(*) as leads from leads",
            variable,
        )
    assert row is not None
    return row["without"], row["leads"]
