"""A Python without Drumbeat's libraries is told in one line what to run instead."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("program", ["worker.py", "starter.py"])
def test_without_the_libraries_one_line_says_what_to_do(program: str) -> None:
    # -S: without the packages of the virtual environment, as the system's Python has it.
    done = subprocess.run([sys.executable, "-S", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("drumbeat: this Python has not Drumbeat's libraries (asyncpg")
    assert line.endswith(f"run .venv/bin/python {program}")
