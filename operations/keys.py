"""The keys of private mode: to make and change them, and to decrypt with them for the Temporal Web UI."""

from collections.abc import Callable
from pathlib import Path

from messaging.common import private_keys
from runtime.settings import Settings

__all__ = ["add", "new", "rotate", "serve"]


async def new(file: Path) -> str:
    """Writes a file with new keys; answers the ID of the key for contents. Raises Conflict and InvalidInput."""
    return private_keys.new_keys(file)


async def add(file: Path) -> str:
    """Adds a key by which nothing is encrypted yet; answers its ID. Raises InvalidInput."""
    return private_keys.add_key(file)


async def rotate(file: Path) -> str:
    """Makes the newest key the one that encrypts; answers its ID. Raises Conflict and InvalidInput."""
    return private_keys.rotate(file)


async def serve(
    settings: Settings, *, origin: str, password_file: Path, host: str, port: int, tell: Callable[[str], None]
) -> None:
    """Runs the codec server until SIGINT or SIGTERM. Raises InvalidInput, and Unavailable if the port cannot be used."""
    from operations.codec_server import serve_codec

    await serve_codec(settings, origin=origin, password_file=password_file, host=host, port=port, tell=tell)
