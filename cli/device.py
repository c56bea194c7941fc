"""``device``: add and change, list, pause and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import names
from cli.console import Json, run, show
from cli.page import Column, Table, attention
from cli.values import read_count, read_seconds
from messaging.common.counts import count_of
from messaging.devices.words import paused_words

if TYPE_CHECKING:
    from messaging.reporting.troubles import ListedDevice
    from operations.connection import Drumbeat
    from operations.devices import DeviceAdded, DeviceStatusChange
    from operations.moves import DeviceReplaced

__all__ = ["app"]

app = typer.Typer(help="Devices: the WhatsApp numbers that messages are sent from.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ID", help="The device's ID.", autocompletion=names.devices)]


@app.command()
def add(
    device: Name,
    gateway: Annotated[
        str | None,
        typer.Option(
            help="Its gateway: cloud-api, gowa, wablas, whacenter or simulated. Required for a new device."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the gateway; may be repeated. KEY= removes it."),
    ] = None,
    min_delay: Annotated[
        float | None,
        typer.Option(
            help="Minimum number of seconds between two messages. Default for a new device: 5.",
            parser=read_seconds,
            metavar="SECONDS",
        ),
    ] = None,
    max_delay: Annotated[
        float | None,
        typer.Option(
            help="Maximum number of seconds between two messages. Default for a new device: 15.",
            parser=read_seconds,
            metavar="SECONDS",
        ),
    ] = None,
    daily_limit: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of messages a day. 0: no limit.", parser=read_count, metavar="NUMBER"
        ),
    ] = None,
    hours: Annotated[
        str | None, typer.Option(help="Sending hours, e.g. 09:00-18:00, or 'always'.", metavar="HH:MM-HH:MM")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            help="IANA time zone of the hours and the day, e.g. Asia/Kuala_Lumpur. Default for a new device: UTC."
        ),
    ] = None,
    stop_keywords: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="Replies to this device that opt out, separated by commas. '': the defaults.",
        ),
    ] = None,
    start_keywords: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Replies that take such an opt-out back. '': the defaults."),
    ] = None,
    opt_out_confirmation: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What it sends once after an opt-out by keyword. 'none': nothing; '': the worker's setting.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a device, or change it. Options that are not given stay as they are; repeating the command changes
    nothing. A warning says if nothing answers at the gateway's address.
    """

    async def add_it(drumbeat: Drumbeat) -> DeviceAdded:
        from messaging.devices.device import DeviceSettings, parse_hours, parse_options
        from operations import devices

        settings = DeviceSettings(
            id=device,
            gateway=gateway,
            options=parse_options(option or []),
            min_delay=min_delay,
            max_delay=max_delay,
            daily_limit=daily_limit,
            hours=parse_hours(hours) if hours is not None else None,
            time_zone=time_zone,
            stop_keywords=stop_keywords,
            start_keywords=start_keywords,
            opt_out_confirmation=opt_out_confirmation,
        )
        added = await devices.add(drumbeat, settings)
        unreachable = await devices.warn_if_unreachable(settings.options)
        return added.model_copy(update={"warnings": (*added.warnings, *unreachable)})

    show(run(add_it), as_json, _format_added)


@app.command("list")
def list_devices(as_json: Json = False) -> None:
    """All devices, with pace, limit and sending hours, and which of them are in trouble, or about to be.

    Looked at are failures in a row, what is due against what a device can send, its daily limit, and what came of the last 24 hours'
    messages beside the week before. Options are named only: they may be credentials.
    """

    async def work(drumbeat: Drumbeat) -> list[ListedDevice]:
        from operations import reports

        return await reports.list_devices(drumbeat)

    show(run(work, temporal=False), as_json, _format_list)


@app.command()
def pause(
    device: Name,
    reason: Annotated[str | None, typer.Option(help="Shown wherever something waits for the device.")] = None,
    as_json: Json = False,
) -> None:
    """Pause a device: send nothing through it until it is resumed. Nothing is lost: due messages wait."""

    async def work(drumbeat: Drumbeat) -> DeviceStatusChange:
        from operations import devices

        return await devices.pause(drumbeat, device, reason)

    show(run(work, temporal=False), as_json, _format_status)


@app.command()
def resume(device: Name, as_json: Json = False) -> None:
    """Resume a device that is paused or waits. Late messages go out at the device's pace."""

    async def work(drumbeat: Drumbeat) -> DeviceStatusChange:
        from operations import devices

        return await devices.resume(drumbeat, device)

    show(run(work, works=lambda _: True), as_json, _format_status)


@app.command()
def replace(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD", autocompletion=names.devices, help="The device to replace: it sends nothing more."
        ),
    ],
    new: Annotated[
        str,
        typer.Argument(
            metavar="NEW", autocompletion=names.devices, help="The device that takes its place; add it first."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Have another device send everything that a device was to send: leads, contacts under way, waiting messages.

    No message goes out twice: a message that is being sent, or may have been sent, stays with the old device. From now
    on, the name of the old device stands for the new one, until 'device resume OLD'.
    """

    async def work(drumbeat: Drumbeat) -> DeviceReplaced:
        from operations import moves

        return await moves.replace_device(drumbeat, old, new)

    show(run(work, works=lambda _: True), as_json, _format_replaced)


def _format_replaced(done: DeviceReplaced) -> str:
    from messaging.sending.under_way import format_under_way

    moved = done.moved
    lines = [
        f"{done.device}: {'' if done.changed else 'already '}replaced by {done.by}{format_under_way(done.under_way)}",
        "  "
        + count_of(moved.leads, "lead")
        + f", {count_of(moved.contacts, 'contact')} under way and {count_of(moved.messages, 'waiting message')} moved to {done.by}",
    ]
    if moved.in_flight:
        lines.append(
            "  "
            + count_of(moved.in_flight, "message")
            + f" that {done.device} was sending will not be sent a second time blindly"
        )
    return "\n".join(lines)


def _format_added(added: DeviceAdded) -> str:
    words = {"created": "added", "changed": "changed", "unchanged": "nothing changed"}
    lines = [*added.warnings, f"{added.device}: {words[added.result]}"]
    lines += [f"  {change}" for change in added.changes]
    if added.leads_without_device:
        lines.append(
            f"  {count_of(added.leads_without_device, 'lead has', 'leads have')} no device of their own:"
            f" 'lead move --where FILTER --to {added.device}' gives them one"
        )
    if added.contacts_woken:
        lines.append(
            "  "
            + count_of(
                added.contacts_woken, "message that waited for it goes", "messages that waited for it go"
            )
            + " by that now"
        )
    return "\n".join(lines)


def _format_status(change: DeviceStatusChange) -> str:
    from operations.sentences import device_said

    return device_said(change)


def _status(one: ListedDevice) -> str:
    if one.replaced_by:
        return f"replaced by {one.replaced_by}"
    if one.status == "paused":
        return "parked" if one.paused_by is not None and one.paused_by.via == "itself" else "paused"
    return "waits" if one.waits_until is not None else one.status


def _format_list(listed: list[ListedDevice]) -> str:
    from messaging.devices.device import ALWAYS
    from messaging.devices.waits import format_wait
    from messaging.events.latest import by_whom

    if not listed:
        return "There is no device yet: add one with 'device add ID --gateway NAME'."
    table = Table(
        (
            Column("device"),
            Column("status"),
            Column("gateway", least=7, spare=True),
            Column("options", least=8, spare=True),
            Column("delay"),
            Column("a day"),
            Column("hours", least=13),
        )
    )
    for one in listed:
        hours = f"{one.opens_at:%H:%M}-{one.closes_at:%H:%M}" if one.opens_at and one.closes_at else ALWAYS
        table.row(
            *(
                one.id,
                _status(one),
                one.gateway,
                ", ".join(one.option_names),
            ),
            f"{one.min_delay:g}-{one.max_delay:g} s",
            *(f"{one.daily_limit:,}" if one.daily_limit else "no limit", f"{hours} {one.time_zone}"),
        )
    why = [
        f"device {one.id} {paused_words(one.status_reason)}{by_whom(one.paused_by)}; 'device resume {one.id}' goes on"
        for one in listed
        if one.status == "paused" and not one.replaced_by
    ]
    why += [
        words
        for one in listed
        if one.status == "active" and not any(trouble.sign == "faults" for trouble in one.troubles)
        if (words := format_wait(one)) is not None
    ]
    why += [trouble.words for one in listed for trouble in one.troubles]
    lines = [line for words in why for line in attention(words)]
    return "\n".join([str(table), *(lines or ["No device is in trouble, or shows a sign of it."])])
