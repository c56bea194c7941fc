"""``make production``: runs what ``docker-compose.yml`` describes as plain processes on this machine.

Without a command, until Ctrl-C. With one, such as ``-- python starter.py demo --exit``, until the command ends, which finds
the servers in its environment; the exit code is the command's.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from messaging.common.errors import DrumbeatError
from rig.production.servers import OURS, Production, build_all, production
from rig.workers import environment
from runtime.process import leave
from runtime.settings import CHECKOUT

__all__ = ["main"]

HOME = CHECKOUT / ".drumbeat" / "production"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make production",
        description="Run the services of docker-compose.yml as plain processes, without Docker.",
        epilog="docs/production.md says more.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--cluster", action="store_true", help="Temporal's services as processes of their own"
    )
    parser.add_argument(
        "--monitoring",
        action="store_true",
        help="this machine's Prometheus, too, with the configuration of the profile (without Grafana)",
    )
    parser.add_argument(
        "--servers-only", action="store_true", help="without workers: the command starts its own"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="with data of its own, which is removed at the end"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=HOME,
        metavar="DIR",
        help="data, passwords and logs (default: %(default)s)",
    )
    parser.add_argument(
        "--build",
        action="store_true",
        help="only build the programs, and see whether all that is needed is there",
    )
    parser.add_argument("command", nargs="*", help="what to run on these servers")
    return parser.parse_args(arguments)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def _home(given: argparse.Namespace) -> Iterator[Path]:
    if given.fresh:
        with tempfile.TemporaryDirectory(prefix="drumbeat-production-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    else:
        yield given.data.expanduser().absolute()


async def _run(given: argparse.Namespace) -> int:
    profiles = [name for name in ("cluster", "monitoring") if getattr(given, name)]
    without = ["grafana", *(OURS[:1] if given.servers_only else ())]
    if given.build:
        await build_all(_tell)
        return 0
    with _home(given) as home:
        async with production(home, _tell, profiles=profiles, without=without) as here:
            if given.command:
                return await _command(here, given.command)
            _show(here)
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await stop.wait()
    return 0


async def _command(here: Production, command: Sequence[str]) -> int:
    # "python" is the one that has Drumbeat's libraries.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *command, cwd=CHECKOUT, env=environment(**here.variables, PATH=path)
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _show(here: Production) -> None:
    sys.stdout.write("Everything runs until Ctrl-C. In another terminal:\n\n")
    for name, value in here.variables.items():
        sys.stdout.write(f"export {name}='{value}'\n")
    if here.prometheus_url:
        sys.stdout.write(f"\nPrometheus: {here.prometheus_url}")
    sys.stdout.write(f"\nTemporal Web UI: {here.ui_url}\nlogs: {here.place.home / 'logs'}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: the command's, or 1 with one line if the servers do not start."""
    given = _arguments(arguments)
    try:
        return asyncio.run(_run(given))
    except* DrumbeatError as failures:
        for failure in _single(failures):
            _tell(f"production: {failure}")
    except* OSError as failures:
        for failure in _single(failures):
            assert isinstance(failure, OSError)
            _tell(f"production: {failure.filename or 'a file'} cannot be used: {failure.strerror or failure}")
    return 1


def _single(failures: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for failure in failures.exceptions:
        found += _single(failure) if isinstance(failure, BaseExceptionGroup) else [failure]
    return found


if __name__ == "__main__":
    try:
        leave(main())
    except KeyboardInterrupt:
        leave(130)
