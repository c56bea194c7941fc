"""The roles of workers: what a worker takes on, and from which task queues.

The queue that operators name is that of the workflows. Each other role has one of its own, whose name begins with it.
"""

from collections.abc import Iterable
from typing import Final, Literal

from messaging.common.errors import InvalidInput

__all__ = ["ROLES", "Role", "missing_roles", "parse_roles", "queue_of"]

Role = Literal["workflows", "sends", "housekeeping"]

ROLES: Final[tuple[Role, ...]] = ("workflows", "sends", "housekeeping")
"""``workflows``: workflow code, and the activities that use the ledger only. ``sends``: what speaks to gateways for messages.
``housekeeping``: the trigger sweep, recovery, signals to many workflows, missed messages, and the outbox of events and alerts.
"""


def queue_of(role: Role, task_queue: str) -> str:
    """The task queue of a role, where ``task_queue`` is that of the workflows."""
    return task_queue if role == "workflows" else f"{task_queue}-{role}"


def parse_roles(text: str) -> tuple[Role, ...]:
    """The roles that a comma-separated text names; all if it is empty. Raises InvalidInput."""
    names = [name for name in (part.strip().lower() for part in text.split(",")) if name]
    unknown = [name for name in names if name not in ROLES]
    if unknown:
        raise InvalidInput(f"there is no role {unknown[0]!r}: the roles are {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in names) or ROLES


def missing_roles(held: Iterable[Iterable[str]]) -> tuple[Role, ...]:
    """The roles that none of the workers has, by the roles of each."""
    there = {role for roles in held for role in roles}
    return tuple(role for role in ROLES if role not in there)
