"""Verifies that webhooks come from the gateway: by an HMAC of the body, or by a token, compared in constant time."""

import hashlib
import hmac
from collections.abc import Mapping

from messaging.gateways.base import DeviceUnfit, Unauthentic
from messaging.gateways.options import ENVIRONMENT, FILE, Options, secret
from messaging.gateways.well_known_secrets import is_well_known

__all__ = ["check_signature", "same", "webhook_secret"]

SIGNATURE = "x-hub-signature-256"
"""Meta's header, which other gateways use too: ``sha256=`` and the HMAC-SHA256 of the body in hexadecimal."""


def check_signature(headers: Mapping[str, str], body: bytes, key: str, name: str) -> None:
    """Raises Unauthentic if the signature is missing or wrong. ``name``: the option that ``key`` belongs to."""
    signature = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    if not same(headers.get(SIGNATURE, ""), signature):
        raise Unauthentic(f"the webhook's signature is missing, or was not made with the device's {name}")


def same(given: str, expected: str) -> bool:
    """True if the two are equal; the time that this takes does not reveal where they differ."""
    # A header or a query may contain invalid Unicode, and must be compared all the same.
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def webhook_secret(options: Options, name: str, gateway: str, *, signs: bool = True) -> str:
    """The credential for webhooks. Raises Unauthentic if there is none or strangers know it, as no webhook can be
    verified then. ``signs``: False for one that signs nothing, with which strangers can forge nothing.
    """
    try:
        value = secret(options, name)
    except DeviceUnfit as missing:
        raise Unauthentic(str(missing)) from None
    if value is None:
        raise Unauthentic(
            f"webhooks of {gateway} cannot be checked: give the device the option"
            f" {name}{ENVIRONMENT}=VARIABLE or {name}{FILE}=PATH"
        )
    if signs and is_well_known(value):
        raise Unauthentic(
            f"webhooks of {gateway} cannot be checked, as everybody knows the device's {name}: {options.proofs[name]}"
        )
    return value
