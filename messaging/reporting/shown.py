"""Devices and sequences whose workflows do not show their present state yet.

Their rows change by commands, by edits, and by faults in the middle of a send. So nothing tells the workflow at once, but the
recovery, every minute, tells those that have another state than the row says they were told.
"""

from messaging.common.database import Pool
from messaging.common.values import Value

__all__ = ["Shown", "forget_shown", "not_shown", "note_shown"]

SELECT_NOT_SHOWN = """
select 'device' as kind, d.id as name, state
  from devices d
 cross join lateral (select case when d.replaced_by is not null then 'replaced' else d.status end as state) now
 where d.shown_as is distinct from state
 union all
select 'sequence', s.name, s.status
  from sequences s
 where s.shown_as is distinct from s.status
 order by 1, 2
"""

FORGET_SHOWN = """
with of_devices as (update devices set shown_as = null where shown_as is not null)
update sequences set shown_as = null where shown_as is not null
"""


class Shown(Value):
    """The state that the workflow of a device or sequence is to show: ``active``, ``paused``, or ``replaced``."""

    kind: str
    """``device`` or ``sequence``."""
    name: str
    state: str


async def not_shown(pool: Pool) -> list[Shown]:
    """What is to be told to workflows, or started."""
    return [Shown.model_validate(dict(row)) for row in await pool.fetch(SELECT_NOT_SHOWN)]


async def note_shown(pool: Pool, told: Shown) -> None:
    """Notes that the workflow was told."""
    if told.kind == "device":
        await pool.execute("update devices set shown_as = $2 where id = $1", told.name, told.state)
    else:
        await pool.execute("update sequences set shown_as = $2 where name = $1", told.name, told.state)


async def forget_shown(pool: Pool) -> None:
    """Has all of them told again: a workflow that somebody terminated is started again."""
    await pool.execute(FORGET_SHOWN)
