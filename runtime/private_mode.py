"""Reads the keys of private mode, and turns it on for this process."""

from messaging.common.errors import InvalidInput
from messaging.common.private import Keys, parse_keys, use_keys
from messaging.gateways.secret_files import UnusableFile, read_secret_file

__all__ = ["read_keys", "turn_on"]


def read_keys(path: str) -> Keys:
    """The keys in the file. Raises InvalidInput, with what is wrong in one line."""
    try:
        return parse_keys(read_secret_file(path))
    except UnusableFile as error:
        raise InvalidInput(f"the file {error}") from None
    except InvalidInput as error:
        raise InvalidInput(f"the file of keys cannot be used: {error}") from None


def turn_on(path: str) -> None:
    """Private mode with the keys in the file; without a file it is off. Raises InvalidInput."""
    use_keys(read_keys(path) if path else None)
