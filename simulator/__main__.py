"""``python -m simulator``: runs the simulated gateway until SIGINT or SIGTERM."""

import argparse
import errno
import fcntl
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socket import socket

import uvloop

from simulator.app import create_app
from simulator.gateway import Gateway
from simulator.guard import is_loopback
from simulator.server import Server, bind
from simulator.settings import Setting
from simulator.store import Store


class CannotStart(Exception):
    """Why, in one line."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A simulated WhatsApp gateway.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=8055, help="0 takes any free one (default: 8055)")
    parser.add_argument(
        "--control-port", type=int, help="stays open while offline (default: the next one that is free)"
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="a name by which it is called, beside loopback's; may be repeated",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="where the log is kept")
    either = argparse.BooleanOptionalAction
    parser.add_argument("--idempotency", action=either, help="honour idempotency keys (until changed: yes)")
    parser.add_argument("--lookup", action=either, help="let messages be looked up (until changed: yes)")
    arguments = parser.parse_args()
    for port in (arguments.port, arguments.control_port or 0):
        if not 0 <= port < 65_536:
            parser.error(f"{port} is not a port: give one from 0 to 65535")
    return arguments


def _bind(host: str, port: int) -> socket:
    try:
        bound = bind(host, port)
        try:
            bound.listen()
        except OSError:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"port {port} on {host} is in use: choose another one with --port") from None
        raise CannotStart(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return bound


def _bind_control(host: str, port: int | None, main: int) -> socket:
    if port is not None:
        return _bind(host, port)
    with suppress(CannotStart, OverflowError):
        return _bind(host, main + 1)
    return _bind(host, 0)


@contextmanager
def _sole_user(directory: Path) -> Iterator[None]:
    """Faults and keys are kept in memory too: two processes on one log would contradict each other."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise CannotStart(f"cannot write to {directory}: {error.strerror or error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"{directory} is in use by another simulated gateway") from None
        yield


async def _serve(arguments: argparse.Namespace, store: Store, main: socket, control: socket) -> None:
    gateway = Gateway(store)
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    gateway.url = f"http://{host}:{main.getsockname()[1]}"
    gateway.control_url = f"http://{host}:{control.getsockname()[1]}"
    if arguments.idempotency is not None or arguments.lookup is not None:
        await gateway.settings.put(None, Setting(idempotency=arguments.idempotency, lookup=arguments.lookup))
    sys.stdout.write(f"simulated gateway at {gateway.url} (control: {gateway.control_url})\n")
    sys.stdout.flush()
    app = create_app(gateway, names=arguments.name, network=not is_loopback(arguments.host))
    await Server(app, gateway, main, control).serve()


def main() -> int:
    """Returns the exit code: 0 after a signal, 1 with one line on standard error when it cannot start."""
    arguments = _arguments()
    try:
        with (
            closing(_bind(arguments.host, arguments.port)) as front,
            closing(_bind_control(arguments.host, arguments.control_port, front.getsockname()[1])) as control,
            _sole_user(arguments.data),
        ):
            try:
                store = Store(arguments.data)
            except (OSError, sqlite3.Error) as error:
                raise CannotStart(f"the log in {arguments.data} cannot be opened: {error}") from None
            with closing(store):
                uvloop.run(_serve(arguments, store, front, control))
    except CannotStart as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
