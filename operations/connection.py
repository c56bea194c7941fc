"""A connection to the servers: to Temporal at once, to PostgreSQL when it is first needed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from messaging.common.errors import Unavailable
from messaging.common.private_keys import present_keys, read_keys, use_keys
from messaging.events.acting import Actor
from runtime.servers import Addresses, servers
from runtime.settings import Settings, load_settings
from runtime.who import service

if TYPE_CHECKING:
    from temporalio.client import Client

    from messaging.common.database import Pool

__all__ = ["Drumbeat", "connect"]


class Drumbeat:
    """The connections that :func:`connect` has made. Safe to share between tasks."""

    def __init__(
        self,
        settings: Settings,
        addresses: Addresses,
        temporal: "Client | None",
        tell: Callable[[str], None] = lambda _: None,
        actor: Actor | None = None,
    ) -> None:
        self.settings = settings
        self.addresses = addresses
        self._temporal = temporal
        self.tell = tell
        """Called with lines that the operator should read."""
        self.actor = actor or service(settings.act_as)
        """Whose acts these are, in the list of events."""
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    @property
    def temporal(self) -> "Client":
        """The Temporal client. Only if the connection was made with it."""
        assert self._temporal is not None, "connect() was called with temporal=False"
        return self._temporal

    async def reach_temporal(self) -> "Client":
        """The Temporal client; connects now if the connection was made without it. Raises Unavailable."""
        if self._temporal is None:
            self._temporal = await _client(self.settings, self.addresses, self.tell, self.actor)
        return self._temporal

    async def pool(self) -> "Pool":
        """The pool of connections to PostgreSQL; brings the schema up to date first.

        Raises Unavailable if PostgreSQL cannot be reached, or if none was named.
        """
        from messaging.common.private_mode import require_its_keys
        from runtime.database import migrate, open_pool

        async with self._opening:
            if self._pool is None:
                url = self.addresses.database_url
                if url is None:
                    raise Unavailable("this needs PostgreSQL: set DATABASE_URL")
                await migrate(url, patience=self.settings.patience, tell=self.tell)
                pool = await open_pool(url, size=self.settings.pool_size, actor=self.actor)
                try:
                    await require_its_keys(pool)
                except BaseException:
                    await pool.close()
                    raise
                self._pool = pool
            return self._pool

    async def close(self) -> None:
        """Closes the pool, if it was opened."""
        if self._pool is not None:
            await self._pool.close()


@asynccontextmanager
async def connect(
    settings: Settings | None = None,
    tell: Callable[[str], None] = lambda _: None,
    *,
    temporal: bool = True,
    name: str = "",
    actor: Actor | None = None,
) -> AsyncIterator[Drumbeat]:
    """Connects to the servers that the environment names, or to the embedded ones, which it starts if needed.

    ``tell`` is called with lines for the operator, for example about a wait. ``temporal``: whether Temporal is needed;
    a command that uses only the ledger starts in half the time without it. ``name``: the service's name in the list of
    events; unset: DRUMBEAT_AS, or the program's name. ``actor``: for what is no service. Raises Unavailable and
    InvalidInput.
    """
    settings = settings or load_settings()
    use_keys(read_keys(settings.private_keys) if settings.private_keys else None)
    actor = actor or service(name or settings.act_as)
    async with servers(settings, tell) as addresses:
        for notice in addresses.notices:
            tell(notice)
        client = await _client(settings, addresses, tell, actor) if temporal else None
        drumbeat = Drumbeat(settings, addresses, client, tell, actor)
        try:
            yield drumbeat
        finally:
            await drumbeat.close()


async def _client(
    settings: Settings, addresses: Addresses, tell: Callable[[str], None], actor: Actor
) -> "Client":
    from runtime.temporal_client import connect as connect_temporal
    from runtime.temporal_client import ensure_search_attributes
    from temporal import search_attributes as attributes
    from temporal.actors import Sender
    from temporal.no_eager_starts import NoEagerStarts

    more: dict[str, Any] = {}
    if (keys := present_keys()) is not None:
        from temporal.codec import private_data_converter

        more["data_converter"] = private_data_converter(keys)
    client = await connect_temporal(
        addresses.temporal_address,
        addresses.namespace,
        embedded=addresses.embedded,
        patience=settings.patience,
        tell=tell,
        interceptors=[Sender(actor), *([NoEagerStarts()] if settings.build_id else [])],
        **more,
    )
    if addresses.embedded:
        await ensure_search_attributes(client, attributes.ALL)
    return client
