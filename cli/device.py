"""``device``: add and change, list, pause and resume."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.console import Json, run, show
from messaging.device_waits import wait_in_words
from messaging.devices import (
    ALWAYS,
    Device,
    DeviceSettings,
    parse_hours,
    parse_options,
)
from messaging.gateways import NAMES
from messaging.under_way import under_way_in_words
from operations import devices, moves
from operations.connection import Connection
from operations.devices import DeviceAdded, DeviceStatusChange
from operations.moves import DeviceReplaced

__all__ = ["app"]

app = typer.Typer(help="Devices: the WhatsApp numbers that messages are sent from.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ID", help="The device's name.")]


@app.command()
def add(
    device: Name,
    gateway: Annotated[str, typer.Option(help=f"One of: {', '.join(NAMES)}.")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An option of the gateway; may be repeated. KEY= takes it away."
        ),
    ] = None,
    min_delay: Annotated[
        float | None, typer.Option(help="Seconds between two messages, at least. New: 5.")
    ] = None,
    max_delay: Annotated[
        float | None, typer.Option(help="Seconds between two messages, at most. New: 15.")
    ] = None,
    daily_limit: Annotated[int | None, typer.Option(help="Messages a day, at most. 0: no limit.")] = None,
    hours: Annotated[
        str | None, typer.Option(help="Sending hours, e.g. 09:00-18:00, or 'always'.", metavar="HH:MM-HH:MM")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="IANA zone of the hours and of the day, e.g. Asia/Kuala_Lumpur. New: UTC."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a device, or change it: what is not given stays as it is, and the same again changes nothing."""

    async def add_it(connection: Connection) -> DeviceAdded:
        settings = DeviceSettings(
            id=device,
            gateway=gateway,
            options=parse_options(option or []),
            min_delay=min_delay,
            max_delay=max_delay,
            daily_limit=daily_limit,
            hours=parse_hours(hours) if hours is not None else None,
            time_zone=time_zone,
        )
        return await devices.add(connection, settings)

    show(run(add_it), as_json, _added)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """All devices, with pace, limit and sending hours. Options are named only: they may be credentials."""
    show(run(devices.listing), as_json, _listing)


@app.command()
def pause(
    device: Name,
    reason: Annotated[str | None, typer.Option(help="Shown wherever something waits for the device.")] = None,
    as_json: Json = False,
) -> None:
    """Send nothing more through a device until it is resumed. Nothing is lost: what is due waits."""
    show(run(lambda connection: devices.pause(connection, device, reason)), as_json, _status)


@app.command()
def resume(device: Name, as_json: Json = False) -> None:
    """Go on with a device that is paused, or waits as its gateway asked. What is late goes out at the device's pace."""
    show(run(lambda connection: devices.resume(connection, device)), as_json, _status)


@app.command()
def replace(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The device that sends nothing more.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The device that takes its place; add it first.")],
    as_json: Json = False,
) -> None:
    """Have another device send all that a device was to send: leads, contacts on their way, messages that wait.

    No message goes out twice: what is being sent, or may have been sent, stays with the old device. Whatever names the old
    device from now on means the new one, until 'device resume OLD'.
    """
    show(run(lambda connection: moves.replace_device(connection, old, new)), as_json, _replaced)


def _replaced(done: DeviceReplaced) -> RenderableType:
    moved = done.moved
    lines = [
        f"{done.device}: {'' if done.changed else 'already '}replaced by {done.by}{under_way_in_words(done.under_way)}",
        f"  {moved.leads:,} leads, {moved.contacts:,} contacts on their way and {moved.messages:,} waiting messages go by {done.by}",
    ]
    if moved.in_flight:
        lines.append(
            f"  {moved.in_flight:,} were in the hands of {done.device}, and are not sent a second time blindly"
        )
    return Text("\n".join(lines))


def _added(added: DeviceAdded) -> RenderableType:
    words = {"created": "added", "changed": "changed", "unchanged": "nothing changed"}
    lines = [*added.warnings, f"{added.device}: {words[added.result]}"]
    lines += [f"  {change}" for change in added.changes]
    if added.contacts_woken:
        lines.append(f"  {added.contacts_woken:,} messages that waited for it go by that now")
    return Text("\n".join(lines))


def _status(change: DeviceStatusChange) -> RenderableType:
    lines = [
        f"{change.device}: {'' if change.changed else 'already '}{change.status}"
        + under_way_in_words(change.under_way)
    ]
    if change.waited_until is not None:
        lines.append(f"  it does not wait until {change.waited_until:%H:%M:%S} UTC any more")
    if change.contacts_woken:
        lines.append(f"  {change.contacts_woken:,} contacts whose step is due go on")
    return Text("\n".join(lines))


def _listing(listed: list[Device]) -> RenderableType:
    if not listed:
        return Text("There is no device yet: add one with 'device add ID --gateway NAME'.")
    table = Table("device", "status", "gateway", "options", "delay", "a day", "hours", box=None)
    for one in listed:
        hours = f"{one.opens_at:%H:%M}-{one.closes_at:%H:%M}" if one.opens_at and one.closes_at else ALWAYS
        table.add_row(
            *(
                one.id,
                f"replaced by {one.replaced_by}" if one.replaced_by else one.status,
                one.gateway,
                ", ".join(one.option_names),
                f"{one.min_delay:g}-{one.max_delay:g} s",
            ),
            *(f"{one.daily_limit:,}" if one.daily_limit else "no limit", f"{hours} {one.time_zone}"),
        )
    why = [
        f"! device {one.id} is {one.status}: {one.status_reason}"
        for one in listed
        if one.status_reason and not one.replaced_by
    ]
    why += [f"! {words}" for one in listed if (words := wait_in_words(one)) is not None]
    return Group(table, *(Text(line) for line in why))
