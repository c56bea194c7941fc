"""``alert``: what needs a person, and who is told of it; and events for other systems."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import Json, run, show
from cli.page import Column, Table, wrapped
from messaging.common.counts import count_of
from runtime.process import leave

if TYPE_CHECKING:
    from messaging.outbox.receivers import Channel
    from operations.alerts import (
        AlertsReport,
        Kind,
        ReceiverAdded,
        ReceiverRemoved,
        ReceiverTested,
        Retried,
        Secret,
        UndeliveredReport,
    )
    from operations.connection import Drumbeat

__all__ = ["app"]

app = typer.Typer(
    help="Alerts about what needs a person, and events for other systems: who gets them.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name for who gets them, e.g. ops.")]
PORTS = {"starttls": 587, "tls": 465, "none": 25}


@app.command()
def add(
    name: Name,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Post to this address, signed (Standard Webhooks).")
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The worker's file with the secret; 'alert secret' makes one."),
    ] = None,
    secret_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Or the variable of the worker's environment.")
    ] = None,
    email: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Or send mail there; may be repeated.")
    ] = None,
    smtp: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="The SMTP server that takes the mail.")
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option("--from", metavar="ADDRESS", help="The mail's sender. Default: the first address."),
    ] = None,
    tls: Annotated[
        str | None,
        typer.Option(
            metavar="starttls|tls|none", help="Default: starttls (port 587); tls for port 465; none is plain."
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="The login at the SMTP server.")] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="PATH", help="The worker's file with the password.")
    ] = None,
    password_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Or the variable of the worker's environment.")
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KINDS",
            help="What it gets, separated by commas: alerts, events, message.*, message.sent …; 'alert kinds' lists all."
            " Default: alerts.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell somebody of alerts, or another system of events. The same name again changes it.

    Example: alert add ops --webhook https://example.com/drumbeat --secret-file /run/secrets/ops

    Example: alert add boss --email boss@example.com --smtp smtp.example.com --user me --password-file /run/secrets/smtp
    """
    if (webhook is None) == (not email):
        raise typer.BadParameter("give one of the two: --webhook URL, or --email ADDRESS with --smtp HOST")
    mail_only = {
        "--smtp": smtp,
        "--from": sender,
        "--tls": tls,
        "--user": user,
        "--password-file": password_file,
        "--password-env": password_env,
    }
    wrong = mail_only if webhook is not None else {"--secret-file": secret_file, "--secret-env": secret_env}
    if given := [option for option, value in wrong.items() if value is not None]:
        raise typer.BadParameter(f"{given[0]} does not go with {'--webhook' if webhook else '--email'}")
    options: dict[str, object]
    if webhook is not None:
        if (secret_file is None) == (secret_env is None):
            raise typer.BadParameter(
                "a webhook is signed: name where the worker finds the secret, by --secret-file PATH or --secret-env VARIABLE;"
                " 'alert secret' makes one"
            )
        options = {"url": webhook, "secret": _credential(secret_file, secret_env)}
    else:
        assert email
        options = {"to": email, "sender": sender or email[0], **_server(smtp, tls)}
        if user is not None:
            options["username"] = user
        if password_file is not None or password_env is not None:
            options["password"] = _credential(password_file, password_env)

    channel: Channel = "webhook" if webhook is not None else "email"
    wanted = tuple(kinds or ["alerts"])

    def check() -> None:
        from operations.alerts import understood

        understood(name, channel, options, wanted)

    async def add_it(drumbeat: Drumbeat) -> ReceiverAdded:
        from operations import alerts

        return await alerts.add(drumbeat, name, channel, options, wanted)

    show(run(add_it, check=check, temporal=False, works=lambda _: True), as_json, _format_added)


def _credential(file: str | None, env: str | None) -> dict[str, str]:
    return {key: value for key, value in (("file", file), ("env", env)) if value is not None}


def _server(smtp: str | None, tls: str | None) -> dict[str, object]:
    if not smtp:
        raise typer.BadParameter("mail needs a server: --smtp HOST, or HOST:PORT")
    if tls is not None and tls not in PORTS:
        raise typer.BadParameter(f"--tls {tls}: write starttls, tls or none")
    host, colon, port = smtp.rpartition(":")
    if not colon:
        host, port = smtp, ""
    if colon and not (port.isascii() and port.isdecimal()):
        raise typer.BadParameter(f"--smtp {smtp}: write HOST or HOST:PORT, such as smtp.example.com:587")
    security = tls or ("tls" if port == "465" else "starttls")
    return {"host": host, "port": int(port or PORTS[security]), "security": security}


@app.command("list")
def list_alerts(as_json: Json = False) -> None:
    """What needs a person at this moment, and who is told of it."""

    async def work(drumbeat: Drumbeat) -> AlertsReport:
        from operations import alerts

        return await alerts.list_alerts(drumbeat)

    show(run(work, temporal=False), as_json, _format_list)


@app.command()
def kinds(as_json: Json = False) -> None:
    """All kinds of alerts, with what to do about each, and of events."""
    from operations import alerts

    show(asyncio.run(alerts.kinds()), as_json, _format_kinds)


@app.command("test")
def deliver_test(name: Name, as_json: Json = False) -> None:
    """Have a worker deliver a test now, and say what came back (exit code 1 if it was not taken)."""

    async def work(drumbeat: Drumbeat) -> ReceiverTested:
        from operations import alerts

        return await alerts.test(drumbeat, name)

    done = run(work)
    show(done, as_json, _format_tested)
    if not done.taken:
        leave(1)


@app.command()
def remove(name: Name, as_json: Json = False) -> None:
    """Tell somebody nothing more. What was still to be delivered is dropped."""

    async def work(drumbeat: Drumbeat) -> ReceiverRemoved:
        from operations import alerts

        return await alerts.remove(drumbeat, name)

    show(run(work, temporal=False), as_json, _format_removed)


@app.command()
def undelivered(name: Name, as_json: Json = False) -> None:
    """What was given up after three days, and why."""

    async def work(drumbeat: Drumbeat) -> UndeliveredReport:
        from operations import alerts

        return await alerts.undelivered(drumbeat, name)

    show(run(work, temporal=False), as_json, _format_undelivered)


@app.command()
def retry(name: Name, as_json: Json = False) -> None:
    """Deliver what was given up after all: it is tried for three more days."""

    async def work(drumbeat: Drumbeat) -> Retried:
        from operations import alerts

        return await alerts.retry(drumbeat, name)

    show(run(work, temporal=False, works=lambda _: True), as_json, _format_retried)


@app.command()
def secret(as_json: Json = False) -> None:
    """Print a new secret to sign webhooks with. Put it where the worker and the receiver find it; it is stored nowhere."""
    from operations import alerts

    show(asyncio.run(alerts.secret()), as_json, _format_secret)
    if not sys.stdout.isatty() and not as_json:
        sys.stderr.write("If it goes to a file, let only its owner read it: chmod 600 FILE\n")


def _format_added(added: ReceiverAdded) -> str:
    return "\n".join(
        [
            *(line for words in added.warnings for line in wrapped(f"! {words}")),
            f"{added.name}: {'added' if added.new else 'changed'}; it gets {', '.join(added.kinds)}",
            f"  'alert test {added.name}' delivers a test",
        ]
    )


def _format_list(report: AlertsReport) -> str:
    from messaging.times.local_time import format_moment, format_wall

    lines: list[str] = []
    for alert in report.alerts:
        lines += wrapped(f"! {alert.title}, since {format_moment(alert.since)}")
        lines += wrapped(alert.detail, "    ") if alert.detail else []
        lines += wrapped(alert.remedy, "    ")
    if not report.alerts:
        lines.append("Nothing needs a person.")
    lines.append("")
    if not report.receivers:
        return "\n".join(
            [
                *lines,
                *wrapped("Nobody is told: add somebody with 'alert add NAME --webhook URL' or '--email'."),
            ]
        )
    table = Table(
        (
            Column("name"),
            Column("to", least=12),
            Column("gets", least=8),
            Column("delivered", right=True),
            Column("last (UTC)", spare=True),
            Column("waiting", right=True),
            Column("undelivered", right=True),
        )
    )
    for one in report.receivers:
        last = format_wall(one.delivered_at) if one.delivered_at else ""
        table.row(
            *(one.name, one.address, ", ".join(one.types), f"{one.delivered:,}", last),
            *(f"{one.waiting:,}", f"{one.undelivered:,}" if one.undelivered else ""),
        )
    lines.append(str(table))
    for one in report.receivers:
        if one.tested_at is not None:
            mark, taken = ("", "taken") if one.test_taken else ("! ", "NOT taken")
            when = format_moment(one.tested_at)
            lines += wrapped(f"{mark}{one.name}: the test of {when} was {taken}: {one.test_answer}")
        if one.failing_since is not None:
            since = format_moment(one.failing_since)
            lines += wrapped(f"! {one.name} has taken nothing since {since}: {one.error}")
    return "\n".join(lines)


def _format_kinds(found: list[Kind]) -> str:
    table = Table((Column("kind"), Column("what has happened", least=20, fold=True)))
    for one in found:
        below = wrapped(one.remedy, "    ") if one.remedy else []
        table.row(one.kind, one.meaning, below=below)
    return str(table)


def _format_tested(done: ReceiverTested) -> str:
    taken = "the test was taken" if done.taken else "the test was NOT taken"
    return "\n".join(wrapped(f"{done.name}: {taken}: {done.answer}"))


def _format_removed(done: ReceiverRemoved) -> str:
    dropped = f"; {count_of(done.dropped, 'event was', 'events were')} dropped" if done.dropped else ""
    return f"{done.name}: removed{dropped}"


def _format_undelivered(report: UndeliveredReport) -> str:
    from messaging.times.local_time import format_wall

    if not report.count:
        return f"{report.name}: nothing was given up"
    table = Table(
        (
            Column("happened (UTC)"),
            Column("kind"),
            Column("tries", right=True),
            Column("why", least=20, fold=True),
            Column("ID", spare=True),
        )
    )
    for one in report.events:
        table.row(format_wall(one.happened_at), one.type, one.attempts, one.error, one.id)
    more = report.count - len(report.events)
    return "\n".join([str(table), *([f"and {more:,} more"] if more else [])])


def _format_retried(done: Retried) -> str:
    return f"{done.name}: {count_of(done.count, 'event is', 'events are')} tried again"


def _format_secret(made: Secret) -> str:
    return made.secret
