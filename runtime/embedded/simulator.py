"""The simulated WhatsApp gateway."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from runtime.embedded.program import Program

__all__ = ["Simulator"]

CHECKOUT = Path(__file__).parent.parent.parent


class Simulator(Program):
    """``python -m simulator`` on loopback."""

    name = "the simulated gateway"

    def __init__(self, home: Path, ports: Mapping[str, int]) -> None:
        """``ports``: simulator_port and simulator_control_port."""
        super().__init__(home / "logs" / "simulator.log")
        self._data = home / "simulator"
        self._ports = ports

    @property
    def url(self) -> str:
        """Where devices send to, and the inbox page."""
        return f"http://127.0.0.1:{self._ports['simulator_port']}"

    @property
    def control_url(self) -> str:
        """Where its faults and settings are, even while it is offline."""
        return f"http://127.0.0.1:{self._ports['simulator_control_port']}"

    def command(self) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "simulator", "--host", "127.0.0.1"),
            *("--port", str(self._ports["simulator_port"])),
            *("--control-port", str(self._ports["simulator_control_port"])),
            *("--data", str(self._data)),
        ]

    def directory(self) -> Path:
        return CHECKOUT

    async def answers(self) -> bool:
        # On the control port, which stays open while a fault setting has the gateway offline.
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._ports["simulator_control_port"])
        except OSError:
            return False
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        return b" 200 " in status
