"""The servers that a process uses: those that the environment names, or else the embedded ones."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from messaging.common.errors import InvalidInput
from runtime.embedded.lease import leased
from runtime.settings import Settings, load_settings

__all__ = ["Addresses", "address_of_temporal", "known_database", "servers"]


_NAMING = ("TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")
"""Variables that name a server. A configuration file in its usual place does not count, as it may be for other
programs.
"""


@dataclass(frozen=True)
class Addresses:
    """The servers' addresses. ``notices``: lines that the operator should read, e.g. that a port was taken."""

    database_url: str | None
    temporal_address: str
    namespace: str | None
    ui_url: str | None
    simulator_url: str | None
    embedded: bool
    notices: tuple[str, ...] = ()


@asynccontextmanager
async def servers(
    settings: Settings, tell: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Addresses]:
    """Yields the servers' addresses; starts the embedded servers if needed, and stops them after their last user.

    With Temporal's address but no DATABASE_URL, only operations without a database work, such as a service that
    enrolls. ``tell`` is called when something takes a while. Raises Unavailable and InvalidInput.
    """
    address = address_of_temporal()
    if address is not None:
        yield Addresses(
            database_url=settings.database_url,
            temporal_address=address,
            namespace=None,
            ui_url=None,
            simulator_url=settings.simulator_url,
            embedded=False,
        )
        return
    if settings.database_url is not None:
        raise InvalidInput(
            "DATABASE_URL is set but TEMPORAL_ADDRESS is not: set both for servers of your own, or neither for the "
            "embedded ones"
        )
    async with leased(settings.home, settings.ports, tell) as running:
        yield Addresses(
            database_url=running.database_url,
            temporal_address=running.temporal_address,
            namespace="default",
            ui_url=running.ui_url,
            simulator_url=running.simulator_url,
            embedded=True,
            notices=running.notices,
        )


def known_database() -> str | None:
    """The address of the database as far as it is known without starting anything; None if it is not. Raises InvalidInput."""
    settings = load_settings()
    if address_of_temporal() is not None:
        return settings.database_url
    from runtime.embedded.state import read_running

    running = read_running(settings.home)
    return running.database_url if running is not None else None


def address_of_temporal() -> str | None:
    """Temporal's address from the environment, or from the profile that it names; None if it names no server. Raises
    InvalidInput.
    """
    address = os.environ.get("TEMPORAL_ADDRESS")  # it overrides the profile's
    if not address and any(os.environ.get(variable) for variable in _NAMING):
        from runtime.temporal_client import configured_address

        address = configured_address()
    return address or None
