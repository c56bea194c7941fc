"""The activity that fetches messages that a gateway's webhooks could not deliver."""

from temporalio import activity

from activities.heartbeat import heartbeats
from messaging.replies.missed import MissedMessages

__all__ = ["MissedActivities"]


class MissedActivities:
    """One instance for a worker."""

    def __init__(self, missed: MissedMessages) -> None:
        self._missed = missed

    @activity.defn
    async def fetch_missed(self) -> int:
        """Fetches what was missed, for all devices; answers how many messages were new. Repeating it is harmless."""
        async with heartbeats():
            return await self._missed.fetch()
