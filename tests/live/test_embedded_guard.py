"""Who is not meant to: the embedded servers are closed to web pages and to other users, as far as they go."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from runtime.embedded.lease import leased
from runtime.embedded.state import Running
from runtime.settings import Ports
from tests.support.embedded_set import kill_all, left, pids, remember_free_ports, temporal_of

START = '{"workflowType": {"name": "X"}, "taskQueue": {"name": "q"}}'
TOKEN = "not-for-servers"


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Path, Running]]:
    """A set of servers, started by somebody whose files everybody may read, with a token in the environment."""
    monkeypatch.setenv("ANY_NAME_AT_ALL", TOKEN)
    home = tmp_path / "home"
    remember_free_ports(home)
    (home / "ports.json").chmod(0o600)  # the test's own
    (home / "logs").mkdir(mode=0o755)
    before = os.umask(0)
    try:
        async with leased(home, Ports(), lambda _: None) as found:
            yield home, found
    finally:
        os.umask(before)
        await kill_all(home)


async def test_nobody_else_reads_or_uses_them(running: tuple[Path, Running]) -> None:
    home, found = running
    await private(home)
    await no_tokens(home)
    await no_passwords(found)
    await nothing_for_pages(found)


async def private(home: Path) -> None:
    """Directories 0700, files 0600, whatever the umask."""
    inside = [path for path in home.rglob("*") if not path.is_symlink()]
    assert {"supervisor.log", "temporal.db", "PG_VERSION", "gateway.sqlite3"} <= {
        path.name for path in inside
    }
    open_to_others = {str(path): oct(path.stat().st_mode) for path in inside if path.stat().st_mode & 0o077}
    assert open_to_others == {}


async def no_tokens(home: Path) -> None:
    """Not in the environment of the supervisor, the servers, nor of what these started."""
    processes = {*left(home), *pids(home).values()}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and process_parent(process) in processes:
            processes.add(int(process.name))
    assert len(processes) > 4
    for pid in processes:
        with suppress(ProcessLookupError, FileNotFoundError):  # a server's child that has ended meanwhile
            assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def process_parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def no_passwords(found: Running) -> None:
    """PostgreSQL asks every local user for the password, which stands in a file of its owner's."""
    for password in (None, "", "drumbeat"):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
            await asyncpg.connect(
                host="127.0.0.1",
                port=found.ports["postgres_port"],
                user="drumbeat",
                database="drumbeat",
                password=password,
                passfile="/nonexistent",
                ssl=False,
            )


async def nothing_for_pages(found: Running) -> None:
    """A page of another site starts no workflow, at any port, and has no control of the gateway."""
    plain = {"Content-Type": "text/plain", "Origin": "http://evil.example"}
    path = "/api/v1/namespaces/default/workflows/from-a-page"
    async with aiohttp.ClientSession() as http:
        for name, port in found.ports.items():
            if name == "postgres_port":
                continue
            for headers in (plain, {**plain, "Host": "evil.example"}, {"Content-Type": "application/json"}):
                try:
                    async with asyncio.timeout(10):
                        async with http.post(
                            f"http://127.0.0.1:{port}{path}", data=START, headers=headers
                        ) as answer:
                            assert answer.status >= 400, name
                except aiohttp.ClientError:
                    pass  # it speaks no HTTP that a page can send
        async with http.get(
            f"http://127.0.0.1:{found.ports['temporal_http_port']}/api/v1/namespaces"
        ) as answer:
            assert answer.status == 403
        async with http.post(
            f"{found.simulator_url}/v1/faults", data='{"kind": "drop"}', headers=plain
        ) as answer:
            assert answer.status == 403
    client = await temporal_of(found)
    assert (await client.count_workflows()).count == 0
