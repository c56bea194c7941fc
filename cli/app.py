"""``python starter.py``: all commands."""

import os
import sys
from typing import Annotated

import typer

from cli import (
    audience,
    campaign,
    contacts,
    demo,
    device,
    enroll,
    events,
    inbox,
    lead,
    message,
    preview,
    report,
    reports,
    send_test,
    sequence,
    steering,
)
from cli.who import As, offer_as
from runtime.process import cannot_be_written, fail, leave
from runtime.version import VERSION

__all__ = ["app", "main"]

app = typer.Typer(
    name="starter.py",
    help="Drumbeat: durable WhatsApp sequences and campaigns on Temporal and PostgreSQL.",
    epilog="First time? Try: python starter.py demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(device.app, name="device")
app.add_typer(lead.app, name="lead")
app.add_typer(sequence.app, name="sequence")
app.add_typer(campaign.app, name="campaign")
app.add_typer(message.app, name="message")
app.add_typer(inbox.app, name="inbox")
app.add_typer(report.app, name="report")
app.command("enroll")(enroll.enroll)
app.command("opt-out")(enroll.opt_out)
app.command("contact")(contacts.contact)
app.command("why")(contacts.why)
app.command("preview")(preview.preview)
app.command("audience")(audience.audience)
app.command("test-send")(send_test.send_test)
app.command("pause")(steering.pause)
app.command("resume")(steering.resume)
app.command("stop")(steering.stop)
app.command("skip")(steering.skip)
app.command("events")(events.list_events)
app.command("status")(reports.status)
app.command("messages")(message.list_messages)
app.command("audit")(reports.audit)
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"drumbeat {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    as_: As = None,
) -> None:
    """Drumbeat: durable WhatsApp sequences and campaigns on Temporal and PostgreSQL."""


def main() -> None:
    """Runs the command line and ends the process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    command = typer.main.get_command(app)
    offer_as(command)
    try:
        command()
    except OSError as error:  # errors of the work itself were printed already
        fail(cannot_be_written(error))
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
