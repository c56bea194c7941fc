"""The keys of private mode, in which Temporal's servers see no phone, name or text.

The file is TOML. ``ids`` makes the pseudonyms of phones; it stays the same for ever, as workflow IDs contain them. ``[payloads]`` has
the keys of contents by their ID: the first one encrypts, and all of them decrypt.
"""

import base64
import hmac
import os
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from messaging.common.errors import Conflict, InvalidInput
from messaging.common.phones import require_e164

__all__ = [
    "PrivateKeys",
    "add_key",
    "known_as",
    "new_keys",
    "present_keys",
    "read_keys",
    "rotate",
    "use_keys",
]

BYTES = 32
"""Of each key: AES-256, and as many for HMAC-SHA-256 (RFC 2104, section 3: not less than its output)."""

PSEUDONYM = 26
"""Letters and digits of base32, five bits each: 130 bits, so two phones never get the same one."""

LARGEST = 64 * 1024
HEAD = """\
# Drumbeat's private keys. Without them nobody reads what Temporal has stored, and no contact is found: keep copies in a safe place.
# ids: never change it. payloads: the first key encrypts, all decrypt. 'key add' adds one; 'key rotate' puts the newest one first.
"""


class PrivateKeys(NamedTuple):
    """``ids``: the key of pseudonyms. ``payloads``: those of contents by their ID, the one that encrypts first."""

    ids: bytes
    payloads: Mapping[str, bytes]

    def pseudonym(self, phone: str) -> str:
        """What stands for the phone (E.164) in workflow IDs and search attributes: the same always, and ``p`` first."""
        return f"p{_letters(self.ids, b'phone:' + require_e164(phone).encode())}"

    def check(self) -> str:
        """What the ledger keeps to know ``ids`` again. It tells nothing of the key."""
        return _letters(self.ids, b"check")


def read_keys(path: Path) -> PrivateKeys:
    """The keys in the file. Raises InvalidInput, which names the file and how to mend it."""
    try:
        # Non-blocking: a pipe would block for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(LARGEST)
        if path.stat().st_mode & 0o077 and not str(path).startswith("/run/secrets/"):
            raise _unusable(path, f"others may read it: chmod 600 {path}")
        return _parsed(tomllib.loads(text.decode()))
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(path, "is no text; 'key new FILE' makes one") from None
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise _unusable(path, f"{error}; 'key new FILE' makes one") from None


def new_keys(path: Path) -> str:
    """Writes a file with new keys, which only its owner reads; answers the ID of the key for contents.

    Raises Conflict if there is a file already, and InvalidInput if none can be written.
    """
    name = _fresh(())
    keys = PrivateKeys(secrets.token_bytes(BYTES), {name: secrets.token_bytes(BYTES)})
    try:
        _write(path, keys, os.O_EXCL)
    except FileExistsError:
        raise Conflict(f"{path} is there already, and stays as it is: 'key add' adds a key to it") from None
    except OSError as error:
        raise _unusable(path, f"cannot be written: {error.strerror}") from None
    return name


def add_key(path: Path) -> str:
    """Puts a new key for contents last, so that it decrypts; answers its ID. Raises InvalidInput."""
    keys = read_keys(path)
    name = _fresh(keys.payloads)
    _replace(path, keys._replace(payloads={**keys.payloads, name: secrets.token_bytes(BYTES)}))
    return name


def rotate(path: Path) -> str:
    """Puts the newest key for contents first, so that it encrypts; answers its ID. Raises InvalidInput and Conflict."""
    keys = read_keys(path)
    if len(keys.payloads) == 1:
        raise Conflict(
            f"{path} has one key for contents: 'key add' adds another one, which all processes need first"
        )
    name = list(keys.payloads)[-1]
    _replace(path, keys._replace(payloads={name: keys.payloads[name], **keys.payloads}))
    return name


def _replace(path: Path, keys: PrivateKeys) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        _write(draft, keys, os.O_EXCL)
        draft.replace(path)
    except OSError as error:
        raise _unusable(path, f"cannot be written: {error.strerror}") from None


_present: PrivateKeys | None = None


def use_keys(keys: PrivateKeys | None) -> None:
    """Makes them the keys of this process. None: it is not in private mode."""
    global _present
    _present = keys


def present_keys() -> PrivateKeys | None:
    """The keys of this process, which are the same as long as it runs; None outside of private mode."""
    return _present


def known_as(phone: str, *, private: bool = True) -> str:
    """What Temporal is to know the phone by: its pseudonym in private mode, else itself. ``phone`` is E.164.

    ``private``: False for what began before private mode was switched on.
    """
    return require_e164(phone) if _present is None or not private else _present.pseudonym(phone)


def _letters(key: bytes, words: bytes) -> str:
    digest = hmac.digest(key, b"drumbeat:" + words, "sha256")
    return base64.b32encode(digest).decode().lower()[:PSEUDONYM]


def _fresh(taken: Iterable[str]) -> str:
    while (name := secrets.token_hex(4)) in taken:
        pass
    return name


def _write(path: Path, keys: PrivateKeys, flags: int) -> None:
    lines = [HEAD, f'ids = "{_text(keys.ids)}"\n\n[payloads]\n']
    lines += [f'"{name}" = "{_text(key)}"\n' for name, key in keys.payloads.items()]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _parsed(given: dict[str, Any]) -> PrivateKeys:
    if unknown := sorted(given.keys() - {"ids", "payloads"}):
        raise ValueError(f"it has {unknown[0]!r}, where ids and [payloads] are known")
    payloads = given.get("payloads")
    if not isinstance(payloads, dict) or not payloads:
        raise ValueError("it has no key in [payloads]")
    return PrivateKeys(
        _key("ids", given.get("ids")), {name: _key(f"payloads.{name}", key) for name, key in payloads.items()}
    )


def _key(name: str, text: object) -> bytes:
    try:
        key = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        key = b""
    if len(key) != BYTES:
        raise ValueError(f"{name} is no key: {BYTES} bytes in base64")
    return key


def _unusable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"the private keys of {path}: {why}")
