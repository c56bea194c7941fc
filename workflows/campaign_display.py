"""What the Temporal Web UI shows about a campaign."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from messaging.campaigns.contract import CampaignProgress, CampaignState
    from messaging.common.markdown import escape_markdown
    from messaging.times.local_time import format_moment
    from temporal import search_attributes as attributes

__all__ = ["CampaignDisplay"]

ORDER = (
    "sent",
    "failed",
    "unconfirmed",
    "suppressed",
    "cancelled",
    "expired",
    "processing",
    "queued",
    "pending",
)


class CampaignDisplay:
    """Keeps a campaign's details, which cost nothing, and its search attributes, which cost events, up to date."""

    def __init__(self, campaign: str) -> None:
        self._campaign = campaign
        self._listed: str | None = None

    def state(self, state: CampaignState) -> None:
        """Shows the campaign's state, before there is any progress of its messages."""
        lines = [self._title(state), f"State: **{state.status}**"]
        if not state.frozen:
            lines.append(f"Starts: {state.when}")
        if state.reason:
            lines.append(f"Why: {escape_markdown(state.reason)}")
        workflow.set_current_details("\n\n".join(lines))
        if self._listed != state.status:
            updates = [attributes.STATE.value_set(state.status)]
            self._listed = state.status
            workflow.upsert_search_attributes(updates)

    def progress(self, state: CampaignState, progress: CampaignProgress) -> None:
        """Shows the progress: the messages by status, the rate, and the expected end."""
        total = sum(progress.counts.values())
        settled = total - progress.unsettled
        lines = [
            self._title(state),
            f"State: **{progress.status}** · {settled:,} of {total:,} settled",
            # Not a table, as the Web UI shows its columns without a gap between them.
            " · ".join(
                f"**{progress.counts[status]:,}** {status}" for status in ORDER if status in progress.counts
            ),
        ]
        if progress.status == "running" and progress.unsettled and progress.per_second:
            left = timedelta(seconds=round(progress.unsettled / progress.per_second))
            end = workflow.now() + left
            lines.append(
                f"{progress.per_second:.2g} a second in the last minute; at this rate it ends about"
                f" {format_moment(end)}, in {left}"
            )
        if progress.opted_out or progress.without_consent or progress.without_device or progress.passed:
            lines.append(
                f"Left out: {progress.opted_out:,} opted out, {progress.without_consent:,} without consent,"
                f" {progress.without_device:,} without a device,"
                f" {progress.passed:,} whose time had passed"
            )
        reason = progress.reason or state.reason
        if reason:
            lines.append(f"Why: {escape_markdown(reason)}")
        workflow.set_current_details("\n\n".join(lines))

    def _title(self, state: CampaignState) -> str:
        return f"**{escape_markdown(state.title or self._campaign)}** · campaign {self._campaign}"
