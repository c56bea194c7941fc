"""The parts that the inbox's pages share. Everything that came from outside goes through ``escape``."""

from datetime import datetime
from html import escape
from urllib.parse import quote, urlencode

__all__ = ["IMAGE", "count", "empty", "frame", "link", "path_of", "stamp"]

IMAGE = '<span class="tag">Image</span> '


def frame(
    title: str, header: str, content: str, kind: str, footer: str = "", scripts: tuple[str, ...] = ()
) -> str:
    """A whole page. ``content`` is kept current by live.js."""
    tags = "".join(f'\n<script src="/assets/{name}" defer></script>' for name in ("live.js", *scripts))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="/assets/inbox.css">
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="5"></noscript>{tags}
</head>
<body class="{kind}">
<header class="bar"><div>{header}</div></header>
<main id="live" data-live>{content}</main>{footer}
</body>
</html>
"""


def empty(title: str, explanation: str, more: str = "") -> str:
    """What stands where there is nothing to list. ``more``: HTML."""
    return f'<div class="empty"><strong>{escape(title)}</strong>{escape(explanation)}{more}</div>'


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def stamp(moment: str, shape: str) -> str:
    """A moment of the log, in this shape."""
    shown = datetime.fromisoformat(moment).strftime(shape)
    return f'<time datetime="{escape(moment)}" title="{escape(moment)}">{shown}</time>'


def path_of(phone: str) -> str:
    """Where the conversation of this phone is."""
    return f"/phones/{quote(phone, safe='')}"


def link(path: str, **query: object) -> str:
    """An address with a query, escaped."""
    filled = {key: value for key, value in query.items() if value not in (None, "")}
    return escape(f"{path}?{urlencode(filled)}" if filled else path or "?")
