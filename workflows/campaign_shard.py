"""The story of a shard, of a campaign that has several: it is fed until every message of it is settled."""

from temporalio import workflow

from workflows.feeding import Feeding, FeedState

__all__ = ["CampaignShardWorkflow"]


@workflow.defn
class CampaignShardWorkflow:
    """Feeds one part of a campaign's audience, and is the parent of its leads' workflows."""

    @workflow.init
    def __init__(self, state: FeedState) -> None:
        self._feeding = Feeding(state)

    @workflow.run
    async def run(self, state: FeedState) -> None:  # noqa: ARG002 - taken by __init__
        """Feed, in as many runs as it takes."""
        if not await self._feeding.run():
            workflow.continue_as_new(self._feeding.state)

    @workflow.signal
    def changed(self) -> None:
        """The campaign was resumed or cancelled, or has messages to send again: look from the beginning."""
        self._feeding.changed()
