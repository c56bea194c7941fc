"""One phone's conversation, and the box to answer from as its person would."""

import sqlite3
from collections.abc import Mapping, Sequence
from html import escape

from simulator.html import IMAGE, count, empty, frame, link, path_of, stamp

__all__ = ["chat"]

QUOTED = 120
REACTIONS = ("👍", "❤️", "😂")
AT_ONCE = ("STOP", "START", "Yes", "No")
"""What the quick buttons send."""
KINDS = {
    "text": "Text",
    "button": "Button of ours",
    "list": "List row of ours",
    "image": "Photo",
    "video": "Video",
    "audio": "Voice note",
    "document": "Document",
    "sticker": "Sticker",
    "stop": "Stops marketing in WhatsApp",
    "resume": "Resumes marketing in WhatsApp",
}
SHOWN_BY = {"phone": "phone", "both": "phone and user ID", "user_id": "user ID only"}


def chat(
    phone: str,
    rows: Sequence[sqlite3.Row],
    *,
    reactions: Mapping[str, sqlite3.Row],
    received: int,
    written: int,
    devices: Sequence[str],
    name: str,
    older: str | None,
    answerable: bool,
) -> str:
    """The page, oldest message first. ``answerable``: whether it is the end of the conversation, where one can answer."""
    wrote = f" · {count(written, 'message')} written" if written else ""
    header = f"""
<a class="back" href="/" aria-label="Back to the inbox">←</a>
<div class="titles"><h1>{escape(phone)}</h1>
<p id="totals" data-live>{count(received, "message")} received{wrote}</p></div>"""
    parts = []
    if older is not None:
        parts.append(f'<p class="center"><a href="{link("", before=older)}">Earlier messages</a></p>')
    if rows:
        parts.append(f'<ol class="messages">{_bubbles(rows, reactions)}</ol>')
    else:
        parts.append(empty("No messages yet", f"{phone} has received nothing, and written nothing."))
    if not answerable:
        parts.append(f'<p class="center"><a href="{link(path_of(phone))}">Newest messages</a></p>')
    box = _box(phone, devices, name) if answerable else ""
    title = f"{phone} · WhatsApp inbox"
    return frame(title, header, "".join(parts), "chat latest" if answerable else "chat", box, ("answer.js",))


def _box(phone: str, devices: Sequence[str], name: str) -> str:
    """Where one answers as this person, to the device that wrote last unless another one is chosen."""
    if devices:
        options = "".join(f"<option>{escape(device)}</option>" for device in devices)
        device = f'<select name="device">{options}</select>'
    else:
        device = '<input name="device" placeholder="device" size="10" required pattern="[a-zA-Z0-9][a-zA-Z0-9._\\-]*">'
    quick = "".join(f'<button type="button" data-say="{word}">{word}</button>' for word in AT_ONCE)
    return f"""
<form id="answer" class="answer" data-from="{escape(phone)}"><div>
<p class="quoting" hidden><span></span><button type="button" aria-label="Do not quote it">&times;</button></p>
<div class="how">
<label>To {device}</label>
<label>As <input name="name" value="{escape(name)}" placeholder="profile name" size="12" maxlength="255" autocomplete="off"></label>
<label>Known by <select name="shown">{_options(SHOWN_BY)}</select></label>
<label>Sends <select name="kind">{_options(KINDS)}</select></label>
<label hidden>Payload <input name="payload" size="12" maxlength="255" autocomplete="off"></label>
</div>
<div class="say">
<textarea name="text" rows="1" placeholder="Answer as this person, e.g. STOP" aria-label="Answer as this person" maxlength="65536"></textarea>
<button class="send">Send</button>
</div>
<div class="quick" role="group" aria-label="Send at once">{quick}<p role="status" id="said"></p></div>
</div></form>"""


def _options(named: Mapping[str, str]) -> str:
    return "".join(f'<option value="{value}">{words}</option>' for value, words in named.items())


def _bubbles(rows: Sequence[sqlite3.Row], reactions: Mapping[str, sqlite3.Row]) -> str:
    parts = []
    day = ""
    for row in rows:
        if row["at"][:10] != day:
            day = row["at"][:10]
            parts.append(f'<li class="day"><span>{stamp(row["at"], "%A, %-d %B %Y")}</span></li>')
        parts.append(_written(row) if row["direction"] == "written" else _received(row, reactions))
    return "".join(parts)


def _received(row: sqlite3.Row, reactions: Mapping[str, sqlite3.Row]) -> str:
    image = ""
    if row["image_url"]:
        url = escape(row["image_url"])
        image = f'<p class="image">{IMAGE}<a href="{url}" rel="noopener noreferrer nofollow" target="_blank">{url}</a></p>'
    text = f'<p class="text" dir="auto">{escape(row["text"])}</p>' if row["text"] else ""
    again = '<span class="again">delivered again under the same key</span> ' if row["mark"] else ""
    identifier, short = escape(row["message_id"]), escape((row["text"] or "Image")[:QUOTED])
    acts = "".join(
        f'<button type="button" data-react="{sign}" aria-label="React with {sign}">{sign}</button>'
        for sign in REACTIONS
    )
    reaction = reactions.get(row["message_id"])
    badge = ""
    if reaction is not None and reaction["text"]:
        mark = ' <span class="again">not acknowledged yet</span>' if reaction["mark"] else ""
        badge = f'<p class="reaction" title="Reacted">{escape(reaction["text"])}{mark}</p>'
    unread = "" if row["receipt"] == "read" else ' data-unread="yes"'
    receipt = f' <span class="receipt">{row["receipt"]}</span>' if row["receipt"] else ""
    return (
        f'<li class="bubble"><p class="device">{escape(row["device"])}</p>{image}{text}'
        f'<p class="meta">{again}{stamp(row["at"], "%H:%M:%S UTC")}{receipt}</p>{badge}'
        f'<p class="acts" data-message="{identifier}" data-device="{escape(row["device"])}" data-words="{short}"{unread}>'
        f'<button type="button" data-quote="yes">Quote</button>{acts}</p></li>'
    )


def _written(row: sqlite3.Row) -> str:
    quoted = f'<blockquote dir="auto">{escape(row["quoted"][:QUOTED])}</blockquote>' if row["quoted"] else ""
    kind = "" if row["kind"] == "text" else f'<span class="tag">{escape(row["kind"].title())}</span> '
    words = row["text"] or row["payload"] or ""
    payload = (
        f' <span class="payload">{escape(row["payload"])}</span>' if row["payload"] and row["text"] else ""
    )
    text = f'<p class="text" dir="auto">{kind}{escape(words)}{payload}</p>' if words or kind else ""
    named = f" as {escape(row['name'])}" if row["name"] else ""
    hidden = ", by user ID" if row["hidden"] else ""
    mark = '<span class="again">nobody has acknowledged it yet</span> ' if row["mark"] else ""
    return (
        f'<li class="bubble own"><p class="device">to {escape(row["device"])}{named}{hidden}</p>{quoted}{text}'
        f'<p class="meta">{mark}{stamp(row["at"], "%H:%M:%S UTC")}</p></li>'
    )
