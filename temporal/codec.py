"""Encrypts what Drumbeat hands to Temporal, in private mode: inputs, results, memos, summaries, details, headers, failures.

AES-256-GCM, with a random nonce for each payload (NIST SP 800-38D, section 8.2.2). Metadata: ``encoding`` is ``binary/encrypted``, as in
Temporal's own examples, and ``encryption-key-id`` names the key. What is not encrypted is read as it is: it was written before
private mode was switched on.
"""

import dataclasses
import secrets
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from messaging.common.errors import InvalidInput
from messaging.common.private_keys import PrivateKeys

__all__ = ["Codec", "private_data_converter"]

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
NONCE = 12
"""Bytes."""


class Codec(PayloadCodec):
    """Encrypts with the first key, and decrypts with any. Safe to share."""

    def __init__(self, keys: PrivateKeys) -> None:
        self._ciphers = {name.encode(): AESGCM(key) for name, key in keys.payloads.items()}
        self._first = next(iter(self._ciphers))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, each encrypted as a whole, with its metadata."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """The payloads as they were. Raises InvalidInput if a key is missing, or if one is not what we wrote."""
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = secrets.token_bytes(NONCE)
        sealed = self._ciphers[self._first].encrypt(nonce, payload.SerializeToString(), self._first)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: self._first}, data=nonce + sealed)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise InvalidInput(
                f"a payload is encrypted with the key {name.decode(errors='replace')!r}, which DRUMBEAT_PRIVATE_KEYS does not have"
            )
        try:
            plain = cipher.decrypt(payload.data[:NONCE], payload.data[NONCE:], name)
            return Payload.FromString(plain)
        except (InvalidTag, ValueError):
            raise InvalidInput(
                f"a payload cannot be decrypted with the key {name.decode(errors='replace')!r}: another one has this name, or it was changed"
            ) from None


def private_data_converter(keys: PrivateKeys) -> DataConverter:
    """The pydantic data converter, with the codec; messages and stack traces of failures are encrypted too."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=Codec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
