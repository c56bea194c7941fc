"""The inbox's list of phones."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from html import escape

from simulator.html import IMAGE, count, empty, frame, link, path_of, stamp

__all__ = ["inbox"]

COLOURS = 6
PREVIEW = 160


def inbox(
    rows: Sequence[sqlite3.Row],
    *,
    devices: Sequence[sqlite3.Row],
    phones: int,
    written: int,
    faults: Sequence[str],
    search: str,
    digits: str,
    older: str | None,
    first: bool,
) -> str:
    """The page. ``older``: where its next page begins; ``first``: whether this is the first page."""
    messages = sum(row["messages"] for row in devices)
    totals = f"{count(messages, 'message')} to {count(phones, 'phone')}"
    if written:
        totals += f" · {written:,} written back"
    header = f"""
<div class="titles"><h1>WhatsApp inbox</h1><p id="totals" data-live>Simulated gateway · {totals} · times in UTC</p></div>
<form class="search" role="search" action="/">
<input type="search" name="q" value="{escape(search)}" placeholder="Find or enter a phone number" aria-label="Find or enter a phone number" inputmode="tel">
<button>Find</button></form>"""
    chips = "".join(f"<li>{escape(row['device'])} <b>{row['messages']:,}</b></li>" for row in devices)
    parts = [_notice(faults)]
    if chips:
        parts.append(f'<ul class="devices" aria-label="Messages sent by each device">{chips}</ul>')
    if rows:
        parts.append(f'<ul class="phones">{"".join(map(_phone, rows))}</ul>')
    elif search and 7 <= len(digits) <= 15 and not digits.startswith("0"):
        parts.append(
            empty(
                f"+{digits} has no messages yet",
                "As this person you can still write to one of the devices.",
                f'<a class="button" href="{escape(path_of("+" + digits))}">Write as +{digits}</a>',
            )
        )
    elif search:
        parts.append(empty("No such phone", f"No phone with {search!r} in its number has a message."))
    else:
        parts.append(
            empty(
                "No messages yet",
                "What is sent to a phone appears here within seconds. To write as somebody, enter a phone number above.",
            )
        )
    every = '<a href="/">All phones</a> ' if search else ""
    newest = "" if first else f'<a href="{link("/", q=search)}">← Newest</a>'
    next_page = "" if older is None else f'<a href="{link("/", q=search, before=older)}">Older →</a>'
    parts.append(
        f'<nav class="pages" aria-label="Pages"><span>{every}{newest}</span><span>{next_page}</span></nav>'
    )
    return frame("WhatsApp inbox", header, "".join(parts), "inbox")


def _phone(row: sqlite3.Row) -> str:
    phone = str(row["phone"])
    if row["direction"] == "written":
        words = row["answer"] or row["payload"] or ""
        kind = "" if row["kind"] == "text" else f'<span class="tag">{escape(row["kind"].title())}</span> '
        preview = f'<span class="own">Wrote:</span> {kind}{escape(words[:PREVIEW])}'
    else:
        preview = (
            f"{IMAGE if row['image_url'] else ''}{escape(row['text'][:PREVIEW])}"
            f' <span class="device">· {escape(row["device"])}</span>'
        )
    both = f"{count(row['messages'], 'message')} received, {row['written']:,} written"
    return (
        f'<li><a href="{escape(path_of(phone))}">'
        f'<span class="avatar c{sum(map(ord, phone)) % COLOURS}" aria-hidden="true">{escape(phone[-2:])}</span>'
        f'<span class="phone">{escape(phone)}</span>'
        f'<span class="when">{stamp(row["latest"], "%-d %b %H:%M")}</span>'
        f'<span class="preview" dir="auto">{preview}</span>'
        f'<span class="count" title="{both}" aria-label="{both}">{row["messages"] + row["written"]:,}</span>'
        "</a></li>"
    )


def _notice(faults: Sequence[str]) -> str:
    if not faults:
        return ""
    faults_now = "; ".join(
        fault + (f" ({number} times)" if number > 1 else "") for fault, number in Counter(faults).items()
    )
    return f'<p class="notice" role="status"><b>Faults in force:</b> {escape(faults_now)}</p>'
