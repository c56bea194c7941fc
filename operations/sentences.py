"""What the command line and the Web UI say of a change that was made: the same words."""

from messaging.common.counts import count_of
from messaging.sending.under_way import format_under_way
from messaging.times.local_time import format_moment
from operations.campaigns import CampaignChange
from operations.contacts import ContactCommandResult
from operations.devices import DeviceStatusChange
from operations.sequences import SequenceStatusChange

__all__ = ["campaign_said", "contact_said", "device_said", "sequence_said"]


def campaign_said(change: CampaignChange) -> str:
    """What was done to a campaign; further lines begin with two spaces."""
    name, done = change.campaign, change.changed
    match change.command:
        case "start" | "move" if change.status in ("scheduled", "paused") and done:
            words = f"{'starts' if change.status == 'scheduled' else 'paused, would start'} {change.when}"
        case "move" if done:
            words = f"{change.status}, to start {change.when}"
        case "move":
            words = f"nothing changed, its time was {change.when} already"
        case "start" if done:
            words = "started"
        case "start":
            words = f"nothing changed, it was started before and is {change.status}"
        case "retry-failed" if done:
            words = f"{count_of(change.messages, 'failed message is', 'failed messages are')} sent again"
        case "retry-failed" if change.over:
            words = "nothing changed"
        case "retry-failed":
            words = f"nothing changed, no message of it has failed ({change.status})"
        case "resume" if change.messages:
            words = (
                f"{'' if done else 'already '}{change.status}, "
                + count_of(change.messages, "lead that waited goes", "leads that waited go")
                + " on"
            )
        case _:
            words = f"{'' if done else 'already '}{change.status}"
    lines = [f"{name}: {words}{format_under_way(change.under_way)}"]
    if change.over:
        lines.append(
            f"  {count_of(change.over, 'failed message is', 'failed messages are')} not sent again: the campaign's time is over there"
        )
    if change.forecast is not None:
        lines += [f"  {line}" for line in change.forecast.lines]
    return "\n".join(lines)


def contact_said(done: ContactCommandResult) -> str:
    """What was done to a contact."""
    return f"{done.phone} in {done.sequence}: {done.result}{format_under_way(done.under_way)}"


def device_said(change: DeviceStatusChange) -> str:
    """What was done to a device; further lines begin with two spaces."""
    lines = [
        f"{change.device}: {'' if change.changed else 'already '}{change.status}"
        + format_under_way(change.under_way)
    ]
    if change.waited_until is not None:
        lines.append(f"  it does not wait until {format_moment(change.waited_until)} any more")
    return "\n".join([*lines, *_woken(change.contacts_woken)])


def sequence_said(change: SequenceStatusChange) -> str:
    """What was done to a sequence; further lines begin with two spaces."""
    words = f"{change.sequence}: {'' if change.changed else 'already '}{change.status}" + format_under_way(
        change.under_way
    )
    return "\n".join([words, *_woken(change.contacts_woken)])


def _woken(contacts: int) -> list[str]:
    if not contacts:
        return []
    return [f"  {count_of(contacts, 'contact whose step is due goes', 'contacts whose step is due go')} on"]
