"""The WhatsApp Cloud API's error codes: what they mean for a message, and what an operator can do.

Decided by the code, whatever the HTTP status, as Meta advises. Sources: Meta's pages "Error codes" of the WhatsApp
Business Platform (May 2026) and "Handling errors" of the Graph API.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from messaging.gateways.base import (
    DeviceUnfit,
    GatewayError,
    NotAccepted,
    Refused,
    RefusedBecause,
    WrongContent,
)
from messaging.gateways.http import HttpClient, format_words

__all__ = ["Meaning", "ReportedError", "Rule", "as_error", "read_error"]

SLOW_DOWN = 60.0
"""Seconds. These limits count the calls of a whole hour."""
THROUGHPUT = 5.0
"""Seconds. This limit counts the messages of one second."""
PAIR = 6.0
"""Seconds, at least: one message to a person every six seconds from one number."""
FLOW = 600.0
"""Seconds. A throttled flow takes ten messages an hour."""


class Meaning(Enum):
    """What an error means for its message."""

    LATER = "not now: Meta is at fault"
    UNKNOWN = "perhaps: Meta does not say"
    DEVICE_WAITS = "not now: the device sends too fast"
    MESSAGE_WAITS = "not now: too fast for this recipient"
    UNFIT = "nothing from this device"
    REFUSED = "not to this recipient"
    WRONG = "to no recipient, as the step is"


@dataclass(frozen=True)
class Rule:
    """The meaning of a code. ``wait``: seconds, if Meta does not say how long.

    ``way_out``: advice for the operator, which fits an answer as well as a webhook, after which nothing is tried again.
    """

    meaning: Meaning
    way_out: str
    wait: float | None = None
    because: RefusedBecause | None = None


@dataclass(frozen=True)
class ReportedError:
    """One error of an answer or a webhook. ``rule`` is None if the code is not known here."""

    words: str
    rule: Rule | None
    code: int | None = None

    def __str__(self) -> str:
        """One line: Meta's words, the code, the way out."""
        return f"{self.words}; {self.rule.way_out}" if self.rule else self.words


_TOKEN = "put a new access token where the device's token_env or token_file points"  # noqa: S105
_PERMISSION = "give the token's app the permission whatsapp_business_messaging for this number"
_RESTRICTED = "Meta has restricted the account: see Business Support Home"
_NUMBER = "check the device's option phone_number_id, and that its token may use that number"
_REGISTER = "register the number for the Cloud API (POST /{phone_number_id}/register)"
_PARAMETERS = "check the step's text, image and template"
_TEMPLATE = "compare the step with its template in WhatsApp Manager: name, language, parameters, header"
_PAUSED = "edit the template in WhatsApp Manager, or give the step another"
_IMAGE = "check the step's image: Meta could not fetch or take it"
_HOLD = "if it comes often, make the device send slower"


def _table(*rows: tuple[Iterable[int], Rule]) -> Mapping[int, Rule]:
    return {code: rule for codes, rule in rows for code in codes}


_RULES = _table(
    ((2, 131016, 133004), Rule(Meaning.LATER, "Meta is down or overloaded for a while")),
    ((131043,), Rule(Meaning.LATER, "Meta could not pass it on within its time to live")),
    ((131057,), Rule(Meaning.LATER, "Meta has the account in maintenance for a while")),
    ((1, 131000), Rule(Meaning.UNKNOWN, "Meta does not say more")),
    # Limits of the application, the account, and those of Meta's own choice for one kind of calls.
    ((4, 17, 32, 341, 613, *range(80000, 80015)), Rule(Meaning.DEVICE_WAITS, _HOLD, SLOW_DOWN)),
    ((130429,), Rule(Meaning.DEVICE_WAITS, _HOLD, THROUGHPUT)),
    ((131056,), Rule(Meaning.MESSAGE_WAITS, "one number may write to one person every six seconds", PAIR)),
    ((132069,), Rule(Meaning.MESSAGE_WAITS, "Meta throttles the template's flow: mend its endpoint", FLOW)),
    # The device.
    ((0, 102, 190), Rule(Meaning.UNFIT, _TOKEN)),
    ((3, 10, *range(200, 300), 131005), Rule(Meaning.UNFIT, _PERMISSION)),
    ((33, 803), Rule(Meaning.UNFIT, _NUMBER)),
    ((368, 131031), Rule(Meaning.UNFIT, _RESTRICTED)),
    (
        (131048,),
        Rule(Meaning.UNFIT, "too many have blocked or reported it: see its quality in WhatsApp Manager"),
    ),
    ((131037,), Rule(Meaning.UNFIT, "have the number's display name approved in WhatsApp Manager")),
    ((131042,), Rule(Meaning.UNFIT, "mend the account's payment method in WhatsApp Manager")),
    ((131045, 133006, 133010), Rule(Meaning.UNFIT, _REGISTER)),
    # The recipient.
    (
        (131026,),
        Rule(Meaning.REFUSED, "they are not on WhatsApp, use an old app, or have not agreed to its terms"),
    ),
    ((131021,), Rule(Meaning.REFUSED, "it is the device's own number")),
    (
        (131030,),
        Rule(Meaning.REFUSED, "a test number sends only to its own list: add them, or use a real number"),
    ),
    (
        (131047,),
        Rule(
            Meaning.REFUSED,
            "outside the 24-hour window of their last message it needs a template",
            because="outside window",
        ),
    ),
    (
        (131049,),
        Rule(Meaning.REFUSED, "Meta limits the marketing messages of each person: do not repeat it soon"),
    ),
    ((130472,), Rule(Meaning.REFUSED, "Meta keeps marketing messages from them, as an experiment")),
    (
        (131050,),
        Rule(
            Meaning.REFUSED,
            "they have stopped this business's marketing messages",
            because="stopped marketing",
        ),
    ),
    ((130497,), Rule(Meaning.REFUSED, "Meta does not let this account write to that country")),
    # The step. All of 132000 is about templates; a later row goes before an earlier one.
    ((100, 131008, 131009, 131051, 135000), Rule(Meaning.WRONG, _PARAMETERS)),
    ((131052, 131053), Rule(Meaning.WRONG, _IMAGE)),
    ((131058, *range(132000, 132019), 132068), Rule(Meaning.WRONG, _TEMPLATE)),
    ((132015, 132016), Rule(Meaning.WRONG, _PAUSED)),
)

_PASSING = Rule(Meaning.LATER, "Meta says that it passes")
"""For a code that is not known here, Meta's field is_transient says that the same request may succeed later. For known
codes it is not used: rate limits have been seen with false.
"""

_NO_SUCH_OBJECT = (100, 33)
"""Code and subcode of a phone number ID that does not exist, or that the token may not see."""

_OF_PARAMETERS = (100, 131009)
_RECIPIENT = re.compile(
    r"""(?ix) [`'"\[(] to [`'"\])]                                 # Invalid value for "to"
      | \b param(?:eter)? \s to \s (?:is|must|has) \b              # The parameter to is required
      | \b recipient (?:'s)? \s (?:phone|number|wa_?id|whatsapp|address) \b
    """
)
_WRONG_RECIPIENT = Rule(Meaning.REFUSED, "check the recipient's number")


def read_error(error: Any, *, hide: str = "") -> ReportedError | None:
    """Parses an error object of an answer or a webhook; None if it is none.

    ``hide``: a credential that Meta's words may repeat.
    """
    if not isinstance(error, Mapping):
        return None
    code = _number(error.get("code"))
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, Mapping) else None
    texts = [_format_text(text, code, hide) for text in (details, error.get("message"), error.get("title"))]
    words = next(filter(None, texts), "")
    if code is None:
        return ReportedError(words, None) if words else None
    rule = _rule(code, _number(error.get("error_subcode")), " ".join(texts))
    if rule is None and error.get("is_transient") is True:
        rule = _PASSING
    return ReportedError(f"{words} ({code})" if words else f"({code})", rule, code)


def as_error(words: str, rule: Rule, client: HttpClient, retry_after: float | None) -> GatewayError:
    """The error that follows from the rule. ``retry_after``: seconds that the gateway asked for, if any."""
    if rule.meaning is Meaning.UNKNOWN:
        return client.maybe(words)
    said = f"{client.name} refuses: {words}"
    wait = rule.wait if retry_after is None else retry_after
    match rule.meaning:
        case Meaning.LATER | Meaning.DEVICE_WAITS:
            return NotAccepted(said, retry_after=wait)
        case Meaning.MESSAGE_WAITS:
            return NotAccepted(said, retry_after=max(wait or 0.0, PAIR), concerns="message")
        case Meaning.UNFIT:
            return DeviceUnfit(said)
        case Meaning.WRONG:
            return WrongContent(said)
        case Meaning.REFUSED:
            return Refused(said, because=rule.because)


def _rule(code: int, subcode: int | None, texts: str) -> Rule | None:
    if (code, subcode) == _NO_SUCH_OBJECT:
        return Rule(Meaning.UNFIT, _NUMBER)
    if code in _OF_PARAMETERS and _RECIPIENT.search(texts):
        return _WRONG_RECIPIENT
    return _RULES.get(code)


def _number(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _format_text(text: Any, code: int | None, hide: str) -> str:
    """Meta's text without credentials, and without the code with which it often begins."""
    return format_words(text, hide).removeprefix(f"(#{code})").strip()
