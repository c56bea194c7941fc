"""The result of an import, and notes on how the file was understood."""

from typing import Literal

from messaging.common.values import Value
from messaging.leads.device_moves import Moved
from messaging.leads.lead import Lead

__all__ = ["MOST_EXAMPLES", "ImportNote", "ImportSummary", "NoteKind", "Notes", "RejectedRow"]

MOST_EXAMPLES = 5

NoteKind = Literal[
    "several_numbers",
    "without_plus",
    "other_column",
    "account_form",
    "changed_number",
    "one_account",
    "other_status",
    "time_zone",
    "joined_rows",
    "renamed",
    "consent_withdrawn",
    "no_consent",
]

_TEXTS: dict[NoteKind, tuple[str, str]] = {
    "several_numbers": ("row", "more than one number in the phone; the first full one counts"),
    "without_plus": ("row", "a number of another country without +, read with its country code"),
    "other_column": ("row", "the phone is from another column, since the one before it holds none that can be used"),
    "account_form": ("row", "kept in the other spelling of its WhatsApp account"),
    "changed_number": ("row", "a phone that its owner has left, read as the one that they have now"),
    "one_account": ("lead", "in two spellings of one WhatsApp account, joined to one lead"),
    "other_status": ("row", "a status other than 'prospect' and 'customer', kept as the attribute 'status'"),
    "time_zone": ("row", "a time zone that is not what it looks like"),
    "joined_rows": ("row", "another value than a row of the same phone, which counts"),
    "renamed": ("known lead", "an entirely different name than before; the new one counts"),
    "consent_withdrawn": ("known lead", "a consent that was taken back, which only a later consent_at gives anew"),
    "no_consent": ("lead", "a consent of 'no': campaigns and sequences that require consent leave such leads out, the others do not"),
}  # fmt: skip


class ImportNote(Value):
    """A note on something that may have been understood wrongly."""

    kind: NoteKind
    count: int
    text: str
    """The kind of note in one line, with its count."""
    examples: tuple[str, ...]
    """The first examples, one line each."""


class RejectedRow(Value):
    """A row that could not be used."""

    row: int
    reason: str


class ImportSummary(Value):
    """The result of an import: ``rows = imported + updated + unchanged + repeats + rejected``."""

    file: str
    dry_run: bool
    """True if nothing was stored: the rest is what an import would do."""
    rows: int
    """Rows below the header, those without any content left out."""
    imported: int
    """Leads that are new."""
    updated: int
    """Known leads that the file changed."""
    unchanged: int
    """Known leads that the file did not change."""
    repeats: int
    """Rows whose phone is in an earlier usable row, with which they were merged."""
    rejected: int
    """Rows that could not be used; they are in ``rejects_file`` with the reason."""
    rejects_file: str | None
    kept_device: int
    """Known leads that belong to another device than the file says, and that were not moved."""
    moved: Moved | None = None
    """What was moved to the device of the file, if that was asked for."""
    columns: dict[str, tuple[str, ...]]
    """The headings that each field was read from."""
    attributes: tuple[str, ...]
    """The names of the other columns, as templates have them."""
    notes: tuple[ImportNote, ...]
    first_rejected: tuple[RejectedRow, ...]
    first_leads: tuple[Lead, ...]
    """For a dry run: the first rows as they would be stored."""


class Notes:
    """Counts what is to be said, and keeps the first examples."""

    def __init__(self) -> None:
        self._counts: dict[NoteKind, int] = {}
        self._examples: dict[NoteKind, list[str]] = {}

    def add(self, kind: NoteKind, example: str) -> None:
        """One more."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(" ".join(example.split()))

    def set_count(self, kind: NoteKind, count: int) -> None:
        """How many there are, where only the examples were added."""
        self._counts[kind] = count

    def result(self) -> tuple[ImportNote, ...]:
        """The notes, each kind once."""
        return tuple(
            ImportNote(
                kind=kind,
                count=self._counts[kind],
                text=f"{_counted(self._counts[kind], noun)}: {text}",
                examples=tuple(self._examples[kind]),
            )
            for kind, (noun, text) in _TEXTS.items()
            if kind in self._counts
        )


def _counted(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}s"
