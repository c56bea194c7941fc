"""docker-compose.yml and what it runs: checked by the real programs, and by its own structure where there are none."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from ruamel.yaml import YAML
from temporalio.testing import WorkflowEnvironment

import worker
from messaging.common.errors import Unavailable
from rig.production.compose import read_compose
from runtime.database import MIGRATIONS, migrate
from runtime.embedded.postgres import Postgres
from temporal import search_attributes as attributes
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PASSWORDS = {
    "POSTGRES_PASSWORD": "one",
    "DRUMBEAT_DB_PASSWORD": "two",
    "TEMPORAL_DB_PASSWORD": "three",
    "DRUMBEAT_WORKER_DB_PASSWORD": "four",
    "DRUMBEAT_READER_DB_PASSWORD": "five",
}
PROFILES = frozenset({"backup", "cluster", "monitoring", "private", "roles", "simulator", "tls"})
COMPOSE = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = re.compile(r"(?:[a-z0-9-]+/)?[a-z0-9-]+:v?\d+\.\d+(?:\.\d+)?(?:-[a-z]+)*")


SHOW_BOUNDS = """
select concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
                 current_setting('idle_in_transaction_session_timeout'), rolconnlimit)
  from pg_roles where rolname = current_user
"""


def _compose_program() -> list[str] | None:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode == 0
    ):
        return [docker, "compose"]
    return None


def _config(*profiles: str, **variables: str) -> dict[str, Any]:
    """What the real program reads in the file."""
    program = _compose_program()
    if program is None:
        pytest.skip("neither docker-compose nor docker compose is installed")
    done = subprocess.run(
        [*program, *(part for profile in profiles for part in ("--profile", profile)), "config"],
        check=False,
        cwd=ROOT,
        env={
            **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "TMPDIR"}},
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = YAML(typ="safe").load(done.stdout)
    return found


def test_what_we_read_in_it_is_what_the_real_program_reads() -> None:
    """So what runs as plain processes is what Docker would run."""
    variables = {"DRUMBEAT_DOMAIN": "hooks.example.com", "TEMPORAL_SERVICES": "frontend"}
    real = _config(*PROFILES, **variables)
    ours = read_compose(ROOT / "docker-compose.yml", variables)
    assert set(ours.in_profiles(PROFILES)) == set(real["services"]) == set(SERVICES)
    for name, service in ours.services.items():
        seen = real["services"][name]
        assert dict(service.environment) == {
            key: str(value) for key, value in seen.get("environment", {}).items()
        }
        assert list(service.command or ()) == list(seen.get("command") or ())
        assert list(service.entrypoint or ()) == list(seen.get("entrypoint") or ())
        assert dict(service.needs) == {
            other: how["condition"] for other, how in (seen.get("depends_on") or {}).items()
        }
        assert list((service.healthcheck and service.healthcheck.test) or ()) == list(
            seen.get("healthcheck", {}).get("test", ())
        )
        assert service.restart == seen["restart"]


def test_the_usual_services_need_no_variable_and_no_profile() -> None:
    assert set(read_compose(ROOT / "docker-compose.yml", {}).in_profiles(frozenset())) == {
        *("postgres", "databases", "temporal-schema", "temporal", "temporal-namespace", "temporal-ui"),
        *("schema", "worker", "webhooks"),
    }
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", ())} == PROFILES


def test_every_variable_stands_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text)) - {"DRUMBEAT_SECRETS", "DRUMBEAT_BACKUP_EVERY"}
    asked -= {"DRUMBEAT_HTTP_PORT", "DRUMBEAT_HTTPS_PORT"}
    example = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example == asked | {"COMPOSE_PROFILES"}


def test_no_password_is_in_a_variable_and_each_has_its_file(tmp_path: Path) -> None:
    subprocess.run(["/bin/sh", ROOT / "deploy" / "make-secrets.sh", tmp_path / "secrets"], check=True)
    made = {file.name for file in (tmp_path / "secrets").iterdir() if file.is_file()}
    assert made == set(COMPOSE["secrets"])
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for name, service in SERVICES.items():
        given = {
            value for key, value in service.get("environment", {}).items() if re.search("PASSWORD|PWD", key)
        }
        assert given == {f"/run/secrets/{secret}" for secret in service.get("secrets", ())}, name
    before = (tmp_path / "secrets" / "postgres_password").read_text()
    assert re.fullmatch("[0-9a-f]{48}", before)
    subprocess.run(["/bin/sh", ROOT / "deploy" / "make-secrets.sh", tmp_path / "secrets"], check=True)
    assert (tmp_path / "secrets" / "postgres_password").read_text() == before


def _with_secrets(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "/bin/sh",
            ROOT / "deploy" / "with-secrets.sh",
            "sh",
            "-c",
            'echo "$PGPASSWORD" "${SSL_CERT:-none}"',
        ],
        check=False,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
    )


def test_a_command_gets_the_passwords_of_its_files_and_of_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("it's a $secret\n")
    (tmp_path / "certificates").write_text("x" * 300_000)
    done = _with_secrets(
        PGPASSWORD_FILE=str(tmp_path / "password"), SSL_CERT_FILE=str(tmp_path / "certificates")
    )
    assert done.stdout == "it's a $secret none\n", done.stderr
    done = _with_secrets(PGPASSWORD_FILE=str(tmp_path / "missing"))
    assert done.returncode == 1
    assert "PGPASSWORD_FILE" in done.stderr
    assert "sh deploy/make-secrets.sh makes it" in done.stderr


def test_every_image_is_pinned() -> None:
    images = {service["image"] for service in SERVICES.values() if "image" in service}
    stages = set(re.findall(r"\bAS (\w+)", DOCKERFILE))
    images |= set(re.findall(r"^(?:FROM|ARG PYTHON_IMAGE=) ?([^$\s]+)", DOCKERFILE, re.MULTILINE)) - stages
    assert len(images) == 8
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_the_worker_is_healthy_when_it_says_that_it_is_ready() -> None:
    check = SERVICES["worker"]["healthcheck"]["test"]
    port = SERVICES["worker"]["environment"]["DRUMBEAT_METRICS_PORT"]
    assert check[:3] == ["CMD", "python", "-c"]
    assert f"'http://127.0.0.1:{port}/ready'" in check[3]
    # It fails where nobody listens, and does not wait longer than docker does.
    done = subprocess.run([sys.executable, *check[2:]], check=False, capture_output=True, text=True)
    assert (done.returncode, "URLError" in done.stderr) == (1, True)


def test_the_worker_is_given_the_time_to_end_well() -> None:
    seconds = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert seconds > worker.GRACE.total_seconds() + 10


@pytest.mark.parametrize("domain", ["localhost", "hooks.example.com"])
def test_the_proxy_takes_its_file(tmp_path: Path, domain: str) -> None:
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("caddy is not installed")
    done = subprocess.run(
        [program, "validate", "--config", ROOT / "deploy" / "Caddyfile", "--adapter", "caddyfile"],
        check=False,
        env={
            "HOME": str(tmp_path),
            "DRUMBEAT_DOMAIN": domain,
            "WEBHOOKS": SERVICES["caddy"]["environment"]["WEBHOOKS"],
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Valid configuration" in done.stdout + done.stderr


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 10
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == SERVICES["caddy"]["ports"]


def test_whatever_is_waited_for_can_become_ready() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"] == "on-failure", f"{name} waits for {other}"


def test_postgresql_keeps_its_data_where_version_18_has_it() -> None:
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in COMPOSE["volumes"]


def test_the_images_hold_all_the_code_and_run_without_rights() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["importlinter"]["root_packages"]) - {"rig", "chaos", "benchmarks"}
    copied = set(re.findall(r"^COPY (\w+)/ ", DOCKERFILE, re.MULTILINE))
    let_in = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == packages == let_in
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[2:]:
        assert "\nUSER drumbeat\n" in stage


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A server of its own: roles belong to a whole server."""
    server = Postgres(tmp_path, port=free_port(), durable=False)
    await server.start()
    try:
        connection = await asyncpg.connect(server.url("postgres"))
        password = PASSWORDS["POSTGRES_PASSWORD"]
        await connection.execute(f"create role postgres superuser login password '{password}'")
        await connection.close()
        connection = await asyncpg.connect(
            host="127.0.0.1", port=server.port, user="postgres", password=password, database="postgres"
        )
        await connection.execute("drop database drumbeat")
        await connection.execute("alter role drumbeat rename to of_the_embedded_server")
        await connection.close()
        yield server
    finally:
        await server.stop()


async def _run(script: str, environment: dict[str, str], *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        str(ROOT / "deploy" / script),
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, output.decode()
    return output.decode()


def _superuser(server: Postgres) -> dict[str, str]:
    """What the scripts find in their containers."""
    return {
        "PATH": f"{server.program('psql').parent}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        **PASSWORDS,
        "PGPASSWORD": PASSWORDS["POSTGRES_PASSWORD"],
    }


async def test_the_databases_are_made_once_and_take_a_changed_password(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    environment = _superuser(own_postgres)

    async def enter(role: str, password: str, database: str) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=own_postgres.port, user=role, password=password, database=database
        )
        await connection.close()

    await _run("databases.sh", environment)
    await _run("databases.sh", environment | {"TEMPORAL_DB_PASSWORD": "it's new"})
    for database in ("temporal", "temporal_visibility"):
        await enter("temporal", "it's new", database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await enter("temporal", "it's new", "drumbeat")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await enter("drumbeat", "two", "temporal")
    at = f"127.0.0.1:{own_postgres.port}/drumbeat?sslmode=disable"
    with pytest.raises(Unavailable, match=r"permission denied.*; first run 'worker\.py --migrate-only'"):
        await migrate(f"postgresql://drumbeat_worker:four@{at}")
    with pytest.raises(Unavailable, match=r"; first run 'worker\.py --migrate-only'"):
        await migrate(f"postgresql://drumbeat_reader:five@{at}")
    await migrate(f"postgresql://drumbeat:two@{at}")
    await migrate(f"postgresql://drumbeat_worker:four@{at}")
    await migrate(f"postgresql://drumbeat_reader:five@{at}")
    await _run("databases.sh", environment)

    owner = await asyncpg.connect(f"postgresql://drumbeat:two@{at}")
    await owner.execute("create index half_built on leads (name)")
    await owner.close()
    behind = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (behind / "29990101000000_later.sql").write_text(
        "-- migrate:up transaction:false\ncreate index concurrently half_built on leads (name);\n-- migrate:down\n"
    )
    with pytest.raises(Unavailable, match=r"must be owner.*; first run 'worker\.py --migrate-only'"):
        await migrate(f"postgresql://drumbeat_worker:four@{at}", migrations=behind)

    worker_role = await asyncpg.connect(f"postgresql://drumbeat_worker:four@{at}")
    reader = await asyncpg.connect(f"postgresql://drumbeat_reader:five@{at}")
    try:
        await worker_role.execute("insert into leads (phone) values ('+12015550100')")
        await worker_role.execute("create temporary table here (x int); delete from leads")
        for change in (
            "drop table leads",
            "alter table leads add x int",
            "truncate leads",
            "create table x ()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await worker_role.execute(change)
        assert await reader.fetchval("select count(*) from leads") == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reader.execute("insert into leads (phone) values ('+12015550100')")
        await reader.execute("set default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("insert into leads (phone) values ('+12015550100')")
        for connection, bounds in ((reader, "1min 10s 1min 20"), (worker_role, "15min 5min 10min 180")):
            assert await connection.fetchval(SHOW_BOUNDS) == bounds
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("create table x ()")
    finally:
        await worker_role.close()
        await reader.close()


@pytest.mark.parametrize(
    ("every", "days", "told"),
    [
        ("daily", "14", "DRUMBEAT_BACKUP_EVERY is a whole number of seconds, not 'daily'\n"),
        ("0", "-1", "DRUMBEAT_BACKUP_KEEP_DAYS is a whole number of days, not '-1'\n"),
        ("", "14", "DRUMBEAT_BACKUP_EVERY is a whole number of seconds, not ''\n"),
    ],
)
def test_a_backup_that_would_go_on_for_ever_does_not_begin(
    tmp_path: Path, every: str, days: str, told: str
) -> None:
    done = subprocess.run(
        ["/bin/sh", ROOT / "deploy" / "backup.sh"],
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "BACKUP_DIRECTORY": str(tmp_path),
            "BACKUP_EVERY": every,
            "BACKUP_KEEP_DAYS": days,
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
async def test_a_backup_is_restored_with_its_roles_and_an_incomplete_one_is_not(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    environment = _superuser(own_postgres)
    await _run("databases.sh", environment)
    at = f"127.0.0.1:{own_postgres.port}/drumbeat?sslmode=disable"
    await migrate(f"postgresql://drumbeat:two@{at}")
    backups = tmp_path / "backups"
    environment |= {"BACKUP_DIRECTORY": str(backups), "BACKUP_EVERY": "0", "BACKUP_KEEP_DAYS": "14"}

    async def leads(change: str = "select") -> int:
        connection = await asyncpg.connect(f"postgresql://drumbeat_worker:four@{at}")
        try:
            await connection.execute(change)
            count: int = await connection.fetchval("select count(*) from leads")
            return count
        finally:
            await connection.close()

    assert await leads("insert into leads (phone) values ('+12015550100')") == 1
    for old in ("20300101T000000Z", "20300102T000000Z.part"):
        (backups / old).mkdir(parents=True)
    os.utime(backups / "20300101T000000Z", (0, 0))
    assert "is complete" in await _run("backup.sh", environment)
    (made,) = backups.iterdir()
    assert made.stat().st_mode & 0o077 == 0
    assert {file.name for file in made.iterdir()} == {
        f"{name}.dump" for name in ("drumbeat", "temporal", "temporal_visibility")
    }

    assert await leads("insert into leads (phone) values ('+12015550101')") == 2
    await _run("restore.sh", environment, str(made))
    await _run("databases.sh", environment)  # as docker compose up does
    assert await leads() == 1
    held = await asyncpg.connect(f"postgresql://drumbeat_worker:four@{at}")
    assert (
        await held.fetchval("select how from restores where confirmed_at is null")
        == f"from the backup {made.name}"
    )
    assert not await held.fetchval("select ledger_is_at_home()")
    assert not await held.fetchval("select note_restore('again', null)"), "a worker may call it"
    await held.close()
    await _run("restore.sh", environment, str(made), "drumbeat")
    assert await leads() == 1, "workers may connect at once"
    await _run("databases.sh", environment)
    assert await leads("insert into leads (phone) values ('+12015550102')") == 2
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await leads("drop table leads")
    open_yet = await asyncpg.connect(f"postgresql://temporal:three@{at.replace('drumbeat', 'temporal')}")
    with pytest.raises(AssertionError, match='"temporal" is being accessed by other users'):
        await _run("restore.sh", environment, str(made))
    assert await leads() == 2
    await open_yet.close()
    (made / "temporal.dump").unlink()
    with pytest.raises(AssertionError, match=r"has no temporal\.dump: nothing was changed"):
        await _run("restore.sh", environment, str(made))
    assert await leads() == 2


async def test_the_namespace_is_made_once_with_the_registered_search_attributes() -> None:
    binary = next(
        Path(path) for path in (shutil.which("temporal"), ROOT / ".venv" / "bin" / "temporal") if path
    )
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=str(binary)) as server:
        environment = {
            "PATH": f"{binary.parent}{os.pathsep}{os.environ['PATH']}",
            "TEMPORAL_ADDRESS": server.client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": "drumbeat",
            "RETENTION": "30d",
        }
        await _run("temporal-namespace.sh", environment)
        assert await _run("temporal-namespace.sh", environment) == "namespace drumbeat is ready\n"
        listed = await asyncio.create_subprocess_exec(
            *(str(binary), "operator", "search-attribute", "list", "--address"),
            *(environment["TEMPORAL_ADDRESS"], "--namespace", "drumbeat"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await listed.communicate()
    found = dict(re.findall(r"^ *(Drumbeat\w+) +(\w+) *$", output.decode(), re.MULTILINE))
    kinds = {key.name: key.indexed_value_type.name.title() for key in attributes.ALL}
    assert found == kinds
