"""Secrets that are none: defaults of gateways, examples of manuals, placeholders, and what people type first."""

import re

__all__ = ["MAKE_ONE", "is_well_known"]

MAKE_ONE = "make one with 'openssl rand -hex 32', and give it to the gateway too"

_KNOWN = frozenset(
    (
        # GOWA's default, and the examples of its documents (docs/webhook-payload.md, src/.env.example).
        *("secret", "secretkey", "supersecret", "supersecretkey", "topsecret", "mysecretkey"),
        # Meta's example ("Graph API: webhooks, getting started").
        "meatyhamhock",
        # What people type first.
        *("password", "passw0rd", "admin", "administrator", "root", "default", "none", "null", "undefined"),
        *("test", "testing", "example", "qwerty", "letmein", "welcome", "drumbeat", "whatsapp", "gowa"),
    )
)
_PLACEHOLDER = re.compile(
    r"change_?(me|this|it)|replace_?(me|this|with)|placeholder|fill_?(me|this)?_?in|^your_|^<.*>$|^\$\{?[a-z_]+\}?$"
)


def is_well_known(secret: str) -> bool:
    """True if strangers know or guess it at once. Case, blanks and punctuation do not make it another one."""
    plain = secret.strip().casefold()
    letters = re.sub(r"[\W_]", "", plain)
    return (
        letters in _KNOWN
        or letters.rstrip("0123456789") in _KNOWN
        or len(set(letters)) < 2
        or letters in "01234567890123456789"
        or _PLACEHOLDER.search(re.sub(r"[\s-]", "_", plain)) is not None
    )
