"""The names of asyncpg's types, generic to the type checker, plain classes at run time; and of the errors of a lost server."""

from typing import TYPE_CHECKING

import asyncpg
from asyncpg.pool import PoolConnectionProxy

__all__ = ["GONE", "Connection", "Pool", "Record"]

if TYPE_CHECKING:
    Record = asyncpg.Record
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Record = asyncpg.Record
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection | PoolConnectionProxy

GONE: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What is raised while PostgreSQL is down or has just gone: the same statement may work again in a moment.

The last one comes where the server took its leave between two statements, and asyncpg has not seen the connection close.
"""
