"""The figures of a run: one table, and one JSON file, both kept as they are found."""

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "Figures", "medians", "parts", "spread"]


@dataclass
class Figure:
    """One line of the table. ``against``: what it was measured against; ``ratio``: the former to the latter."""

    what: str
    value: str
    against: str = ""
    ratio: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """In one line."""
        ratio = "" if self.ratio is None else f", ratio {self.ratio:.2f}"
        return f"{self.what}: {self.value}" + (f" (against {self.against}{ratio})" if self.against else "")


class Figures:
    """What was found so far. The whole takes minutes: it is shown, and written to the file, at once."""

    def __init__(self, file: Path, arguments: Mapping[str, Any]) -> None:
        self._file = file
        self._found: list[Figure] = []
        self._began = time.monotonic()
        self._console = Console(highlight=False)
        self._of = {
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "system": platform.platform(),
            },
            "arguments": dict(arguments),
        }

    def note(self, figure: Figure) -> None:
        """One more."""
        self._found.append(figure)
        self._console.print(str(figure), markup=False)
        found = {**self._of, "figures": [asdict(one) for one in self._found]}
        self._file.write_text(json.dumps(found, indent=1) + "\n")

    def tell(self, progress: str) -> None:
        """How far it is, which is no figure yet."""
        seconds = time.monotonic() - self._began
        self._console.print(f"{seconds / 60:5.1f} min  {progress}", style="dim", markup=False)

    def close(self, problem: str = "") -> None:
        """Shows the table, and why something may be missing in it."""
        table = Table("what", "measured", "against", "ratio", box=None)
        for figure in self._found:
            ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
            table.add_row(figure.what, figure.value, figure.against, ratio)
        self._console.print(table)
        if problem:
            self._console.print(f"Not everything was measured: {problem}", markup=False)
        minutes = (time.monotonic() - self._began) / 60
        self._console.print(f"Written to {self._file}, after {minutes:.0f} minutes")


def spread(rates: Sequence[float], digits: int = 1) -> str:
    """The median, and the range."""
    middle, low, high = (f"{rate:,.{digits}f}" for rate in (statistics.median(rates), min(rates), max(rates)))
    return f"{middle} ({low} to {high})"


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By name, over all rounds."""
    return {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}


def parts(of: Mapping[str, float], unit: str) -> str:
    """Sum and parts; what is nothing is not named."""
    named = ", ".join(f"{name} {part:.1f}" for name, part in of.items() if part >= 0.05)
    return f"{sum(of.values()):.1f} {unit} ({named})"
