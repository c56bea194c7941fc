"""A cache of the plans of sequences."""

from collections import OrderedDict

from messaging.common.database import Connection, Pool
from messaging.sequences.store import load_plan
from messaging.times.calendar import Plan

__all__ = ["Plans"]


class Plans:
    """Plans by sequence and revision. A revision never changes, so each is read once."""

    def __init__(self, pool: Pool, *, size: int = 256) -> None:
        self._pool = pool
        self._size = size
        self._known: OrderedDict[tuple[int, int], Plan] = OrderedDict()

    async def of(self, sequence_id: int, revision: int, connection: Connection | None = None) -> Plan:
        """The plan of that revision, or of a later one if the sequence was edited again.

        ``connection``: the caller's own. Waiting for another one while holding it could deadlock the pool.
        """
        key = (sequence_id, revision)
        if key not in self._known:
            plan = await load_plan(connection or self._pool, sequence_id)
            self._known[(sequence_id, plan.revision)] = plan
            while len(self._known) > self._size:
                self._known.popitem(last=False)
            return plan
        return self._known[key]
