"""TLS to PostgreSQL: asked for by itself wherever the server is not on this machine, with a real server and real certificates.

The server listens on loopback only, as all of the tests' do. It is reached as 0.0.0.0, which leads there and is no address
of loopback.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from messaging.common.errors import InvalidInput, Unavailable
from rig.production.postgres import full_postgres
from runtime.database import migrate, open_pool
from runtime.database_url import for_this_machine, secured
from runtime.embedded.postgres import Postgres
from runtime.settings import load_settings
from tests.support.authority import Authority
from tests.support.forked import output_of
from tests.support.ports import free_port


class WithTls(Postgres):
    """That of this machine: the one from a wheel knows no TLS."""

    def binaries(self) -> Path:
        return full_postgres()

    def outside(self, query: str = "") -> str:
        """Its URL as from another machine."""
        password = self._password.read_text().strip()
        return f"postgresql://{self.user}:{password}@0.0.0.0:{self.port}/drumbeat{query}"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WithTls]:
    try:
        full_postgres()
    except Unavailable as missing:
        pytest.skip(str(missing))
    server = WithTls(tmp_path / "server", port=free_port(), durable=False)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def _use(server: WithTls, certificate: Path, key: Path) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f"alter system set ssl_cert_file = '{certificate}'")
        await connection.execute(f"alter system set ssl_key_file = '{key}'")
        await connection.execute("alter system set ssl = on")
        await connection.execute("select pg_reload_conf()")
    finally:
        await connection.close()


async def _encrypted(url: str) -> bool:
    async with await open_pool(url) as pool:
        return bool(
            await pool.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()"),
        )


async def _status(url: str) -> tuple[int, str]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PG", "DRUMBEAT_"))},
        "DATABASE_URL": url,
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        "HOME": "/nonexistent",
    }
    code, _, told = await output_of("starter.py", "device", "list", env=environment)
    return code, told


async def test_a_server_elsewhere_has_to_prove_who_it_is(server: WithTls, tmp_path: Path) -> None:
    # Without TLS there: refused at once, in one line; by name, as one may ask for, it goes on.
    code, told = await _status(server.outside())
    assert (code, told.count("\n")) == (1, 1), told
    assert "PostgreSQL offers no TLS" in told
    assert "sslmode=disable into DATABASE_URL" in told
    assert not await _encrypted(secured(server.outside("?sslmode=disable")))
    assert not await _encrypted(secured(server.url()))

    # A certificate of an authority that nobody here knows; then one that is known, for another host; then the right one.
    ours = Authority(tmp_path / "ours")
    await _use(server, *ours.sign("server", "DNS:db.example"))
    code, told = await _status(server.outside())
    assert (code, told.count("\n")) == (1, 1), told
    assert "PostgreSQL's certificate is not accepted: " in told
    assert "sslrootcert=FILE in DATABASE_URL" in told
    known = f"?sslrootcert={ours.certificate}"
    code, told = await _status(server.outside(known))
    assert (code, told.count("\n")) == (1, 1), told
    assert "not valid for '0.0.0.0'" in told
    assert await _encrypted(secured(server.outside("?sslmode=require")))
    await _use(server, *ours.sign("renewed", "IP:0.0.0.0"))
    assert await _encrypted(secured(server.outside(known)))
    stranger = Authority(tmp_path / "stranger").certificate
    with pytest.raises(Unavailable, match="certificate is not accepted"):
        await _encrypted(secured(server.outside(f"?sslrootcert={stranger}")))

    # The program that changes the schema asks for the same.
    await migrate(secured(server.outside(known)))
    assert await _status(server.outside(known)) == (0, "")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("postgresql://me@localhost/x", True),
        ("postgresql://me:p%40w@127.100.2.1:5432/x", True),
        ("postgresql://me@[::1]:5432/x", True),
        ("postgresql:///x", True),
        ("postgresql:///x?host=/var/run/postgresql", True),
        ("postgresql://%2Frun%2Fpostgresql/x", True),
        ("postgresql://me@db/x", False),
        ("postgresql://me@10.0.0.5/x", False),
        ("postgresql://me@[2001:db8::1]:5432/x", False),
        ("postgresql://me@localhost,db/x", False),
        ("postgresql://localhost.example.com/x", False),
        ("postgresql:///x?host=db", False),
        ("postgresql:///x?service=drumbeat", False),
    ],
)
def test_what_is_on_this_machine(url: str, here: bool) -> None:
    assert for_this_machine(url, {}) is here
    assert ("sslmode=verify-full" in secured(url, {})) is not here
    assert "sslmode" not in secured(url, {"PGSSLMODE": "disable"})


def test_the_variables_of_postgresql_count() -> None:
    assert not for_this_machine("postgresql:///x", {"PGHOST": "db"})
    assert not for_this_machine("postgresql:///x", {"PGSERVICE": "drumbeat"})
    assert "sslmode=verify-full" in secured("postgresql:///x", {"PGHOST": "db"})


def test_the_authority_is_the_system_s_unless_one_is_named(tmp_path: Path) -> None:
    named = Authority(tmp_path / "named").certificate
    assert "sslrootcert" not in secured("postgresql://db/x", {"PGSSLROOTCERT": str(named)})
    home = tmp_path / "home" / ".postgresql"
    home.mkdir(parents=True)
    (home / "root.crt").write_bytes(named.read_bytes())
    assert "sslrootcert" not in secured("postgresql://db/x", {"HOME": str(tmp_path / "home")})
    assert "sslrootcert=%2F" in secured("postgresql://db/x", {"HOME": str(tmp_path)})
    assert "sslrootcert=%2F" in secured("postgresql://db/x?sslmode=verify-full&sslrootcert=system", {})


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sslmode=on", "sslmode is one of disable, allow, prefer, require, verify-ca, verify-full, not 'on'"),
        ("sslrootcert=/nowhere/ca.pem", "sslrootcert: /nowhere/ca.pem cannot be read: no such file"),
        ("sslrootcert={folder}", "sslrootcert: {folder} cannot be read: is a directory"),
        ("sslrootcert={folder}/no.pem", "sslrootcert: {folder}/no.pem has no certificate in PEM form"),
        ("sslcert=/nowhere/me.pem", "sslcert: /nowhere/me.pem cannot be read"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, query: str, told: str
) -> None:
    (tmp_path / "no.pem").write_text("nothing\n")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:secret@db/x?{query.format(folder=tmp_path)}")
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert told.format(folder=tmp_path) in str(caught.value)
    assert str(caught.value).startswith("environment: DATABASE_URL: ")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
