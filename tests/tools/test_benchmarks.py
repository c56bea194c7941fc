"""The whole benchmark, with a handful of everything, and what becomes of one that does not get through."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks import compare_contacts, editing, waking
from benchmarks.__main__ import ENDED, main
from benchmarks.waking import both, enrolled_in_time
from rig.waiting import NeverHappened, until
from runtime.settings import CHECKOUT
from tests.support.embedded_set import left

FOREIGN = ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")
"""Servers that it does not use."""


@pytest.mark.long
@pytest.mark.timeout(400)
def test_every_figure_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare_contacts, "SETTLE", 0.1)
    monkeypatch.setattr(compare_contacts, "A_LOOK", 1.0)
    monkeypatch.setattr(compare_contacts, "A_MINUTE", 3)
    with pytest.raises(SystemExit) as ended:
        main(["--leads", "8", "--rounds", "1", "--contacts", "4", "--asleep", "20", "30"])
    assert ended.value.code == 0
    results = json.loads(Path("bench-results.json").read_text())
    assert results["problem"] == ""
    assert results["packages"]["temporalio"]
    found = {figure["what"]: figure for figure in results["figures"]}
    for what in (
        "campaign, 8 leads, 1 worker process",
        "campaign, 4 leads, 2 worker processes",
        "claim and settle",
        "enrollment of 20 by trigger",
        "their bytes in Temporal, each",
        "enrollment of 4 by a service",
        "10 more by trigger, bytes in Temporal, each",
        "4 contacts due at one moment, lateness",
    ):
        assert found[what]["ratio"] > 0, what
    assert "bare workflows" in found["4 contacts due over a minute, lateness"]["against"]
    assert "nobody enrolled" in found["30 contacts asleep, CPU"]["against"]


@pytest.mark.long
@pytest.mark.timeout(400)
def test_edits_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(editing, "DUE", 6)
    monkeypatch.setattr(editing, "MOMENTS", 3)
    with pytest.raises(SystemExit) as ended:
        main(["--edited", "60"])
    assert ended.value.code == 0
    results = json.loads(Path("bench-results.json").read_text())
    assert results["problem"] == ""
    found = {figure["what"]: figure for figure in results["figures"]}
    edited = found["an edit that moves a step of 60 sleeping contacts"]["details"]
    assert edited["contacts"] == 60
    assert edited["timed_out"] == 0
    assert len(edited["pauses"]) >= 1
    assert found["6 others due over 3 s of it, lateness"]["details"]["contacts"] == 6
    killed = found["three edits in a row, and the worker is killed and another begins meanwhile"]["details"]
    assert (killed["contacts"], killed["edits"]) == (60, 3)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_floods_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--flood", "2", "--leads", "20", "--rounds", "1"])
    assert ended.value.code == 0
    found = {
        figure["what"]: figure for figure in json.loads(Path("bench-results.json").read_text())["figures"]
    }
    assert found["campaign, 20 leads, beside a flood of receipts"]["ratio"] > 0
    (flood,) = found["the flood (the worst round)"]["details"]["rounds"]
    assert (flood["receipts"], flood["lost"], len(flood["took"])) == (2000, 0, 100)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("--leads 0", "give numbers from 1 on"),
        ("--full --leads 9999", "give smaller ones"),
        ("--asleep 2 --rounds 3", "at least one contact a round"),
        ("--edited 80000", "give smaller ones"),
        ("--flood 600", "give smaller ones"),
        ("--ful", "unrecognized arguments"),
    ],
)
def test_what_cannot_be_measured_is_said(asked: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(asked.split())
    assert told in capsys.readouterr().err


async def test_who_is_to_wake_is_enrolled_anew_when_it_became_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waking, "AHEAD", 0.0)
    attempts: list[str] = []

    async def enroll(attempt: str, first: datetime) -> None:
        attempts.append(attempt)
        if len(attempts) == 1:
            await asyncio.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds()) + 0.01)

    # A second and a half for the first attempt, six for the other, who wake after the first have woken for 5 s.
    began = datetime.now(UTC)
    attempt, first = await enrolled_in_time("WAKE", 1.0, 5, enroll)
    assert attempts == ["WAKE-0", "WAKE-1"]
    assert attempt == "WAKE-1"
    assert (first - began).total_seconds() > 1.5 + 5 + 6


async def test_who_is_never_in_time_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "AHEAD", -60.0)

    async def enroll(attempt: str, first: datetime) -> None:
        pass

    with pytest.raises(NeverHappened, match="those of WAKE who were to wake"):
        await enrolled_in_time("WAKE", 1.0, 1, enroll)


async def test_what_is_wrong_with_one_of_two_is_said_in_its_own_words() -> None:
    async def stuck() -> NoReturn:
        raise NeverHappened("3 contacts are sent to: not within 9 s")

    with pytest.raises(NeverHappened, match="3 contacts are sent to"):
        await both(stuck(), asyncio.sleep(60))


@pytest.mark.long
@pytest.mark.timeout(170)
@pytest.mark.parametrize("moment", ["at the beginning", "while a campaign is measured"])
async def test_ctrl_c_keeps_what_was_found_and_leaves_nothing_running(tmp_path: Path, moment: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--leads", "5000"),
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(tmp_path)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Where the tests run in a shell's background they ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(150):
            while not (line := await process.stdout.readline()).startswith(b"  0.0 min  this takes"):
                assert line, "it ended by itself"
            if moment != "at the beginning":
                while not list(tmp_path.glob("*/*/logs/worker-0.log")):
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            rest = (await process.stdout.read()).decode()
            assert await process.wait() == 130, rest
    finally:
        if process.returncode is None:
            process.kill()  # what it started ends with it
    assert "Traceback" not in rest
    results = json.loads((tmp_path / "bench-results.json").read_text())
    assert results["problem"] == ENDED
    found = {figure["what"] for figure in results["figures"]}
    assert found <= {"the machine, at the beginning"}
    assert found or moment == "at the beginning"
    assert left(tmp_path) == {}
    # Python's own tracker of resources ends when it notices that we have.
    await until(lambda: of_session(process.pid) == [])


def of_session(session: int) -> list[int]:
    """The processes that belong to it, of which a worker's command line does not tell whose it is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getsid(int(entry.name)) == session:
                found.append(int(entry.name))
    return found
