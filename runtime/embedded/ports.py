"""Which ports the embedded servers listen on."""

import json
import socket
from pathlib import Path

from messaging.errors import Unavailable

__all__ = ["choose_ports", "free_port", "is_open"]

NAMES = {
    "temporal_port": "Temporal",
    "ui_port": "the Temporal Web UI",
    "postgres_port": "PostgreSQL",
    "simulator_port": "the simulated gateway",
}


def choose_ports(
    home: Path, wanted: dict[str, int], explicit: list[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """The port of each server, and a line for each that had to give way.

    What was chosen is remembered, so that a restart finds the same ports. Raises Unavailable for a port that was
    asked for by hand and is taken.
    """
    remembered = _remembered(home)
    chosen: dict[str, int] = {}
    notices = []
    for name, port in wanted.items():
        variable = f"DRUMBEAT_{name.upper()}"
        candidate = port if name in explicit else remembered.get(name, port)
        if is_open(candidate) and candidate not in chosen.values():
            chosen[name] = candidate
            continue
        if name in explicit:
            raise Unavailable(f"port {port} ({variable}) is in use: name another one for {NAMES[name]}")
        chosen[name] = _next_open(port, set(chosen.values()) | set(wanted.values()))
        notices.append(
            f"port {candidate} is in use: {NAMES[name]} listens on {chosen[name]} instead"
            f" ({variable} names another)"
        )
    (home / "ports.json").write_text(json.dumps(chosen))
    return chosen, tuple(notices)


def _remembered(home: Path) -> dict[str, int]:
    try:
        ports = json.loads((home / "ports.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: port for name, port in ports.items() if name in NAMES and isinstance(port, int)}


def _next_open(after: int, taken: set[int]) -> int:
    for port in range(after + 1, min(after + 200, 65536)):
        if port not in taken and is_open(port):
            return port
    return free_port()


def is_open(port: int) -> bool:
    """Whether a server could listen on that loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Any free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
