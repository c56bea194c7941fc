"""The command line as people meet it: exit codes, one line for an error, one document with --json."""

import asyncio
import json
import os
import re
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from cli.app import app
from messaging.reporting.workers import beat
from runtime.version import VERSION
from tests.support.embedded_set import left
from tests.support.live import ROOT, Live

PATIENT = 15.0
"""Seconds: less than what servers that do not answer are given by default, more than a busy machine needs."""


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


@pytest.mark.parametrize("arguments", ["--help", "--version"])
async def test_output_that_is_not_taken_is_told_of(arguments: str) -> None:
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} starter.py {arguments} >/dev/full", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert error.decode() == "drumbeat: the output cannot be written: No space left on device\n"
    assert process.returncode == 1


async def test_output_may_be_closed() -> None:
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} starter.py --version >&-", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    assert (process.returncode, error) == (0, b"")


async def test_help_is_quick_and_lists_the_commands() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, out, error = await starter("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (code, error) == (0, "")
    assert all(name in out for name in command_tree().commands)
    # Processor time, which a busy machine does not stretch much; about 0.15 s.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


HEAVY = {
    "temporalio",
    "pydantic",
    "pydantic_settings",
    "asyncpg",
    "aiohttp",
    "phonenumbers",
    "liquid",
    "ruamel",
    "matplotlib",
}
"""What takes most of a second to read, together."""


async def read_by(*arguments: str, **environment: str) -> tuple[int, set[str]]:
    """The exit code of a program, and which libraries it has read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode is not None
    lines = (line for line in error.decode().splitlines() if line.startswith("import time:"))
    return process.returncode, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    ("arguments", "code", "but_for"),
    [
        ("starter.py --version", 0, {}),
        # Typer itself needs pydantic for options that take a value.
        ("starter.py --help", 0, {"pydantic"}),
        ("starter.py lead import --help", 0, {"pydantic"}),
        ("starter.py report week --csv --json", 2, {"pydantic"}),
        ("starter.py stauts", 2, {"pydantic"}),
        ("starter.py device add", 2, {"pydantic"}),
        ("starter.py messages --status nope", 2, {"pydantic"}),
        ("starter.py enroll a b --trigger T", 2, {"pydantic"}),
        ("starter.py sequence apply no-such.yaml", 1, {"pydantic", "ruamel"}),
        ("worker.py --help", 0, {}),
        ("worker.py --version", 0, {}),
        ("worker.py --nope", 2, {}),
        ("worker.py now", 2, {}),
    ],
)
async def test_what_needs_no_library_reads_none(arguments: str, code: int, but_for: set[str]) -> None:
    ended, read = await read_by(*arguments.split())
    assert (ended, read & HEAVY.difference(but_for)) == (code, set())


async def test_a_worker_needs_nothing_of_the_command_line() -> None:
    code, read = await read_by("-c", "import worker")
    assert (code, "temporalio" in read) == (0, True)
    assert read & {"cli", "typer", "rich"} == set()


async def test_what_the_ledger_knows_needs_no_client_of_temporals(live: Live) -> None:
    """While a worker runs: without one, somebody may be known to Temporal only."""
    await beat(live.scenario.pool, "worker", live.connection.settings.task_queue)
    for words in (
        ["status"],
        ["contact", "+12015550123"],
        ["messages", "--status", "sent"],
        ["device", "list"],
        ["sequence", "list"],
        ["campaign", "list"],
    ):
        code, read = await read_by("starter.py", *words, **live.environment)
        assert code == (1 if words[0] == "contact" else 0)
        assert "asyncpg" in read
        assert read & {"temporalio", "aiohttp", "liquid", "ruamel"} == set(), words


def test_the_version_is_that_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


async def test_the_version_is_said_where_there_are_the_programs_alone(tmp_path: Path) -> None:
    """An image has what its Dockerfile copies, and no pyproject.toml."""
    for name in ("starter.py", "worker.py", "cli", "messaging", "runtime"):
        (tmp_path / name).symlink_to(ROOT / name)
    for program in ("starter.py", "worker.py"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, program, "--version"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert (process.returncode, out.decode()) == (0, f"drumbeat {VERSION}\n")


@cache
def command_tree() -> TyperGroup:
    """All commands."""
    tree = typer.main.get_command(app)
    assert isinstance(tree, TyperGroup)
    return tree


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command that does something, by the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            assert command.help, (*path, name)
            yield from commands(command, (*path, name))
        else:
            assert isinstance(command, TyperCommand)
            yield (*path, name), command


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*found, id="-".join(found[0])) for found in commands(command_tree())]
)
def test_every_command_has_help_that_explains_each_parameter(
    words: tuple[str, ...], command: TyperCommand
) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert f"Usage: {' '.join(('drumbeat', *words))}" in " ".join(result.output.split())
    assert command.help
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []


def recommended() -> Iterator[tuple[str, list[str]]]:
    """The commands that messages and documents recommend, by the file that does."""
    for folder in ("messaging", "operations", "cli", "activities", "workflows", "runtime", "webhooks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = re.sub(r"count_of\(.*?\)", "", file.read_text())  # words in singular and plural
            for hint in re.findall(r"'([a-z-]+ [^'\n]+)'", text):
                if hint.split()[0] in command_tree().commands and " and " not in hint:  # that is a filter
                    yield file.name, hint.split()
    shell = re.compile(
        r"(?:^|[`(])(?:drumbeat|(?:\.venv/bin/)?(?:python )?starter\.py) ([a-z-]+[^`\n#]*)", re.MULTILINE
    )
    for file in sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]):
        for hint in shell.findall(file.read_text("utf-8")):
            yield file.name, hint.split()


def test_what_is_recommended_is_a_command() -> None:
    found = list(recommended())
    assert len(found) > 50
    for file, (name, *words) in found:
        command = command_tree().commands.get(name)
        assert command is not None, (file, name)
        if name == "contact" and words and words[0] not in ("show", "export", "forget"):
            words = ["show", *words]  # contact PHONE
        if isinstance(command, TyperGroup) and words and not words[0].startswith("--"):
            command = command.commands.get(words.pop(0))
            assert command is not None, (file, name, words)
        elif words and not isinstance(command, TyperGroup):
            assert words[0] not in ("show", "list", "add"), (file, name, words)
        options = {"--help"}.union(*([*one.opts, *one.secondary_opts] for one in command.params))
        given = {word.strip("[]|)").partition("=")[0] for word in words}
        assert {one for one in given if one.startswith("--")} <= options, (file, name, words)


@pytest.mark.parametrize(
    "arguments", [["nope"], ["device"], ["device", "add"], ["enroll"], ["enroll", "a", "b", "--trigger", "T"]]
)
async def test_wrong_use_is_2(arguments: list[str]) -> None:
    code, _, error = await starter(*arguments)
    assert code == 2
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["messages", "--limit", "many"], "'many' is not a whole number"),
        (["messages", "--limit", "0"], "1 or more"),
        (["messages", "--status", "faild"], "did you mean 'failed'?"),
        (["device", "add", "kl-1", "--min-delay", "soon"], "'soon' is not a number of seconds"),
        (["device", "add", "kl-1", "--max-delay", "nan"], "'nan' is not a number of seconds"),
        (["device", "add", "kl-1", "--daily-limit", "1.5"], "'1.5' is not a whole number"),
        (["devise"], "Did you mean 'device'"),
    ],
)
async def test_a_wrong_value_is_answered_in_plain_words(arguments: list[str], says: str) -> None:
    code, out, error = await starter(*arguments, COLUMNS="200")
    assert (code, out) == (2, "")
    assert says in error
    assert "Input should" not in error
    assert "Value error" not in error


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:9/x"}, "set both for servers of your own"),
        ({"DRUMBEAT_POOL_SIZE": "many"}, "DRUMBEAT_POOL_SIZE"),
        ({"DRUMBEAT_UI_PORT": "70000"}, "DRUMBEAT_UI_PORT"),
        ({"DATABASE_URL": "mysql://me:topsecret@h/x"}, "DATABASE_URL: it must begin with postgresql://"),
        ({"DATABASE_URL": "postgresql://me:topsecret@h:port/x"}, "DATABASE_URL: it is not a URL"),
        ({"DATABASE_URL": "postgresql://me:top/secret@h/x"}, "DATABASE_URL: it is not a URL"),
        ({"DATABASE_URL": "postgresql://me:topsecret@[h/x"}, "DATABASE_URL: it is not a URL"),
        ({"TEMPORAL_ADDRESS": "no address"}, "TEMPORAL_ADDRESS: it must be HOST:PORT"),
        ({"TEMPORAL_ADDRESS": "127.0.0.1:9", "DRUMBEAT_PATIENCE": "1"}, "check TEMPORAL_ADDRESS"),
        ({"DRUMBEAT_PATIENCE": "0"}, "DRUMBEAT_PATIENCE"),
        ({"DRUMBEAT_HOME": "/proc/nowhere"}, "DRUMBEAT_HOME"),
    ],
)
async def test_an_environment_that_cannot_be_is_one_line(environment: dict[str, str], says: str) -> None:
    started = time.monotonic()
    code, out, error = await starter("audit", "--json", **environment)
    assert time.monotonic() - started < PATIENT
    assert (code, out) == (1, "")
    *notices, error = error.splitlines()
    assert all(line.startswith("drumbeat: waiting for ") for line in notices)
    assert error.startswith("drumbeat: ")
    assert says in error
    assert "secret" not in error


@pytest.mark.parametrize("kind", ["sequence", "campaign"])
async def test_a_file_that_cannot_be_read_is_refused_without_any_server(kind: str, tmp_path: Path) -> None:
    aliases = "\n".join(f"  a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))
    (tmp_path / "bomb.yaml").write_text(f"x:\n  a0: &a0 [l]\n{aliases}\n")
    started = time.monotonic()
    code, out, error = await starter(
        *(kind, "apply", str(tmp_path / "bomb.yaml"), str(tmp_path / "none.yaml")),
        TEMPORAL_ADDRESS="127.0.0.1:9",
    )
    assert time.monotonic() - started < PATIENT
    assert (code, out) == (1, "")
    assert error.splitlines() == [
        (
            f"{tmp_path}/bomb.yaml:1: holds more than 12,000 values, which no sequence and no campaign needs:"
            " aliases (*name) repeat too much"
        ),
        f"{tmp_path}/none.yaml: cannot be read: No such file or directory",
    ]


async def test_a_database_that_cannot_be_used_is_one_line(live: Live) -> None:
    for url, says in (
        ("postgresql://me:topsecret@127.0.0.1:9/x", "connection refused"),
        (urlsplit(live.database_url)._replace(path="/nowhere").geturl(), "does not exist"),
        ("postgresql://me:topsecret@127.0.0.1:port/x", "it is not a URL"),
        ("", "set DATABASE_URL"),
    ):
        started = time.monotonic()
        code, out, error = await live.run("starter.py", "status", DATABASE_URL=url, DRUMBEAT_PATIENCE="1")
        assert time.monotonic() - started < PATIENT
        assert (code, out) == (1, "")
        assert error.startswith("drumbeat: ")
        assert error.count("\n") == 1
        assert says in error
        assert "topsecret" not in error


async def test_an_interrupted_wait_for_the_database_shows_no_password(live: Live) -> None:
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1") as silent:
        port = silent.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "starter.py", "status"),
            cwd=ROOT,
            env={
                **live.environment,
                "DATABASE_URL": f"postgresql://me:topsecret@127.0.0.1:{port}/interrupted",
            },
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                await connected.wait()
            process.terminate()
            async with asyncio.timeout(10):
                _, error = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert (process.returncode, error) == (130, b"drumbeat: interrupted\n")


async def test_what_can_be_done_by_hand(live: Live, tmp_path: Path) -> None:
    """The tour of the README, with the mistakes that people make on the way."""

    async def do(*arguments: str) -> tuple[int, str, str]:
        code, out, error = await live.run("starter.py", *arguments)
        assert "Traceback" not in error
        return code, out, error

    add = ("device", "add", "kl-1", "--gateway", "simulated", "--min-delay", "0", "--max-delay", "0")
    assert (await do(*add))[:2] == (0, "kl-1: added\n")
    assert (await do(*add))[:2] == (0, "kl-1: nothing changed\n")
    # What is not given stays, the gateway too.
    assert (await do("device", "add", "kl-1", "--min-delay", "0"))[:2] == (0, "kl-1: nothing changed\n")
    code, out, error = await do("device", "add", "kl-2", "--min-delay", "0")
    assert (code, out) == (1, "")
    assert "there is no device 'kl-2' yet, and a new one needs a gateway" in error
    assert "did you mean 'kl-1'?" in error
    contacts = tmp_path / "contacts.csv"
    contacts.write_text("Ring,Who,Status\n0812-3456-7890/1,Budi,Active\n12,,\n")
    look = ("lead", "import", str(contacts), "--default-region", "ID", "--map", "name=Who", "--dry-run")
    code, out, error = await do(*look, "--map", "phone=Rang")
    assert (code, out) == (1, "")
    assert "there is no column 'Rang': the columns are 'Ring', 'Who', 'Status'" in error
    assert error.count("\n") == 1
    code, out, _ = await do(*look, "--map", "phone=Ring")
    assert code == 0
    assert "nothing is stored" in out
    assert "phone: 'Ring'\nname: 'Who'" in out
    assert "  +6281234567890  Budi  status: Active" in out
    assert "  row 1: '0812-3456-7890/1' is +6281234567890" in out
    assert "  row 2: '12' is not a phone number" in out
    notes = json.loads((await do(*look, "--map", "phone=Ring", "--json"))[1])["notes"]
    assert [(note["kind"], note["count"]) for note in notes] == [("several_numbers", 1), ("other_status", 1)]
    assert (await do("lead", "show", "0812-3456-7890/1", "--default-region", "ID"))[0] == 1
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

    code, out, _ = await do("contact", "+13125550102", "--json")
    assert "Never enrolled in a sequence" in json.loads(out)["not_enrolled"]

    await live.start_worker()
    code, out, _ = await do(
        "enroll", "cold-vitac", "(201) 555-0123", "--default-region", "US", "--name", "Aisha"
    )
    assert (code, out) == (0, "+12015550123 enrolled in cold-vitac\n")
    code, out, _ = await do("enroll", "cold-vitac", "+1 201 555 0123", "--json")
    assert (code, json.loads(out)["result"]) == (0, "already_enrolled")
    mistakes = (
        (("enroll", "cold-vitak", "+12015550123"), "did you mean 'cold-vitac'"),
        (("enroll", "cold-vitac", "12"), "has no country code"),
        (("enroll", "cold-vitac", "+12015550124", "--device", "nope"), "there is no device 'nope'"),
        (("enroll", "--trigger", "NOPE"), "no sequence has the trigger NOPE"),
        (("contact", "+12015550199"), "there is no lead"),
        # Its row is written so, and was rejected above.
        (
            ("contact", "+1 201 555 01"),
            f"row 43 below the header of {ROOT}/examples/leads.csv ('+1 201 555 01') was rejected",
        ),
        (("contact", "Ask reception"), "row 53 below the header of "),
        (("enroll", "--trigger", "COLDVITA"), "did you mean 'COLDVITAC'?"),
        (("message", "resolve", "12"), "'12' is no message's ID: 'messages' lists them"),
        (("opt-out", "+12015550198 / +12015550199"), "holds more than one number: give one"),
        (("stop", "cold-vitac", "+12015550199"), "is not in the sequence"),
        (("device", "pause", "nope"), "nope"),
    )
    answers = await asyncio.gather(*(do(*arguments, "--json") for arguments, _ in mistakes))
    for (_, says), (code, out, error) in zip(mistakes, answers, strict=True):
        assert (code, out) == (1, "")
        assert error.count("\n") == 1
        assert says in error
    code, out, _ = await do("contact", "+12015550123", "--json")
    assert json.loads(out)["enrollments"][0]["sequence"] == "cold-vitac"
    assert json.loads((await do("status", "--json"))[1])["leads"] == 56
    documents = await asyncio.gather(
        *(
            do(*words, "--json")
            for words in (
                ("messages",),
                ("device", "list"),
                ("lead", "show", "+12015550123"),
                ("sequence", "list"),
                ("sequence", "show", "cold-vitac"),
            )
        )
    )
    for code, out, _ in documents:
        assert code == 0
        json.loads(out)  # fails where anything stands beside the one document
    code, out, _ = await do("audit")
    assert code == 0
    assert "Every promise is kept." in out


@pytest.mark.long
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
        # Where the tests run in a shell's background they ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Enrolled" not in (line := await process.stdout.readline()):
            assert line, "it ended by itself"
    process.send_signal(number)
    try:
        async with asyncio.timeout(60):
            rest = await process.stdout.read()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()  # what it started ends with it
    assert b"Traceback" not in rest
    assert left(home) == {}


@pytest.mark.long
async def test_a_demo_that_ends_names_no_servers_that_are_gone(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("phone,name,trigger,niche\n+12015550123,Aisha,COLDVITAC,SKINCARE\n")
    code, out, error = await starter(
        *("demo", "--leads", str(people), "--exit"), DRUMBEAT_HOME=str(tmp_path / "home"), NO_COLOR="1"
    )
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0].startswith("Imported people.csv: 1 row, 1 new lead")
    assert lines[1] == "Enrolled 1 contact by their triggers (COLDVITAC, HOTVITAC, EXSTART, WARMVITAC)"
    # A file of the user's own may have no lead for the campaign.
    assert lines[3] == (
        "The campaign is left out: no lead would get campaign 'half-price-today': the one lead does not match its target"
        " (niche VITAC, status prospect); the niches of leads are SKINCARE"
    )
    assert lines[-1] == "Every promise is kept."
    assert "http://" not in out
    assert left(tmp_path / "home") == {}
