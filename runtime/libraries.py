"""Says in one line what to do if the interpreter lacks Drumbeat's libraries. This module needs none of them."""

import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["require_libraries"]

NEEDED = ("asyncpg", "pydantic", "temporalio", "typer")
OLDEST = (3, 11)


def require_libraries(program: str) -> None:
    """Ends the process with 1 if this Python is too old or has not Drumbeat's libraries. ``program``: e.g. worker.py."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if sys.version_info < OLDEST:
        reason = "this Python is {}.{}, and Drumbeat needs {}.{} or newer".format(
            *sys.version_info[:2], *OLDEST
        )
    elif missing:
        reason = "this Python has not Drumbeat's libraries (" + ", ".join(missing) + ")"
    else:
        return
    made = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    advice = f"run .venv/bin/python {program}"
    if not made.exists():
        advice = f"run 'make setup' once, then .venv/bin/python {program}"
    sys.stderr.write(f"drumbeat: {reason}: {advice}\n")
    sys.exit(1)
