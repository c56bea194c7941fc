"""``test-send``: one message for real, to one phone, which counts for nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, show
from cli.page import wrapped
from cli.values import read_duration
from runtime.process import leave, tell

if TYPE_CHECKING:
    from messaging.sending.test_messages import SentTest
    from operations.connection import Drumbeat

__all__ = ["send_test"]


def send_test(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SEQUENCE[/STEP]|CAMPAIGN",
            autocompletion=names.steps_too,
            help="What to send: of a sequence the first step, or that one.",
        ),
    ],
    to: Annotated[str, typer.Option(metavar="PHONE", help="The phone to send it to, in any format.")],
    lead: Annotated[
        str | None,
        typer.Option(
            metavar="PHONE", help="Whose values the text has. Default: the recipient's own, if it is a lead."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            autocompletion=names.devices,
            help="The device to send it from. Default: that of the recipient, or of the lead.",
        ),
    ] = None,
    within: Annotated[
        timedelta,
        typer.Option(
            metavar="DURATION",
            parser=read_duration,
            help="If it cannot go out within that time, it is not sent at all.",
        ),
    ] = timedelta(minutes=10),
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the outcome.")] = False,
    default_region: Annotated[
        str | None, typer.Option(metavar="CC", help="Country of a phone without a country code, e.g. MY.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send one message for real, as a test: it is marked in the ledger, and counts for nothing.

    The real message goes out all the same, to this phone too. A test keeps to its device's pace, hours and daily limit, and is
    refused for a phone that has opted out. Exit code 1: it did not go out.

    Examples: test-send black-friday --to +12015550123    test-send cold-vitac/story --to +12015550123 --lead +12015550199
    """

    async def work(drumbeat: Drumbeat) -> SentTest:
        from operations import send_test as sending

        return await sending.send_test(
            drumbeat,
            name,
            to,
            lead=lead,
            device=device,
            default_region=default_region,
            within=within,
            wait=not no_wait,
            tell=tell,
        )

    sent = run(work)
    show(sent, as_json, _format_test)
    if sent.status != "sent" and not no_wait:
        leave(1)


def _format_test(one: SentTest) -> str:
    from messaging.times.local_time import format_moment

    what = f"test of {one.of} to {one.phone} by {one.device}"
    values = f"values of {one.lead}" if one.lead else "no lead's values: --lead PHONE takes those of a lead"
    if one.status == "sent":
        assert one.sent_at is not None
        head = f"{what}: sent {format_moment(one.sent_at)}, with {values}"
    elif one.settled:
        head = f"{what}: {one.status}: {one.reason}"
    else:
        head = f"{what}: not sent yet ({one.reason or one.status}); not later than {format_moment(one.expires_at)}"
    text = [part for line in (one.text or "").splitlines() for part in wrapped(line, "  | ")]
    end = f"message {one.message_id}"
    if one.status == "sent":
        end += f"; 'contact {one.phone}' shows whether it arrives"
    return "\n".join([*wrapped(head), *text, *wrapped(end)])
