"""Finds out which column of a file is which field of a lead."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from messaging.common.errors import InvalidInput, InvalidPhone
from messaging.common.phones import PhoneReading, read_phone
from messaging.common.suggestions import did_you_mean
from messaging.common.words import normalise_words
from messaging.leads.cells import unguarded
from messaging.leads.cleaning import (
    TAGS,
    attribute_name,
    attribute_names,
    clean_lead,
    parse_target_status,
)
from messaging.leads.consent import Consent, consent_of
from messaging.leads.csv_headings import (
    FIELDS,
    FIRST_NAMES,
    LAST_NAMES,
    field_of,
    first_known,
    kind_of_label,
    kind_of_phone,
    label_of,
)
from messaging.leads.lead import Lead
from messaging.times.zones import check_time_zone

__all__ = ["EXPORTED", "REJECT_COLUMNS", "Chosen", "Columns", "RowReading", "find_columns", "parse_chosen"]

EXPORTED = (
    *("phone", "name", "niches", "triggers", "target_status", "device", "time_zone"),
    *("consent", "consent_at", "consent_source"),
)
"""The columns of an export, before the attributes."""

REJECT_COLUMNS = ("import_row", "import_error")
"""The columns that the rejects file adds; an import of that file ignores them."""

Chosen = Mapping[str, Sequence[str]]
"""Columns that the author has chosen: the headings of each field; empty for a field that the file does not have."""


Cell = Callable[[int | None], str]
"""Returns the value of a row at a place."""


class PhoneColumn(NamedTuple):
    """A column of phones; its label column, if there is one, says more than the heading."""

    place: int
    kind: int
    label: int | None = None


class RowReading(NamedTuple):
    """The contents of a row, and how it was understood."""

    lead: Lead
    phone: PhoneReading
    written: str
    """The phone as it is written in the file."""
    place: int
    """The column that the phone is from."""
    passed_over: str | None
    """Why it is not from the first phone column; None if it is."""
    other_status: str | None
    """A status other than prospect or customer: it is kept as an attribute."""


class Columns(NamedTuple):
    """The places of the fields among a row's cells, counted from 0. ``phones``: the most preferred first."""

    width: int
    phones: tuple[PhoneColumn, ...]
    names: tuple[tuple[int, ...], ...]
    """Places that together are the name; the next ones count where these are empty."""
    niches: int | None
    triggers: int | None
    target_status: int | None
    any_status: bool
    """True if the column of the target status is a guess: then another word in it is no error."""
    device: int | None
    time_zone: int | None
    consent: int | None
    consent_at: int | None
    consent_source: int | None
    """In an export only; any other file is the source itself."""
    attributes: tuple[tuple[int, str], ...]
    """Among them the tags, whatever their heading is."""

    def read(self, cells: list[str], default_region: str | None) -> RowReading:
        """Reads a row. Raises InvalidInput with the reason if the row cannot be used."""
        if any(cell.strip() for cell in cells[self.width :]):
            raise InvalidInput(
                f"the row has {len(cells)} columns and the header {self.width}:"
                " is there a comma in a value that is not quoted?"
            )

        def cell(place: int | None) -> str:
            return unguarded(cells[place]) if place is not None and place < len(cells) else ""

        place, phone, passed_over = self._phone(cell, default_region)
        status = cell(self.target_status)
        other_status = None
        try:
            target_status = parse_target_status(status)
        except InvalidInput:
            if not self.any_status:
                raise
            target_status, other_status = None, status.strip()
        elsewhere = {place, None if other_status else self.target_status}
        lead = clean_lead(
            Lead(
                phone=phone.phone,
                name=next(filter(None, (self._joined(cell, places) for places in self.names)), ""),
                niches=normalise_words(cell(self.niches)),
                triggers=normalise_words(cell(self.triggers)),
                target_status=target_status,
                device_id=cell(self.device).strip() or None,
                time_zone=self._zone(cell),
                attributes={name: cell(at) for at, name in self.attributes if at not in elsewhere},
                consent=self._consent(cell),
            )
        )
        return RowReading(lead, phone, cell(place).strip(), place, passed_over, other_status)

    def phone_of(self, cells: list[str], default_region: str | None) -> tuple[str | None, str]:
        """The phone of a row that cannot be used: in E.164, if it has one, and as it is written."""
        written = [unguarded(cells[one.place]).strip() for one in self.phones if one.place < len(cells)]
        for text in filter(None, written):
            with suppress(InvalidPhone):
                return read_phone(text, default_region).phone, text
        return None, next(filter(None, written), "")

    def _phone(self, cell: Cell, default_region: str | None) -> tuple[int, PhoneReading, str | None]:
        """The best usable phone: one that can be a mobile, from the best column.

        With its place, and why the first column is not the one.
        """
        if len(self.phones) == 1:
            place = self.phones[0].place
            return place, read_phone(cell(place), default_region), None
        labelled = any(column.label is not None for column in self.phones)
        found: list[tuple[bool, int, int, PhoneReading]] = []
        wrong: dict[int, InvalidPhone] = {}
        for order, column in enumerate(self.phones):
            kind = kind_of_label(cell(column.label)) if column.label is not None else None
            try:
                reading = read_phone(cell(column.place), default_region)
            except InvalidPhone as error:
                wrong[order] = error
            else:
                found.append((reading.landline, column.kind if kind is None else kind, order, reading))
                if not (labelled or reading.landline):
                    break  # the others stand behind it
        if not found:
            filled = (order for order in wrong if cell(self.phones[order].place).strip())
            raise wrong[next(filled, 0)]
        _, _, order, reading = min(found, key=lambda one: one[:3])
        passed_over = None
        if order:
            passed_over = str(wrong[0]) if 0 in wrong else "it is a landline, or labelled otherwise"
        return self.phones[order].place, reading, passed_over

    def _zone(self, cell: Cell) -> str | None:
        name = cell(self.time_zone).strip()
        try:
            return check_time_zone(name) if name else None
        except InvalidInput as error:
            raise InvalidInput(
                f"{error}; where the column means something else, add --map time_zone="
            ) from error

    def _consent(self, cell: Cell) -> Consent | None:
        try:
            return consent_of(cell(self.consent), cell(self.consent_at), cell(self.consent_source))
        except InvalidInput as error:
            raise InvalidInput(
                f"{error}; where the column means something else, add --map consent= or --map consent_at="
            ) from error

    @staticmethod
    def _joined(cell: Cell, places: tuple[int, ...]) -> str:
        return " ".join(filter(None, (cell(place).strip() for place in places)))

    def format_headings(self, header: list[str]) -> dict[str, tuple[str, ...]]:
        """The headings of each field, for people to read; ``First + Last`` where two are one value."""
        single = {
            "niches": self.niches,
            "triggers": self.triggers,
            "target_status": self.target_status,
            "device": self.device,
            "time_zone": self.time_zone,
            "consent": self.consent,
            "consent_at": self.consent_at,
            "tags": next((place for place, name in self.attributes if name == TAGS), None),
        }
        groups = {
            "phone": [(column.place,) for column in self.phones],
            "name": self.names,
            **{field: [(place,)] for field, place in single.items() if place is not None},
        }
        return {
            field: tuple(" + ".join(header[place].strip() for place in places) for places in found)
            for field, found in groups.items()
            if found
        }


def parse_chosen(texts: Iterable[str]) -> dict[str, list[str]]:
    """``phone=Phone 1 - Value`` and the like; a field more than once has more than one column, one without a column none.

    Raises InvalidInput for a field that there is not.
    """
    chosen: dict[str, list[str]] = {}
    for text in texts:
        word, equals, heading = text.partition("=")
        field = field_of(word)
        if not equals or field is None:
            known = ["phone", *FIELDS]
            hint = "" if equals and not word.strip() else f" {did_you_mean(word.strip(), known)}"
            raise InvalidInput(
                f"{text!r} does not name a field and its column, as phone='Phone 1 - Value' does:{hint}".rstrip(
                    ":"
                )
            )
        chosen.setdefault(field, [])
        if heading.strip():
            chosen[field].append(heading.strip())
    return chosen


def find_columns(header: list[str], chosen: Chosen | None = None) -> Columns | None:
    """The columns under this header; None if none of them is a phone.

    Raises InvalidInput for a chosen column that the header does not have.
    """
    headings = [attribute_name(heading) for heading in header]
    named = {field: [_place(header, headings, one) for one in ones] for field, ones in (chosen or {}).items()}
    taken = {place for places in named.values() for place in places}
    free = ["" if place in taken else heading for place, heading in enumerate(headings)]
    # In an export, only the field names count as fields, whatever the attributes are called.
    exported = not named and set(EXPORTED) <= set(headings)

    def column(field: str) -> int | None:
        if field not in named:
            return first_known(FIELDS[field], free)
        if len(named[field]) > 1:
            raise InvalidInput(f"the {field} can be in one column only, not in {len(named[field])}")
        return named[field][0] if named[field] else None

    phones = _phones(free, named.get("phone"), exported=exported)
    if not phones:
        return None
    names = _names(free, named.get("name"), exported=exported)
    status = column("target_status")
    any_status = status is not None and "target_status" not in named and headings[status] == "status"
    tags = column(TAGS)
    fields = [
        column(field) for field in ("niches", "triggers", "device", "time_zone", "consent", "consent_at")
    ]
    consent_source = headings.index("consent_source") if exported else None
    # First and last name stay attributes, for a text that greets by one of them; so do phones that a row does not use.
    done = {
        *fields,
        tags,
        consent_source,
        *(
            places[0]
            for places in names
            if len(places) == 1 and free[places[0]] not in (*FIRST_NAMES, *LAST_NAMES)
        ),
        *([phones[0].place] if len(phones) == 1 else []),
        *([] if any_status else [status]),
    }
    others = [
        place for place, heading in enumerate(headings) if place not in done and heading not in REJECT_COLUMNS
    ]
    niches, triggers, device, time_zone, consent, consent_at = fields
    names_of_others = attribute_names(
        [*([TAGS] if tags is not None else []), *(header[place] for place in others)]
    )
    others = [*([tags] if tags is not None else []), *others]
    return Columns(
        width=len(header),
        phones=phones,
        names=names,
        niches=niches,
        triggers=triggers,
        target_status=status,
        any_status=any_status,
        device=device,
        time_zone=time_zone,
        consent=consent,
        consent_at=consent_at,
        consent_source=consent_source,
        attributes=tuple(zip(others, names_of_others, strict=True)),
    )


def _phones(headings: list[str], named: list[int] | None, *, exported: bool) -> tuple[PhoneColumn, ...]:
    if named is not None:
        return tuple(PhoneColumn(place, order) for order, place in enumerate(named))
    if exported:
        return (PhoneColumn(headings.index("phone"), 0),)
    found = [
        PhoneColumn(place, kind, first_known(label_of(heading), headings))
        for place, heading in enumerate(headings)
        if (kind := kind_of_phone(heading)) is not None
    ]
    return tuple(sorted(found, key=lambda column: column[:2][::-1]))


def _names(headings: list[str], named: list[int] | None, *, exported: bool) -> tuple[tuple[int, ...], ...]:
    if named is not None:
        return (tuple(named),) if named else ()
    full = first_known(FIELDS["name"], headings)
    parts = () if exported else (first_known(FIRST_NAMES, headings), first_known(LAST_NAMES, headings))
    groups = (() if full is None else (full,), tuple(place for place in parts if place is not None))
    return tuple(group for group in groups if group)


def _place(header: list[str], headings: list[str], wanted: str) -> int:
    """The place of the chosen column, if its name matches exactly or nearly."""
    for place, heading in enumerate(header):
        if heading.strip() == wanted:
            return place
    if attribute_name(wanted) in headings:
        return headings.index(attribute_name(wanted))
    shown = ", ".join(repr(heading.strip()[:40]) for heading in header[:40] if heading.strip())
    raise InvalidInput(f"there is no column {wanted!r}: the columns are {shown}")
