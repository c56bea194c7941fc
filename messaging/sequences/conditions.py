"""The conditions of a step (``if`` in a file): when a contact gets it, and when it is passed over.

They are stored with the step and checked by the claim (``failed_condition`` in the ledger's functions). All of them must
hold.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from messaging.common.errors import InvalidInput
from messaging.files.fields import FileModel, as_field, parse_niche
from messaging.leads.cleaning import FIELD_NAMES, attribute_name, clean_text, parse_target_status

__all__ = ["ConditionsFile", "asks_for_reply"]

_BESIDE = {"niche": "niche", "niches": "niche", "target_status": "status"}
"""Columns that have a condition of their own."""


def _values(given: object, what: str) -> tuple[str, ...]:
    """One value or a list of them, in the form that leads have."""
    values = given if isinstance(given, list) else [given]
    found = []
    for value in values:
        if isinstance(value, bool):
            found.append(str(value).lower())
        elif isinstance(value, str | int):
            found.append(clean_text(str(value), what))
        else:
            raise InvalidInput(
                f'{what} has no value, write e.g. {what}: KL, or {what}: "" for leads without one'
            )
    if not found:
        raise InvalidInput(f"the list of {what} is empty, write e.g. {what}: [KL, Penang]")
    return tuple(dict.fromkeys(found))


def _attribute(given: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, dict) or not given:
        raise InvalidInput("holds no attributes, write e.g. {city: KL}")
    found: dict[str, tuple[str, ...]] = {}
    for written, value in given.items():
        name = attribute_name(written)
        if name in _BESIDE:
            raise InvalidInput(f"{written!r} is no attribute, write {_BESIDE[name]!r} beside 'attribute'")
        if name in FIELD_NAMES or not name:
            raise InvalidInput(
                f"{written!r} is no attribute, write the name of another column of your leads' files"
            )
        if name in found:
            raise InvalidInput(f"{written!r} is given twice: leads have it as {name!r}")
        found[name] = _values(value, written)
    return found


def _niche(given: object) -> tuple[str, ...]:
    values = given if isinstance(given, list) and given else [given]
    words = [value for value in values if isinstance(value, str)]
    if len(words) < len(values):
        raise InvalidInput("is neither a niche nor a list of niches, write e.g. VITAMINS")
    return tuple(dict.fromkeys(map(parse_niche, words)))


def _status(word: str) -> str:
    try:
        status = parse_target_status(word)
    except InvalidInput:
        status = None
    if status is None:
        raise InvalidInput(f"{word!r} is no status of leads, write prospect or customer")
    return status.value


class ConditionsFile(FileModel):
    """The conditions of one step as its file has them, with the values in the form that leads have."""

    replied: bool | None = None
    """Whether the contact has replied since it was enrolled."""
    read: bool | None = None
    """Whether it has read the message that was sent before."""
    delivered: bool | None = None
    """Whether the message that was sent before has arrived."""
    attribute: Annotated[dict[str, tuple[str, ...]], BeforeValidator(as_field(_attribute))] | None = None
    """For each attribute, the values of which the lead must have one; an empty text means no value."""
    niche: Annotated[tuple[str, ...], BeforeValidator(as_field(_niche))] | None = None
    """The niches of which the lead must have one."""
    status: Annotated[str, AfterValidator(as_field(_status))] | None = None

    def stored(self) -> dict[str, Any]:
        """The form in which the step's row has them."""
        return self.model_dump(mode="json", exclude_none=True)


def asks_for_reply(conditions: ConditionsFile | None) -> bool:
    """True if the conditions tell contacts that have replied from those that have not."""
    return conditions is not None and conditions.replied is not None
