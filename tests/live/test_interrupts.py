"""Ctrl-C and SIGTERM end a command at any moment: while it waits, computes, hangs in a thread, or reads its modules."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMMAND = """
import asyncio, sys, time
from runtime import interrupts
from runtime.process import leave, run_plain

interrupts.GRACE = {grace}

async def work():
    try:
        print("begun", flush=True)
        {what}
    finally:
        await asyncio.sleep(0.01)
        print("closed", flush=True)

run_plain(work)
"""

WORK = {
    "waits": "await asyncio.sleep(60)",
    "computes": "while True: pass",
    "reads a pipe": "open(sys.argv[1]).read()",
    "hangs in a thread": "await asyncio.to_thread(time.sleep, 60)",
}


def command(what: str, pipe: Path, *, grace: float) -> subprocess.Popen[str]:
    """A command that does this, when it has begun with it."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(grace=grace, what=WORK[what]), pipe],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", WORK)
def test_a_signal_ends_a_command(what: str, number: signal.Signals, pipe: Path) -> None:
    with command(what, pipe, grace=2) as process:
        sent = time.monotonic()
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
        assert time.monotonic() - sent < 10
    assert (process.returncode, output, errors) == (130, "closed\n", "drumbeat: interrupted\n")


def test_a_second_signal_waits_for_nothing(pipe: Path) -> None:
    with command("hangs in a thread", pipe, grace=60) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "closed\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) != 0


def test_ctrl_c_while_modules_are_read_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import time\nprint('reading', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "starter.py", "status"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in a shell's background, they ignore it, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (-signal.SIGINT, "")
