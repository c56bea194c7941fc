"""asyncpg's types (generic for the type checker, plain classes at run time), and the meaning of PostgreSQL's errors."""

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

import asyncpg
from asyncpg import exceptions as errors
from asyncpg.pool import PoolConnectionProxy

__all__ = ["CONNECTION_LOST", "ERRORS", "Connection", "Pool", "Record", "Verdict", "verdict_of"]

if TYPE_CHECKING:
    Record = asyncpg.Record
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Record = asyncpg.Record
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection | PoolConnectionProxy


class Verdict(Enum):
    """What an error says about the statement that raised it."""

    AGAIN = "the server is away or busy, or transactions conflict: the same statement may work in a moment"
    MEND = "it fails until an operator mends the server, the schema or our rights"
    WRONG = "this statement with these values will never work"
    OVER = "this process is ending and writes nothing more"


_AGAIN, _MEND, _WRONG = Verdict.AGAIN, Verdict.MEND, Verdict.WRONG

ERRORS: Mapping[type[Exception], Verdict] = {
    # Not from PostgreSQL: the network, a timeout while waiting for a connection, or asyncpg itself, if the server went
    # away between two statements or the schema has just changed.
    OSError: _AGAIN,  # TimeoutError is one
    errors.InterfaceError: _AGAIN,
    errors.InternalClientError: _AGAIN,
    errors.OutdatedSchemaCacheError: _AGAIN,
    errors.InvalidCachedStatementError: _AGAIN,
    # By the error classes of PostgreSQL's manual, appendix A, with exceptions within a class.
    errors.SQLStatementNotYetCompleteError: _AGAIN,  # 03
    errors.PostgresConnectionError: _AGAIN,  # 08
    errors.ProtocolViolationError: _AGAIN,
    errors.TriggeredActionError: _WRONG,  # 09
    errors.FeatureNotSupportedError: _WRONG,  # 0A
    errors.InvalidTransactionInitiationError: _WRONG,  # 0B
    errors.LocatorError: _WRONG,  # 0F
    errors.InvalidGrantorError: _MEND,  # 0L
    errors.InvalidRoleSpecificationError: _MEND,  # 0P
    errors.DiagnosticsError: _WRONG,  # 0Z
    errors.InvalidArgumentForXqueryError: _WRONG,  # 10
    errors.CaseNotFoundError: _WRONG,  # 20
    errors.CardinalityViolationError: _WRONG,  # 21
    errors.DataError: _WRONG,  # 22
    errors.IntegrityConstraintViolationError: _WRONG,  # 23
    errors.InvalidCursorStateError: _WRONG,  # 24
    errors.InvalidTransactionStateError: _AGAIN,  # 25: read only after a failover, or a transaction that took too long
    errors.InvalidSQLStatementNameError: _AGAIN,  # 26: behind a pooler, another server has the prepared statement
    errors.TriggeredDataChangeViolationError: _WRONG,  # 27
    errors.InvalidAuthorizationSpecificationError: _MEND,  # 28
    errors.DependentPrivilegeDescriptorsStillExistError: _WRONG,  # 2B
    errors.InvalidTransactionTerminationError: _WRONG,  # 2D
    errors.SQLRoutineError: _WRONG,  # 2F
    errors.InvalidCursorNameError: _WRONG,  # 34
    errors.ExternalRoutineError: _WRONG,  # 38
    errors.ExternalRoutineInvocationError: _WRONG,  # 39
    errors.SavepointError: _WRONG,  # 3B
    errors.InvalidCatalogNameError: _MEND,  # 3D: the database is being restored
    errors.InvalidSchemaNameError: _MEND,  # 3F
    errors.TransactionRollbackError: _AGAIN,  # 40: serialization, deadlock
    errors.SyntaxOrAccessError: _MEND,  # 42: rights, and functions of another version of ours
    errors.WithCheckOptionViolationError: _WRONG,  # 44
    errors.InsufficientResourcesError: _AGAIN,  # 53: connections, disk, memory
    errors.ProgramLimitExceededError: _WRONG,  # 54
    errors.ObjectNotInPrerequisiteStateError: _AGAIN,  # 55: a lock is not to be had
    errors.OperatorInterventionError: _AGAIN,  # 57: shut down, starting, cancelled, timed out
    errors.DatabaseDroppedError: _MEND,
    errors.PostgresSystemError: _AGAIN,  # 58: input and output of the server
    errors.SnapshotTooOldError: _AGAIN,  # 72
    errors.ConfigFileError: _MEND,  # F0
    errors.FDWError: _WRONG,  # HV
    errors.PLPGSQLError: _WRONG,  # P0
    errors.InternalServerError: _MEND,  # XX: a fault of the server's, perhaps on its disk
    # Errors that a later PostgreSQL may have.
    errors.PostgresError: _MEND,
}
"""What each class of errors means; the nearest one counts."""

CONNECTION_LOST: tuple[type[Exception], ...] = tuple(
    kind for kind, verdict in ERRORS.items() if verdict is _AGAIN
)
"""Raised while PostgreSQL is down, has just gone away, or is too busy: the same statement may work in a moment."""


def verdict_of(error: BaseException) -> Verdict | None:
    """What the error means; None for one that does not come from the database."""
    if isinstance(error, errors.InterfaceError) and str(error).startswith("pool is clos"):
        return Verdict.OVER
    return next((ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS), None)
