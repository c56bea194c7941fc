"""``python starter.py``: all commands."""

import os
import sys
from typing import Annotated

import typer

from cli import (
    alert,
    audience,
    campaign,
    change_over,
    completion,
    contacts,
    demo,
    device,
    enroll,
    events,
    inbox,
    key,
    lead,
    message,
    preview,
    report,
    reports,
    send_test,
    sequence,
    steering,
    upgrade,
)
from cli.usage import describe_values, program_name
from cli.who import As, offer_as
from runtime.process import cannot_be_written, fail, leave
from runtime.version import VERSION

__all__ = ["app", "main"]

app = typer.Typer(
    name="drumbeat",
    help="Drumbeat: durable WhatsApp sequences and campaigns on Temporal and PostgreSQL.",
    epilog="First time? Try the command: demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SEE = "See"
STEER = "Steer"
BEFORE = "Before the start"
THINGS = "Things (each with commands of its own)"
MORE = "More"

app.command("status", rich_help_panel=SEE)(reports.status)
app.command("why", rich_help_panel=SEE)(contacts.why)
app.add_typer(contacts.app, name="contact", rich_help_panel=SEE)
app.command("messages", rich_help_panel=SEE)(message.list_messages)
app.add_typer(inbox.app, name="inbox", rich_help_panel=SEE)
app.command("events", rich_help_panel=SEE)(events.list_events)
app.add_typer(report.app, name="report", rich_help_panel=SEE)
app.command("audit", rich_help_panel=SEE)(reports.audit)
app.command("pause", rich_help_panel=STEER)(steering.pause)
app.command("resume", rich_help_panel=STEER)(steering.resume)
app.command("stop", rich_help_panel=STEER)(steering.stop)
app.command("skip", rich_help_panel=STEER)(steering.skip)
app.command("move", rich_help_panel=STEER)(change_over.move)
app.command("enroll", rich_help_panel=STEER)(enroll.enroll)
app.command("opt-out", rich_help_panel=STEER)(enroll.opt_out)
app.command("audience", rich_help_panel=BEFORE)(audience.audience)
app.command("preview", rich_help_panel=BEFORE)(preview.preview)
app.command("test-send", rich_help_panel=BEFORE)(send_test.send_test)
app.add_typer(campaign.app, name="campaign", rich_help_panel=THINGS)
app.add_typer(sequence.app, name="sequence", rich_help_panel=THINGS)
app.add_typer(lead.app, name="lead", rich_help_panel=THINGS)
app.add_typer(device.app, name="device", rich_help_panel=THINGS)
app.add_typer(message.app, name="message", rich_help_panel=THINGS)
app.add_typer(alert.app, name="alert", rich_help_panel=THINGS)
app.add_typer(upgrade.app, name="upgrade", rich_help_panel=MORE)
app.add_typer(key.app, name="key", rich_help_panel=MORE)
app.command("demo", rich_help_panel=MORE)(demo.demo)
app.command("completion", rich_help_panel=MORE)(completion.completion)


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
    completion.complete_if_asked(command)
    describe_values(command)
    try:
        command(prog_name=program_name())
    except OSError as error:  # errors of the work itself were printed already
        fail(cannot_be_written(error))
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
