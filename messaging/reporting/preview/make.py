"""Makes a preview: renders what everybody would get, and shows some of it in full."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from messaging.campaigns.store import list_campaigns
from messaging.common.database import Connection, Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.common.suggestions import did_you_mean
from messaging.gateways.images import ImageStore
from messaging.reporting.preview.people import Person, campaign_people, sequence_people
from messaging.reporting.preview.rendering import render_all
from messaging.reporting.preview.report import Preview, PreviewedLead, PreviewFault
from messaging.sequences.store import find_sequence

__all__ = ["make_preview"]

PAGE = 500
"""People whose messages are rendered between two reports of progress."""

MOST = 1000
"""People that are shown in full."""

EXAMPLES = 3

Progress = Callable[[int, int], None]

SELECT_NAMES = "select name from sequences union all select name from campaigns order by name"

SELECT_PHONES = """
select given, present_phone(given) as phone, exists (select from leads where phone = present_phone(given)) as known
  from unnest($1::text[]) given
"""


async def make_preview(
    pool: Pool,
    images: ImageStore,
    name: str,
    phones: Sequence[str] = (),
    *,
    sample: int = 5,
    check_all: bool = True,
    progress: Progress = lambda _done, _all: None,
) -> Preview:
    """What the people of the sequence or campaign of that name would get.

    ``phones`` (E.164): only these, whatever their standing; else a ``sample`` of all is shown in full, and
    everybody is rendered to find what would fail, unless ``check_all`` says not to. Raises NotFound for an unknown name or
    phone, and InvalidInput if both a sequence and a campaign have the name.
    """
    if not 0 <= sample <= MOST:
        raise InvalidInput(f"--sample takes a number from 0 to {MOST:,}")
    async with pool.acquire() as connection:
        named = await connection.fetch(SELECT_PHONES, list(phones))
        for one in named:
            if not one["known"]:
                raise NotFound(f"there is no lead with the phone {one['given']}")
        kind, state, people, now = await _people(connection, name, [one["phone"] for one in named] or None)
        shown = people if phones else people[:sample]
        checked = people if check_all or phones else shown
        leads, faults = list[PreviewedLead](), _Faults()
        for first in range(0, len(checked), PAGE):
            page = checked[first : first + PAGE]
            rendered = iter(
                await render_all(connection, images, [one for person in page for one in person.wanted], now)
            )
            for place, person in enumerate(page, first):
                lead = PreviewedLead(
                    phone=person.phone,
                    name=person.name,
                    zone=person.zone,
                    standing=person.standing,
                    messages=tuple(next(rendered) for _ in person.wanted),
                )
                faults.note(lead)
                if place < len(shown):
                    leads.append(lead)
            progress(min(first + PAGE, len(checked)), len(checked))
    return Preview(
        kind=kind,
        name=name,
        state=state,
        of=len(people),
        checked=len(checked),
        leads=tuple(leads),
        faults=faults.found(),
    )


async def _people(
    connection: Connection, name: str, phones: list[str] | None
) -> tuple[Literal["sequence", "campaign"], str, list[Person], datetime]:
    sequence = await find_sequence(connection, name)
    campaign = await connection.fetchval("select true from campaigns where name = $1", name)
    if sequence is not None and campaign:
        raise InvalidInput(f"both a sequence and a campaign have the name {name!r}: rename one")
    if sequence is not None:
        people, now = await sequence_people(connection, sequence, phones)
        return "sequence", f"{sequence.status}, revision {sequence.revision}", people, now
    if campaign:
        (summary,) = await list_campaigns(connection, name)
        people, now = await campaign_people(connection, name, phones)
        return "campaign", f"{summary.status}, starts {summary.when}", people, now
    names = [row["name"] for row in await connection.fetch(SELECT_NAMES)]
    hint = did_you_mean(name, names)
    raise NotFound(f"there is no sequence or campaign {name!r}" + (f"; {hint}" if hint else ""))


class _Faults:
    """Counts what keeps messages from going out, by people."""

    def __init__(self) -> None:
        self._leads: dict[tuple[str, str | None, str], list[str]] = {}
        self._counts: dict[tuple[str, str | None, str], int] = {}

    def note(self, lead: PreviewedLead) -> None:
        """Counts those of one person."""
        for message in lead.messages:
            found = [*message.faults, *(("note", note) for note in message.notes)]
            for kind, why in found:
                key = (kind, message.step, why)
                self._counts[key] = self._counts.get(key, 0) + 1
                examples = self._leads.setdefault(key, [])
                if len(examples) < EXAMPLES:
                    examples.append(lead.phone)

    def found(self) -> tuple[PreviewFault, ...]:
        """Failures first, and of each kind the most frequent."""
        order = ("fails", "not sent", "waits", "note")
        keys = sorted(self._counts, key=lambda key: (order.index(key[0]), -self._counts[key], key[1] or ""))
        return tuple(
            PreviewFault.model_validate(
                {
                    "kind": kind,
                    "step": step,
                    "why": why,
                    "leads": self._counts[kind, step, why],
                    "examples": tuple(self._leads[kind, step, why]),
                }
            )
            for kind, step, why in keys
        )
