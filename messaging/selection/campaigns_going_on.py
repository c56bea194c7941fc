"""Campaigns that go on for people whose contacts are paused: a pause of contacts holds their sequences alone."""

from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.selection.fields import Arguments
from messaging.selection.selection import Selection, selected_leads

__all__ = ["campaigns_going_on"]

COUNT_WAITING = """
select k.name, count(*) as messages
  from leads l
  join broadcast_messages m on m.recipient_phone = l.phone and m.campaign_id is not null and is_waiting(m.status)
  join campaigns k on k.id = m.campaign_id and k.status in ('scheduled', 'running')
 where {condition}
 group by k.name
 order by k.name
"""


async def campaigns_going_on(connection: Connection, selection: Selection) -> list[str]:
    """A line for each campaign that has messages waiting for the selected leads, be they in a sequence or not."""
    arguments = Arguments()
    condition = await selected_leads(connection, selection, arguments)
    rows = await connection.fetch(COUNT_WAITING.format(condition=condition), *arguments.values)
    return [
        f"campaigns are not held: {count_of(row['messages'], 'message')} of campaign {row['name']}"
        f" {'waits' if row['messages'] == 1 else 'wait'} for these people; 'campaign pause {row['name']}' holds it"
        for row in rows
    ]
