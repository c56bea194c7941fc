"""The inbox's HTML. Everything that came from outside goes through ``escape``."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote, urlencode

__all__ = ["chat", "inbox"]

COLOURS = 6
PREVIEW = 160
IMAGE = '<span class="tag">Image</span> '


def inbox(
    rows: Sequence[sqlite3.Row],
    *,
    devices: Sequence[sqlite3.Row],
    phones: int,
    faults: Sequence[str],
    search: str,
    older: int | None,
    first: bool,
) -> str:
    """The list of phones. ``older``: where its next page begins; ``first``: whether this is its first page."""
    messages = sum(row["messages"] for row in devices)
    totals = f"{_count(messages, 'message')} to {_count(phones, 'phone')}"
    header = f"""
<div class="titles"><h1>WhatsApp inbox</h1><p id="totals" data-live>Simulated gateway · {totals} · times in UTC</p></div>
<form class="search" role="search" action="/">
<input type="search" name="q" value="{escape(search)}" placeholder="Find a phone number" aria-label="Find a phone number" inputmode="tel">
<button>Find</button></form>"""
    chips = "".join(f"<li>{escape(row['device'])} <b>{row['messages']:,}</b></li>" for row in devices)
    parts = [_notice(faults)]
    if chips:
        parts.append(f'<ul class="devices" aria-label="Messages sent by each device">{chips}</ul>')
    if rows:
        parts.append(f'<ul class="phones">{"".join(map(_phone, rows))}</ul>')
    elif search:
        parts.append(
            _empty("No such phone", f"No phone with {search!r} in its number has received a message.")
        )
    else:
        parts.append(_empty("No messages yet", "What is sent to a phone appears here within seconds."))
    every = '<a href="/">All phones</a> ' if search else ""
    newest = "" if first else f'<a href="{_link("/", q=search)}">← Newest</a>'
    next_page = "" if older is None else f'<a href="{_link("/", q=search, before=older)}">Older →</a>'
    parts.append(
        f'<nav class="pages" aria-label="Pages"><span>{every}{newest}</span><span>{next_page}</span></nav>'
    )
    return _page("WhatsApp inbox", header, "".join(parts), "inbox")


def chat(
    phone: str,
    rows: Sequence[sqlite3.Row],
    *,
    received: int,
    written: int,
    devices: Sequence[str],
    older: str | None,
    latest: bool,
) -> str:
    """One phone's conversation, oldest first. ``latest``: whether it is the end of it; there one can answer."""
    wrote = f" · {_count(written, 'message')} written" if written else ""
    header = f"""
<a class="back" href="/" aria-label="Back to the inbox">←</a>
<div class="titles"><h1>{escape(phone)}</h1>
<p id="totals" data-live>{_count(received, "message")} received{wrote}</p></div>"""
    parts = []
    if older is not None:
        parts.append(f'<p class="center"><a href="{_link("", before=older)}">Earlier messages</a></p>')
    if rows:
        parts.append(f'<ol class="messages">{_bubbles(rows)}</ol>')
    else:
        parts.append(_empty("No messages", "This phone has not received any."))
    if not latest:
        parts.append(f'<p class="center"><a href="{_link(_path(phone))}">Newest messages</a></p>')
    box = _box(phone, devices) if latest and devices else ""
    return _page(
        f"{phone} · WhatsApp inbox", header, "".join(parts), "chat latest" if latest else "chat", box
    )


def _box(phone: str, devices: Sequence[str]) -> str:
    """Where one answers as this person, to the device that wrote last unless another one is chosen."""
    options = "".join(f"<option>{escape(device)}</option>" for device in devices)
    return f"""
<form id="answer" class="answer" data-from="{escape(phone)}"><div>
<label>To <select name="device">{options}</select></label>
<input name="text" placeholder="Answer as this person, e.g. STOP" aria-label="Answer as this person" autocomplete="off" maxlength="4096" required>
<button>Send</button>
<p role="status" id="said"></p></div></form>"""


def _page(title: str, header: str, content: str, kind: str, footer: str = "") -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="/assets/inbox.css">
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<script src="/assets/inbox.js" defer></script>
</head>
<body class="{kind}">
<header class="bar"><div>{header}</div></header>
<main id="live" data-live>{content}</main>{footer}
</body>
</html>
"""


def _phone(row: sqlite3.Row) -> str:
    phone = str(row["phone"])
    preview = str(row["text"])[:PREVIEW]
    return (
        f'<li><a href="{escape(_path(phone))}">'
        f'<span class="avatar c{sum(map(ord, phone)) % COLOURS}" aria-hidden="true">{escape(phone[-2:])}</span>'
        f'<span class="phone">{escape(phone)}</span>'
        f'<span class="when">{_time(row["accepted_at"], "%-d %b %H:%M")}</span>'
        f'<span class="preview">{IMAGE if row["image_url"] else ""}{escape(preview)}'
        f' <span class="device">· {escape(row["device"])}</span></span>'
        f'<span class="count" aria-label="{_count(row["messages"], "message")}">{row["messages"]:,}</span>'
        "</a></li>"
    )


def _bubbles(rows: Sequence[sqlite3.Row]) -> str:
    parts = []
    day = ""
    for row in rows:
        if row["at"][:10] != day:
            day = row["at"][:10]
            parts.append(f'<li class="day"><span>{_time(row["at"], "%A, %-d %B %Y")}</span></li>')
        image = ""
        if row["image_url"]:
            url = escape(row["image_url"])
            image = f'<p class="image">{IMAGE}<a href="{url}" rel="noopener noreferrer nofollow" target="_blank">{url}</a></p>'
        own = row["direction"] == "written"
        mark = "nobody has acknowledged it yet" if own else "delivered again under the same key"
        again = f'<span class="again">{mark}</span> ' if row["mark"] else ""
        text = f'<p class="text">{escape(row["text"])}</p>' if row["text"] else ""
        parts.append(
            f'<li class="bubble{" own" if own else ""}">'
            f'<p class="device">{"to " if own else ""}{escape(row["device"])}</p>{image}{text}'
            f'<p class="meta">{again}{_time(row["at"], "%H:%M:%S UTC")}</p></li>'
        )
    return "".join(parts)


def _notice(faults: Sequence[str]) -> str:
    if not faults:
        return ""
    told = "; ".join(
        fault + (f" ({number} times)" if number > 1 else "") for fault, number in Counter(faults).items()
    )
    return f'<p class="notice" role="status"><b>Faults in force:</b> {escape(told)}</p>'


def _empty(title: str, explanation: str) -> str:
    return f'<div class="empty"><strong>{escape(title)}</strong>{escape(explanation)}</div>'


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _time(stamp: str, shape: str) -> str:
    moment = datetime.fromisoformat(stamp)
    return f'<time datetime="{escape(stamp)}" title="{escape(stamp)}">{moment.strftime(shape)}</time>'


def _path(phone: str) -> str:
    return f"/phones/{quote(phone, safe='')}"


def _link(path: str, **query: object) -> str:
    filled = {key: value for key, value in query.items() if value not in (None, "")}
    return escape(f"{path}?{urlencode(filled)}" if filled else path or "?")
