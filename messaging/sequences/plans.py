"""The plans of sequences that are in use."""

from collections import OrderedDict

from messaging.common.database import Connection, Pool
from messaging.sequences.store import load_plan
from messaging.times.calendar import Plan

__all__ = ["Plans"]


class Plans:
    """The plans in use, by sequence and revision: a revision never changes, so it is read once."""

    def __init__(self, pool: Pool, *, size: int = 256) -> None:
        self._pool = pool
        self._size = size
        self._known: OrderedDict[tuple[int, int], Plan] = OrderedDict()

    async def of(self, sequence_id: int, revision: int, connection: Connection | None = None) -> Plan:
        """The plan of that revision, or of a later one where it was edited again in the meantime.

        ``connection``: the one that the caller has in use; to wait for another while holding it could be for ever.
        """
        key = (sequence_id, revision)
        if key not in self._known:
            plan = await load_plan(connection or self._pool, sequence_id)
            self._known[(sequence_id, plan.revision)] = plan
            while len(self._known) > self._size:
                self._known.popitem(last=False)
            return plan
        return self._known[key]
