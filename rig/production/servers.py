"""All services of the file, started in their order, kept running, and stopped."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from messaging.common.errors import DrumbeatError, InvalidInput, Unavailable
from rig import gateway_control
from rig.production.build import MODULES, build
from rig.production.compose import Compose, Service, read_compose
from rig.production.place import Place, choose_network
from rig.production.postgres import ImagePostgres, full_postgres
from rig.production.programs import POSTGRES, command_of, image_name
from rig.production.prometheus import PROMETHEUS, configure
from rig.production.service import Replica, run_once
from rig.stage import SIMULATOR_SECRET
from runtime.embedded.processes import ProcessId
from runtime.embedded.program import Program
from runtime.embedded.state import Running, State, read_state, write_state
from runtime.settings import CHECKOUT

__all__ = ["OURS", "PROGRAMS", "Production", "build_all", "production"]

FILE = "docker-compose.yml"
OURS = ("worker", "webhooks")
"""The services that run Drumbeat itself."""
PROGRAMS = Path(os.environ.get("DRUMBEAT_PROGRAMS") or CHECKOUT / ".drumbeat" / "programs")
"""Where what was built is kept."""
ATTEMPTS = 3
"""How often a service is started before it counts as one that does not start."""
AGAIN_AFTER = 0.5
"""Seconds after which a service that ended is started again."""

Tell = Callable[[str], None]


@dataclass
class Production:
    """The services while they run."""

    place: Place
    programs: Path
    services: Mapping[str, Service]
    tell: Tell
    replicas: dict[str, Program] = field(default_factory=dict)
    """By the service's name, with a number if it has several."""
    _keepers: list[asyncio.Task[None]] = field(default_factory=list)
    _done: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment for a process that is to use these servers from this machine."""
        host, password = self.place.address("postgres"), self.secret("drumbeat_worker_db_password")
        found = {
            "DATABASE_URL": f"postgresql://drumbeat_worker:{password}@{host}:5432/drumbeat?sslmode=disable",
            "TEMPORAL_ADDRESS": f"{self.place.address('temporal')}:7233",
            "TEMPORAL_NAMESPACE": self.place.compose.services["worker"].environment["TEMPORAL_NAMESPACE"],
            "DRUMBEAT_HOME": str(self.place.home),
        }
        if "simulator" in self.services:
            found["DRUMBEAT_SIMULATOR_URL"] = self._simulator(8055)
        return found

    def _simulator(self, port: int) -> str:
        return f"http://{self.place.address('simulator')}:{port}"

    @property
    def ui_url(self) -> str:
        """The Temporal Web UI."""
        return f"http://{self.place.address('temporal-ui')}:8080"

    @property
    def prometheus_url(self) -> str | None:
        """Prometheus; None if it does not run."""
        return f"http://{self.place.address('prometheus')}:9090" if "prometheus" in self.services else None

    def secret(self, name: str) -> str:
        """One of the passwords."""
        return (self.place.root / self.place.compose.secrets[name]).read_text("utf-8").strip()

    async def start(self) -> None:
        """Starts every service when those that it waits for are ready. Raises Unavailable and InvalidInput."""
        self._done = {name: asyncio.Event() for name in self.services}
        async with asyncio.TaskGroup() as tasks:
            for service in self.services.values():
                tasks.create_task(self._start(service))
        self._record()

    async def _start(self, service: Service) -> None:
        for other in service.needs:
            if other in self._done:
                await self._done[other].wait()
        log = self.place.home / "logs" / f"{service.name}.log"
        if service.restart in ("no", "on-failure"):
            await run_once(service, command_of(service, self.place, self.programs), log)
            self.tell(f"{service.name}: done")
        else:
            replicas = [self._replica(service, number) for number in range(service.replicas)]
            for replica in replicas:
                await replica.launch()
                self.replicas[replica.name] = replica
            for replica in replicas:
                await self._get_ready(replica)
                self._keepers.append(asyncio.create_task(self._keep(replica)))
                self.tell(f"{replica.name}: up (process {replica.pid})")
        self._done[service.name].set()

    async def _get_ready(self, replica: Program) -> None:
        """Starts it again if it ends, as Docker does; but not for ever."""
        for _ in range(ATTEMPTS - 1):
            try:
                return await replica.ready()
            except Unavailable as error:
                self.tell(f"{error}; it is started again")
            await asyncio.sleep(AGAIN_AFTER)
            await replica.launch()
        return await replica.ready()

    def _replica(self, service: Service, number: int) -> Program:
        name = service.name if service.replicas == 1 else f"{service.name}-{number + 1}"
        log = self.place.home / "logs" / f"{name}.log"
        command = command_of(service, self.place, self.programs, number)
        if image_name(service) == POSTGRES:
            (source,) = service.mounts.values()
            server = ImagePostgres(self.place.volume(source), self.place.address(service.name), command, log)
            server.name = name
            server.forget_dead_postmaster()
            return server
        if image_name(service) == PROMETHEUS:
            configure(service, self.services, self.place)
        for source in service.mounts.values():
            if source in self.place.compose.volumes:
                self.place.volume(source).mkdir(parents=True, exist_ok=True)
        check = service.healthcheck and command_of(
            service, self.place, self.programs, number, service.healthcheck.test
        )
        return Replica(service, name, command, check or None, log)

    async def _keep(self, replica: Program) -> None:
        """Starts it again whenever it ends, as Docker does."""
        while True:
            await replica.wait()
            self.tell(f"{replica.name}: ended, and is started again")
            await asyncio.sleep(AGAIN_AFTER)
            try:
                await replica.launch()
                self._record()
                await replica.ready()
            except (DrumbeatError, OSError) as error:
                self.tell(str(error))

    def _record(self) -> None:
        """Writes which processes run, where the rig finds it for the embedded servers, too."""
        this = ProcessId.of(os.getpid())
        assert this is not None
        children = {name: ProcessId.of(one.pid) for name, one in self.replicas.items() if one.alive}
        variables = self.variables
        running = Running(
            database_url=variables["DATABASE_URL"],
            temporal_address=variables["TEMPORAL_ADDRESS"],
            namespace=variables["TEMPORAL_NAMESPACE"],
            ui_url=self.ui_url,
            simulator_url=variables.get("DRUMBEAT_SIMULATOR_URL", ""),
            simulator_control_url=self._simulator(8056),
            ports={},
        )
        found = {name: process for name, process in children.items() if process is not None}
        write_state(self.place.home, State(supervisor=this, children=found, running=running))

    async def hear_simulator(self) -> None:
        """Lets the simulated gateway report to the webhooks, with a secret that devices can name."""
        file = self.place.home / SIMULATOR_SECRET
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32))
        url = f"http://{self.place.address('webhooks')}:8060/webhooks"
        await gateway_control.listen(self._simulator(8056), url, file.read_text("utf-8"))

    async def stop(self) -> None:
        """Stops what runs, Drumbeat's own processes first and PostgreSQL last."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        left = dict(self.replicas)
        for first in (_of(left, *OURS), _of(left, "temporal", "simulator", "caddy"), left):
            await asyncio.gather(*(left[name].stop() for name in [*first]))
            for name in [*first]:
                left.pop(name)
        write_state(self.place.home, None)


def _of(replicas: Mapping[str, Program], *prefixes: str) -> list[str]:
    return [name for name in replicas if name.startswith(prefixes)]


@asynccontextmanager
async def production(
    home: Path,
    tell: Tell,
    *,
    profiles: Iterable[str] = (),
    without: Iterable[str] = (),
) -> AsyncIterator[Production]:
    """Runs the services of ``docker-compose.yml`` during the block. ``without``: services that are left out.

    ``home`` keeps data, passwords and logs. Raises Unavailable and InvalidInput, perhaps in a group.
    """
    before = read_state(home)
    if before is not None and before.supervisor.runs:
        raise InvalidInput(
            f"process {before.supervisor.pid} runs these services with the data in {home}: end it, or give --fresh or --data"
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "logs").mkdir(mode=0o700, exist_ok=True)
    passwords = home / "secrets"
    making = await asyncio.create_subprocess_exec(
        "/bin/sh", str(CHECKOUT / "deploy" / "make-secrets.sh"), str(passwords)
    )
    if await making.wait():
        raise Unavailable(f"no passwords could be made in {passwords}")
    wanted = frozenset({"simulator", *profiles})
    compose = read_compose(
        CHECKOUT / FILE,
        {
            "DRUMBEAT_SECRETS": str(passwords),
            "DRUMBEAT_BACKUPS": str(home / "backups"),
            "DRUMBEAT_SIMULATOR_URL": "http://simulator:8055",
            **({"TEMPORAL_SERVICES": "frontend"} if "cluster" in wanted else {}),
        },
    )
    services = {
        name: service for name, service in compose.in_profiles(wanted).items() if name not in set(without)
    }
    _insist_on_known(compose, services)
    await _build(services, tell)
    place = Place(compose, CHECKOUT, home, choose_network(home))
    here = Production(place, PROGRAMS, services, tell)
    try:
        await here.start()
        if {"simulator", "webhooks"} <= set(services):
            await here.hear_simulator()
        yield here
    finally:
        await here.stop()


async def build_all(tell: Tell) -> None:
    """Builds what is needed, and makes sure that the rest is there. Raises Unavailable."""
    full_postgres()
    await _build(read_compose(CHECKOUT / FILE, {}).services, tell)


async def _build(services: Mapping[str, Service], tell: Tell) -> None:
    for image in dict.fromkeys(service.image for service in services.values() if service.image):
        if image.partition(":")[0] in MODULES:
            await build(PROGRAMS, image, tell)


def _insist_on_known(compose: Compose, services: Mapping[str, Service]) -> None:
    for service in services.values():
        for other in service.needs:
            if other not in compose.services:
                raise InvalidInput(f"service {service.name} waits for {other}, which the file does not have")
