"""Delivers an alert by SMTP, as a plain text mail."""

import asyncio
from email.headerregistry import Address
from email.message import EmailMessage

from messaging.common.counts import count_of
from messaging.common.storable import storable
from messaging.gateways.http import format_cause, one_line
from messaging.outbox.events import Event, Outcome
from messaging.outbox.options import EmailOptions, Unfit

__all__ = ["deliver_mail", "mail_of"]

TIMEOUT = 30.0
"""Seconds for one mail: some servers let unknown senders wait."""


def mail_of(options: EmailOptions, event: Event) -> EmailMessage:
    """The mail. Its Message-ID derives from the event, so that a mailbox can recognise a second one."""
    data = event.data
    title = one_line(storable(str(data.get("title", event.type))))
    mail = EmailMessage()
    mail["Subject"] = f"Drumbeat: {title}"
    mail["From"] = Address("Drumbeat", addr_spec=options.sender)
    mail["To"] = ", ".join(options.to)
    mail["Date"] = event.happened_at
    mail["Message-ID"] = f"<{event.id}@{options.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    lines = [title[:1].upper() + title[1:] + "."]
    if data.get("detail"):
        lines.append(storable(str(data["detail"])))
    if data.get("count", 1) > 1:
        lines.append(f"Reported {data['count']:,} times since {data['since']}.")
    elif data.get("since"):
        lines.append(f"Since {data['since']}.")
    if data.get("waiting"):
        lines.append(f"{count_of(data['waiting'], 'message waits', 'messages wait')} for it.")
    if data.get("remedy"):
        lines.append(f"What to do: {data['remedy']}")
    mail.set_content("\n\n".join(lines) + "\n")
    return mail


async def deliver_mail(options: EmailOptions, event: Event) -> Outcome:
    """Hands the mail over to the server once. What came of it, whatever that is."""
    import aiosmtplib  # commands do not need it

    try:
        password = options.password.read() if options.password is not None else None
        async with asyncio.timeout(TIMEOUT):
            errors, answer = await aiosmtplib.send(
                mail_of(options, event),
                sender=options.sender,
                recipients=list(options.to),
                hostname=options.host,
                port=options.port,
                username=options.username,
                password=password,
                use_tls=options.security == "tls",
                start_tls=options.security == "starttls",
                # By default the machine's full name, and to find that out may block.
                local_hostname=options.sender.rpartition("@")[2],
                timeout=TIMEOUT,
            )
    except Unfit as unfit:
        return Outcome(taken=False, answered=False, words=str(unfit))
    except aiosmtplib.SMTPRecipientsRefused as error:
        said = "; ".join(
            f"{one.recipient}: {one.code} {one_line(str(one.message))}" for one in error.recipients
        )
        return Outcome(taken=False, words="it takes no mail for them", said=said)
    except aiosmtplib.SMTPResponseException as error:
        return Outcome(
            taken=False,
            words=f"it answered {error.code}",
            said=one_line(str(error.message)),
            refused=isinstance(error, aiosmtplib.SMTPDataError) and error.code >= 500,
        )
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        words = format_cause(error.__cause__ if isinstance(error.__cause__, OSError) else error)
        return Outcome(taken=False, answered=False, words=words)
    if errors:
        said = "; ".join(f"{to}: {one.code} {one_line(one.message)}" for to, one in errors.items())
        return Outcome(taken=True, words="it took the mail, but not for all", said=said)
    return Outcome(taken=True, words="it answered", said=one_line(answer))
