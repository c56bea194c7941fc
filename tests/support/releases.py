"""Other versions of Drumbeat, as folders with their code: released ones from this repository's history, and copies of this one."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["RELEASE_0_1_0", "copy_with", "released", "run_in"]

ROOT = Path(__file__).parents[2]
RELEASE_0_1_0 = "b4a9908faea621ed8916760bf5412a4805171e3a"

CODE = (
    "activities",
    "cli",
    "messaging",
    "monitoring",
    "operations",
    "runtime",
    "temporal",
    "webhooks",
    "workflows",
)
"""What worker.py and starter.py need."""


def released(commit: str, folder: Path) -> Path:
    """The code of a release, in the folder. Skips the test where the history is not there, as in a shallow clone."""
    folder.mkdir()
    with (folder / "code.tar").open("wb") as archive:
        made = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=archive, stderr=subprocess.DEVNULL)
    if made.returncode:
        pytest.skip(f"the history up to {commit[:7]} is not there: git fetch --unshallow")
    shutil.unpack_archive(folder / "code.tar", folder)
    return folder


def copy_with(folder: Path, version: str) -> Path:
    """A copy of this code that says that it is another version."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("worker.py", "starter.py"):
        shutil.copy(ROOT / name, folder)
    file = folder / "runtime" / "version.py"
    text = file.read_text()
    changed = "\n".join(
        f'VERSION = "{version}"' if line.startswith("VERSION = ") else line for line in text.splitlines()
    )
    assert changed != text
    file.write_text(changed + "\n")
    return folder


async def run_in(folder: Path, *arguments: str, env: Mapping[str, str]) -> str:
    """Runs Python there, and answers its output; fails if the program does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
