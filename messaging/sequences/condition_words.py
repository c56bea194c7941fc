"""Says a step's stored conditions in words. Reports import this; it needs nothing that reads files."""

from collections.abc import Mapping
from typing import Any

__all__ = ["format_conditions"]


def format_conditions(stored: Mapping[str, Any] | None) -> str:
    """Stored conditions in words: ``replied: false, city: KL or Penang``; empty without any."""
    words = []
    for name, value in (stored or {}).items():
        if name == "attribute":
            words += [f"{one}: {' or '.join(map(_shown, values))}" for one, values in value.items()]
        else:
            values = value if isinstance(value, list) else [value]
            words.append(f"{name}: {' or '.join(map(_shown, values))}")
    return ", ".join(words)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'
