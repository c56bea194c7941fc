"""Which column of a file says what about a lead."""

from typing import NamedTuple

from messaging.errors import InvalidInput
from messaging.identity import normalise_words, parse_phone
from messaging.lead_values import attribute_name, attribute_names, clean_lead, parse_target_status
from messaging.models import Lead

__all__ = ["EXPORTED", "REJECT_COLUMNS", "Columns", "find_columns"]

EXPORTED = ("phone", "name", "niches", "triggers", "target_status", "device", "time_zone")
"""The columns of an export, before the attributes."""

REJECT_COLUMNS = ("import_row", "import_error")
"""What the rejects file adds to a row, and an import of that file passes over."""

# The first of these that a file has is the field's column; the others stay attributes. So an export, which has the
# first of each, is understood whatever its attributes are called.
_HEADINGS = {
    "phone": (
        *(
            "phone",
            "phone_number",
            "phone_no",
            "whatsapp",
            "whatsapp_number",
            "whatsapp_no",
            "whatsapp_phone",
        ),
        *("wa", "wa_number", "mobile", "mobile_number", "mobile_no", "mobile_phone", "cell", "cell_phone"),
        *("cellphone", "cell_number", "handphone", "hp", "no_hp", "no_tel", "no_telefon", "telefon", "tel"),
        *(
            "tel_no",
            "telephone",
            "telephone_number",
            "telephone_no",
            "msisdn",
            "contact_number",
            "contact_no",
        ),
    ),
    "name": ("name", "full_name", "fullname", "nama", "lead_name", "contact_name", "customer_name"),
    "niches": ("niches", "niche"),
    "triggers": ("triggers", "trigger"),
    "target_status": ("target_status", "targetstatus", "status"),
    "device": ("device", "device_id"),
    "time_zone": ("time_zone", "timezone", "tz"),
}


class Columns(NamedTuple):
    """The place of each field among a row's cells, counted from 0; None where the file has no such column."""

    width: int
    phone: int
    name: int | None
    niches: int | None
    triggers: int | None
    target_status: int | None
    device: int | None
    time_zone: int | None
    attributes: tuple[tuple[int, str], ...]

    def lead(self, cells: list[str], default_region: str | None) -> Lead:
        """The lead of a row. Raises InvalidInput with the reason why the row cannot be used."""
        if any(cell.strip() for cell in cells[self.width :]):
            raise InvalidInput(
                f"the row has {len(cells)} columns and the header {self.width}:"
                " is there a comma in a value that is not quoted?"
            )

        def cell(place: int | None) -> str:
            return cells[place] if place is not None and place < len(cells) else ""

        return clean_lead(
            Lead(
                phone=parse_phone(cell(self.phone), default_region),
                name=cell(self.name),
                niches=normalise_words(cell(self.niches)),
                triggers=normalise_words(cell(self.triggers)),
                target_status=parse_target_status(cell(self.target_status)),
                device_id=cell(self.device).strip() or None,
                time_zone=cell(self.time_zone).strip() or None,
                attributes={name: cell(place) for place, name in self.attributes},
            )
        )


def find_columns(header: list[str]) -> Columns | None:
    """What the columns under this header say; None if none of them is a phone."""
    headings = [attribute_name(heading) for heading in header]
    places: dict[str, int | None] = {}
    for field, known in _HEADINGS.items():
        heading = next((heading for heading in known if heading in headings), None)
        places[field] = None if heading is None else headings.index(heading)
    phone = places["phone"]
    if phone is None:
        return None
    taken = set(places.values())
    others = [
        place
        for place, heading in enumerate(headings)
        if place not in taken and heading not in REJECT_COLUMNS
    ]
    names = attribute_names(header[place] for place in others)
    return Columns(
        width=len(header),
        phone=phone,
        name=places["name"],
        niches=places["niches"],
        triggers=places["triggers"],
        target_status=places["target_status"],
        device=places["device"],
        time_zone=places["time_zone"],
        attributes=tuple(zip(others, names, strict=True)),
    )
