"""The details of a sequence: its contacts, and where they are."""

from messaging.common.counts import count_of
from messaging.common.database import Pool
from messaging.common.errors import NotFound
from messaging.common.markdown import escape_markdown, markdown_list, markdown_table
from messaging.sequences.store import show_sequence
from messaging.times.durations import format_when
from messaging.times.local_time import format_wall, load_zone

__all__ = ["sequence_details"]


async def sequence_details(pool: Pool, sequence: str) -> str | None:
    """Its state, its contacts and a table of its steps; None if there is no such sequence. Times are its own zone's."""
    async with pool.acquire() as connection:
        try:
            one = await show_sequence(connection, sequence)
        except NotFound:
            return None
    zone, counts = load_zone(one.time_zone), one.contacts
    state = f"**{one.status}**" + (f": {escape_markdown(one.status_reason)}" if one.status_reason else "")
    through = [
        count_of(counts.active, "contact")
        + " under way"
        + (f", {counts.paused:,} of them paused" if counts.paused else ""),
        f"{counts.completed:,} completed",
        f"{counts.stopped:,} stopped",
        f"{counts.opted_out:,} opted out",
    ]
    rows = [
        (
            f"**{step.key}** {format_when(step.day, step.at, step.after, step.wait_for)}",
            f"{step.waiting:,}",
            f"{step.sent:,}",
            f"{step.results.read:,}",
            f"{step.results.replied:,}",
        )
        for step in one.steps
    ]
    return "\n\n".join(
        [
            f"**{one.name}** · sequence" + (f", trigger {one.trigger}" if one.trigger else ""),
            markdown_list(state, *through),
            markdown_table(("Step", "Next for", "Sent", "Read", "Replied"), rows),
            *(
                [f"The next message is due {format_wall(one.next_due_at, zone)} {zone}."]
                if one.next_due_at is not None
                else []
            ),
        ]
    )
