"""Drumbeat's version, available in every installation. ``pyproject.toml`` says the same; a test compares them."""

from hashlib import sha256
from pathlib import Path

__all__ = ["VERSION", "build_of"]

VERSION = "0.2.0.dev0"

OWN = "auto"
"""The build ID that stands for the code itself."""

CODE = ("activities", "messaging", "operations", "runtime", "temporal", "webhooks", "workflows")
"""What a worker runs, beside ``worker.py``."""


def build_of(setting: str) -> str | None:
    """The build ID of a worker with this setting; None if it has none. ``auto`` is the version with a hash of the code."""
    return _of_the_code() if setting == OWN else setting or None


def _of_the_code() -> str:
    root = Path(__file__).parent.parent
    files = [root / "worker.py", *(file for package in CODE for file in (root / package).rglob("*.py"))]
    digest = sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return f"{VERSION}+{digest.hexdigest()[:12]}"
