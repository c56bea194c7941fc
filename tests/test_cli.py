"""The command line as people meet it: exit codes, one line for an error, one document with --json."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.live import ROOT, Live

COMMANDS = [
    "enroll",
    "opt-out",
    "contact",
    "pause",
    "resume",
    "stop",
    "skip",
    "status",
    "messages",
    "audit",
    "demo",
    "device-add",
    "device-list",
    "device-pause",
    "device-resume",
    "lead-import",
    "lead-export",
    "lead-show",
    "sequence-apply",
    "sequence-list",
    "sequence-show",
    "sequence-pause",
    "sequence-resume",
]


async def starter(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Runs the command line without any servers named; answers code, output and errors."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "DRUMBEAT_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "starter.py", *arguments),
        cwd=ROOT,
        env={**clean, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_every_command_has_help() -> None:
    gate = asyncio.Semaphore(4)

    async def ask(command: str) -> tuple[int, str, str]:
        async with gate:
            noun, _, verb = command.partition("-") if not command.startswith("opt") else (command, "", "")
            return await starter(*[word for word in (noun, verb) if word], "--help")

    for code, out, error in await asyncio.gather(*(ask(command) for command in COMMANDS)):
        assert (code, error) == (0, "")
        assert "Usage: starter.py" in out


@pytest.mark.parametrize(
    "arguments", [["nope"], ["device"], ["device", "add"], ["enroll"], ["enroll", "a", "b", "--trigger", "T"]]
)
async def test_wrong_use_is_2(arguments: list[str]) -> None:
    code, _, error = await starter(*arguments)
    assert code == 2
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:9/x"}, "set both for servers of your own"),
        ({"DRUMBEAT_POOL_SIZE": "many"}, "DRUMBEAT_POOL_SIZE"),
        ({"DRUMBEAT_UI_PORT": "70000"}, "DRUMBEAT_UI_PORT"),
        ({"DRUMBEAT_HOME": "/proc/nowhere"}, "DRUMBEAT_HOME"),
    ],
)
async def test_an_environment_that_cannot_be_is_one_line(environment: dict[str, str], says: str) -> None:
    code, out, error = await starter("status", **environment)
    assert (code, out) == (1, "")
    assert error.startswith("drumbeat: ")
    assert error.count("\n") == 1
    assert says in error


async def test_what_can_be_done_by_hand(live: Live, tmp_path: Path) -> None:
    """The tour of the README, with the mistakes that people make on the way."""

    async def do(*arguments: str) -> tuple[int, str, str]:
        code, out, error = await live.run("starter.py", *arguments)
        assert "Traceback" not in error
        return code, out, error

    add = ("device", "add", "kl-1", "--gateway", "simulated", "--min-delay", "0", "--max-delay", "0")
    assert (await do(*add))[:2] == (0, "kl-1: added\n")
    assert (await do(*add))[:2] == (0, "kl-1: nothing changed\n")
    code, out, _ = await do(
        "lead",
        "import",
        "examples/leads.csv",
        "--device",
        "kl-1",
        "--default-region",
        "US",
        "--rejects",
        str(tmp_path / "rejects.csv"),
        "--json",
    )
    summary = json.loads(out)
    assert (code, summary["rows"], summary["imported"], summary["rejected"]) == (0, 61, 55, 3)

    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "sequence: s\nsteps:\n  - {id: a, day: 1, text: 'Hi {{ nmae }}'}\n  - {id: a, day: 0, text: x}\n"
    )
    code, out, error = await do("sequence", "apply", str(broken))
    assert (code, out) == (1, "")
    assert all(line.startswith(f"{broken}:") for line in error.splitlines())
    assert "nmae" in error
    assert (await do("sequence", "apply", "examples/sequences/cold-vitac.yaml"))[0] == 0
    code, out, _ = await do("sequence", "apply", "examples/sequences/cold-vitac.yaml")
    assert code == 0
    assert "nothing changed" in out

    await live.start_worker()
    code, out, _ = await do(
        "enroll", "cold-vitac", "(201) 555-0123", "--default-region", "US", "--name", "Aisha"
    )
    assert (code, out) == (0, "+12015550123 enrolled in cold-vitac\n")
    code, out, _ = await do("enroll", "cold-vitac", "+1 201 555 0123", "--json")
    assert (code, json.loads(out)["result"]) == (0, "already_enrolled")
    for arguments, says in (
        (("enroll", "cold-vitak", "+12015550123"), "did you mean 'cold-vitac'"),
        (("enroll", "cold-vitac", "12"), "has no country code"),
        (("enroll", "cold-vitac", "+12015550124", "--device", "nope"), "there is no device 'nope'"),
        (("enroll", "--trigger", "NOPE"), "no sequence has the trigger NOPE"),
        (("contact", "+12015550199"), "there is no lead"),
        (("stop", "cold-vitac", "+12015550199"), "is not in the sequence"),
        (("device", "pause", "nope"), "nope"),
    ):
        code, out, error = await do(*arguments)
        assert (code, out) == (1, "")
        assert error.count("\n") == 1
        assert says in error
    code, out, _ = await do("contact", "+12015550123", "--json")
    assert json.loads(out)["enrollments"][0]["sequence"] == "cold-vitac"
    assert json.loads((await do("status", "--json"))[1])["leads"] == 56
    assert (await do("messages"))[0] == 0
    code, out, _ = await do("audit")
    assert code == 0
    assert "Every promise is kept." in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_that_is_interrupted_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    home = tmp_path / "home"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "starter.py", "demo"),
        cwd=ROOT,
        env={**os.environ, "DRUMBEAT_HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Enrolled" not in await process.stdout.readline():
            pass
    process.send_signal(number)
    async with asyncio.timeout(60):
        rest = await process.stdout.read()
        await process.wait()
    assert b"Traceback" not in rest
    assert running_with(str(home)) == []


def running_with(home: str) -> list[str]:
    """Command lines of processes that name the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if home in command:
            found.append(command)
    return found
