"""The workflow of one shard of a campaign that has several: it feeds the shard until every message of it is settled."""

from temporalio import workflow

from workflows.feeding import Feeding, FeedState

__all__ = ["CampaignShardWorkflow"]


@workflow.defn
class CampaignShardWorkflow:
    """Feeds one shard of a campaign's audience, and is the parent of its leads' workflows."""

    @workflow.init
    def __init__(self, state: FeedState) -> None:
        self._feeding = Feeding(state)

    @workflow.run
    async def run(self, state: FeedState) -> None:  # noqa: ARG002 - taken by __init__
        """Feeds the shard, and continues as new as often as that takes."""
        if not await self._feeding.run():
            workflow.continue_as_new(self._feeding.state)

    @workflow.signal(
        description="Sent by Drumbeat: the campaign's row has changed, so start again at the first message."
    )
    def changed(self) -> None:
        """The campaign was resumed or cancelled, or has messages to send again: start again at the first message."""
        self._feeding.changed()
