"""A lead, as a service or a file knows it."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from messaging.common.values import Value
from messaging.common.whatsapp_numbers import canonical_phone
from messaging.leads.consent import Consent

__all__ = ["Lead", "TargetStatus"]


class TargetStatus(StrEnum):
    """Whether a lead has bought already."""

    PROSPECT = "prospect"
    CUSTOMER = "customer"


class Lead(Value):
    """A lead, as a service or a file knows it. Unset fields leave what is stored as it is.

    ``phone`` is E.164: build it with :func:`messaging.common.phones.parse_phone`. Of two spellings of one WhatsApp account
    it becomes the one that is kept.
    """

    phone: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{1,14}$"), AfterValidator(canonical_phone)]
    name: str = ""
    niches: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    target_status: TargetStatus | None = None
    device_id: str | None = None
    time_zone: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    consent: Consent | None = None
