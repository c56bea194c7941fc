"""What make production would start, and what it says where it cannot."""

import os
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from messaging.common.errors import InvalidInput, Unavailable
from rig.production import build as building
from rig.production.__main__ import main
from rig.production.build import MODULES, build
from rig.production.compose import read_compose
from rig.production.place import Place
from rig.production.programs import command_of
from rig.production.prometheus import configure
from rig.production.servers import FILE, production
from runtime.embedded.processes import ProcessId
from runtime.embedded.state import State, read_state, write_state
from runtime.settings import CHECKOUT

PROFILES = frozenset({"cluster", "simulator"})
OF_A_CONTAINER = re.compile(
    r"(?<![\w.])(?:/deploy|/run/secrets|/data|/backups|0\.0\.0\.0|127\.0\.0\.1)(?![\w.])"
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    variables = {
        "DRUMBEAT_SECRETS": str(tmp_path / "secrets"),
        "DRUMBEAT_SIMULATOR_URL": "http://simulator:8055",
    }
    return Place(read_compose(CHECKOUT / FILE, variables), CHECKOUT, tmp_path, "127.99.1")


def test_nothing_of_a_container_is_left_in_what_is_started(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rig.production.programs.full_postgres", lambda: Path("/usr/lib/postgresql/18/bin"))
    addresses = set()
    for name, service in place.compose.in_profiles(PROFILES).items():
        for number in range(service.replicas):
            command = command_of(service, place, Path("/built"), number)
            environment = {**{key: command.environment[key] for key in service.environment}}
            words = [*command.words, *environment.values()]
            assert [word for word in words if OF_A_CONTAINER.search(word)] == [], name
            hosts = [word for word in words if re.search(r"\b(?:postgres|temporal|simulator):\d", word)]
            assert hosts == [], name
            addresses.add(place.address(name, number))
    assert all(int(address.rpartition(".")[2]) < 255 for address in addresses)
    assert len(addresses) == sum(service.replicas for service in place.compose.in_profiles(PROFILES).values())


def test_the_worker_is_started_as_its_service_says(place: Place) -> None:
    worker = command_of(place.compose.services["worker"], place, Path("/built"))
    assert worker.words[-2:] == ("python", "worker.py")
    assert worker.folder == CHECKOUT
    assert worker.environment["TEMPORAL_ADDRESS"] == f"{place.address('temporal')}:7233"
    url = worker.environment["DATABASE_URL"]
    assert url == f"postgresql://drumbeat_worker@{place.address('postgres')}:5432/drumbeat?sslmode=disable"
    simulator = command_of(place.compose.services["simulator"], place, Path("/built"))
    assert simulator.words[:3] == ("python", "-m", "simulator"), "the image's entrypoint"


def test_an_image_that_nobody_knows_is_told(place: Place) -> None:
    with pytest.raises(
        InvalidInput, match=r"service grafana: nothing is known of the image grafana/grafana:"
    ):
        command_of(place.compose.services["grafana"], place, Path("/built"))


def test_images_and_modules_have_the_same_versions(place: Place) -> None:
    images = {service.image for service in place.compose.services.values() if service.image}
    built = {image for image in images if image.partition(":")[0] in MODULES}
    assert {image.partition(":")[0] for image in built} == set(MODULES)
    assert len({image.partition(":")[2] for image in built if "ui" not in image}) == 1


async def test_two_do_not_run_on_the_same_data(tmp_path: Path) -> None:
    this = ProcessId.of(os.getpid())
    assert this is not None
    write_state(tmp_path, State(supervisor=this))
    with pytest.raises(InvalidInput, match=rf"process {os.getpid()} runs these services with the data in"):
        async with production(tmp_path, print):
            pass
    assert read_state(tmp_path) is not None


async def test_where_go_is_missing_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(building, "USUAL", str(tmp_path))
    with pytest.raises(
        Unavailable, match=r"^this builds Temporal's programs from source: install Go \(https"
    ):
        await build(tmp_path / "programs", "temporalio/server:1.32.0", print)
    assert not (tmp_path / "programs").exists()


async def test_where_modules_cannot_be_fetched_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'dial tcp: lookup proxy: no such host' >&2; exit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        Unavailable, match=r"^go\.temporal\.io/server cannot be fetched: dial tcp: lookup proxy"
    ):
        await build(tmp_path / "programs", "temporalio/server:1.32.0", lambda _: None)
    assert not (tmp_path / "programs").exists()


def test_prometheus_asks_every_replica_where_containers_would_ask_names(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rig.production.programs.prometheus_program", lambda: "/usr/bin/prometheus")
    service = place.compose.services["prometheus"]
    services = {
        name: one for name, one in place.compose.services.items() if not one.profiles or one is service
    }
    configure(service, services, place)
    (job,) = YAML(typ="safe").load(place.home / "prometheus" / "prometheus.yml")["scrape_configs"]
    worker, webhooks = (place.address(name) for name in ("worker", "webhooks"))
    assert job["job_name"] == "drumbeat"
    assert job["static_configs"] == [
        {"targets": [f"{worker}:9464", f"{place.address('worker', 1)}:9464", f"{webhooks}:9464"]}
    ]
    assert (place.home / "prometheus" / "drumbeat.rules.yml").is_file()
    command = command_of(service, place, Path("/built"))
    assert command.words == (
        "prometheus",
        f"--config.file={place.home / 'prometheus' / 'prometheus.yml'}",
        "--storage.tsdb.retention.time=30d",
        f"--web.listen-address={place.address('prometheus')}:9090",
    )


def test_a_place_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--data", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == f"production: {tmp_path / 'file'} cannot be used: File exists\n"
