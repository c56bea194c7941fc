"""Chooses the loopback ports of the embedded servers."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

from messaging.common.errors import Unavailable

__all__ = ["choose_ports", "describe", "variable"]

NAMES = {
    "temporal_port": "Temporal",
    "ui_port": "the Temporal Web UI",
    "postgres_port": "PostgreSQL",
    "simulator_port": "the simulated gateway",
}

INTERNAL = {"temporal_http_port": 7243, "temporal_metrics_port": 7253, "simulator_control_port": 8056}
"""Internal ports, and where the search for a free one begins."""


def variable(name: str) -> str:
    """The environment variable that names this port."""
    return f"DRUMBEAT_{name.upper()}"


def describe(name: str) -> str:
    """The name of the server of that port."""
    return NAMES[name]


def choose_ports(
    home: Path, wanted: Mapping[str, int], explicit: frozenset[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """The port of each server, and a line for each that is not the usual one.

    The choice is stored, so that a restart finds the same ports. Raises Unavailable if a port that was set by hand (its
    name is in ``explicit``) is taken.
    """
    remembered = _remembered(home)
    chosen: dict[str, int] = {}
    notices = []
    for name in sorted(wanted, key=lambda name: name not in explicit):
        port = wanted[name]
        if name in explicit:
            _insist(name, port, chosen)
            chosen[name] = port
            continue
        candidate = remembered.get(name, port)
        if candidate in chosen.values() or not is_open(candidate):
            chosen[name] = _next_open(port, {*chosen.values(), *wanted.values()})
            notices.append(
                f"port {candidate} is in use, {NAMES[name]} listens on {chosen[name]} instead; set {variable(name)} to "
                "choose"
            )
        else:
            chosen[name] = candidate
    for name, port in INTERNAL.items():
        candidate = remembered.get(name, port)
        taken = set(chosen.values())
        chosen[name] = candidate if candidate not in taken and is_open(candidate) else _next_open(port, taken)
    (home / "ports.json").write_text(json.dumps(chosen, indent=1))
    return chosen, tuple(notices)


def _insist(name: str, port: int, chosen: Mapping[str, int]) -> None:
    for other, others in chosen.items():
        if others == port:
            raise Unavailable(
                f"{variable(other)} and {variable(name)} both name port {port}: give each its own"
            )
    if not is_open(port):
        raise Unavailable(f"port {port} is in use: set {variable(name)} to another one for {NAMES[name]}")


def _remembered(home: Path) -> dict[str, int]:
    try:
        ports = json.loads((home / "ports.json").read_text())
        return {name: port for name, port in ports.items() if isinstance(port, int) and 0 < port < 65_536}
    except (OSError, ValueError, AttributeError):
        return {}


def _next_open(after: int, taken: set[int]) -> int:
    for port in range(after + 1, min(after + 200, 65_536)):
        if port not in taken and is_open(port):
            return port
    raise Unavailable(f"none of the ports {after} to {after + 199} is free")


def is_open(port: int) -> bool:
    """True if a server could listen on that loopback port now."""
    with socket.socket() as probe:
        # Like servers do, so that connections which have just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
