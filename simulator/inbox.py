"""The inbox page: what each phone received, and a box to answer from."""

import sqlite3
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from simulator import pages
from simulator.answers import error
from simulator.gateway import gateway_of

__all__ = ["asset", "chat", "phones"]

PHONES_A_PAGE = 50
MESSAGES_A_PAGE = 100
NO_END = 2**63 - 1
END = "~"
"""Sorts behind every place in a conversation."""
CONVERSATION = """
    select accepted_at || printf(' %015d', id) as place, 'received' as direction, device, text, image_url,
        accepted_at as at, exists (select 1 from messages as earlier
            where earlier.device = messages.device and earlier.idempotency_key = messages.idempotency_key
            and earlier.id < messages.id) as mark
        from messages where phone = :phone and accepted_at || printf(' %015d', id) < :before
    union all
    select place || printf(' %015d', id), 'written', device, coalesce(text, payload, ''), null, place, told_at is null
        from answers where phone = :phone and place || printf(' %015d', id) < :before
    order by 1 desc limit :limit
"""

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

ASSETS = {
    name: ((Path(__file__).parent / "assets" / name).read_bytes(), kind)
    for name, kind in {"inbox.css": "text/css", "inbox.js": "text/javascript"}.items()
}


async def asset(request: Request) -> Response:
    """GET /assets/…"""
    found = ASSETS.get(request.path_params["name"])
    if found is None:
        return error(404, "unknown_path", "There is no such file.")
    return Response(found[0], media_type=found[1], headers={"cache-control": "no-cache"})


async def phones(request: Request) -> Response:
    """GET /?q=&before=: the phones, that with the newest message first."""
    gateway = gateway_of(request)
    wanted = request.query_params.get("q", "").strip()[:40]
    digits = "".join(character for character in wanted if character in "0123456789")
    pattern = f"%{digits}%" if digits or not wanted else ""  # no number contains a word
    before = _number(request.query_params.get("before"))
    rows = await gateway.store.read(
        "select phones.phone, phones.messages, phones.last_id, latest.text, latest.image_url, latest.device,"
        " latest.accepted_at from phones join messages as latest on latest.id = phones.last_id"
        " where phones.last_id < ? and phones.phone like ? order by phones.last_id desc limit ?",
        (before, pattern, PHONES_A_PAGE + 1),
    )
    devices = await gateway.store.read("select device, messages from devices order by device")
    total = await gateway.store.read("select count(*) as phones from phones")
    page = pages.inbox(
        rows[:PHONES_A_PAGE],
        devices=devices,
        phones=total[0]["phones"],
        faults=[fault.told() for fault in gateway.faults.current()],
        search=wanted,
        older=_last(rows, PHONES_A_PAGE, "last_id"),
        first=before == NO_END,
    )
    return HTMLResponse(page, headers=HEADERS)


async def chat(request: Request) -> Response:
    """GET /phones/{phone}?before=: what one phone received and wrote, the newest below."""
    phone = request.path_params["phone"]
    before = request.query_params.get("before")
    store = gateway_of(request).store
    rows = await store.read(
        CONVERSATION, {"phone": phone, "before": before or END, "limit": MESSAGES_A_PAGE + 1}
    )
    received = await store.read("select messages from phones where phone = ?", (phone,))
    written = await store.read("select count(*) as messages from answers where phone = ?", (phone,))
    devices = await store.read(
        "select device from messages where phone = ? group by device order by max(id) desc", (phone,)
    )
    page = pages.chat(
        phone,
        list(reversed(rows[:MESSAGES_A_PAGE])),
        received=received[0]["messages"] if received else 0,
        written=written[0]["messages"],
        devices=[row["device"] for row in devices],
        older=rows[MESSAGES_A_PAGE - 1]["place"] if len(rows) > MESSAGES_A_PAGE else None,
        latest=before is None,
    )
    return HTMLResponse(page, 200 if rows or received else 404, headers=HEADERS)


def _last(rows: list[sqlite3.Row], size: int, column: str) -> int | None:
    """Where the next page begins, if there is one: one row more than a page was asked for."""
    return int(rows[size - 1][column]) if len(rows) > size else None


def _number(text: str | None) -> int:
    """A place in the log; the end of it where the text is none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        return NO_END
    return int(text)
