"""A program of this machine, with all that it is started with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Command"]


@dataclass(frozen=True)
class Command:
    """How to start a program."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
