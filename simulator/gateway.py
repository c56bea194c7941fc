"""The shared state of one running simulated gateway."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from simulator.courier import Courier
from simulator.faults import Faults
from simulator.settings import Settings
from simulator.store import Store

__all__ = ["Gateway", "gateway_of"]


class Gateway:
    """The log, the faults, the settings and the webhooks of one process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults(store)
        self.settings = Settings(store)
        self.courier = Courier(store)
        self.stopping = asyncio.Event()
        self.url = ""
        self.control_url = ""
        self.follow: Callable[[object], Awaitable[None]] | None = None
        """Opens or closes the main port as the faults require; keeps the connection ``spare`` open."""

    async def pause(self, seconds: float) -> bool:
        """Waits; False if the gateway stopped during the wait."""
        if seconds <= 0:
            return True
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return True
        return False


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves this request."""
    gateway: Gateway = request.app.state.gateway
    return gateway
