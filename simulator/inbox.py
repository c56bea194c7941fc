"""The inbox: what each phone received, as a person would see it."""

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
    """GET /phones/{phone}?before=: one phone's messages, the newest below."""
    phone = request.path_params["phone"]
    before = _number(request.query_params.get("before"))
    store = gateway_of(request).store
    rows = await store.read(
        "select id, device, text, image_url, accepted_at, exists (select 1 from messages as earlier"
        " where earlier.device = messages.device and earlier.idempotency_key = messages.idempotency_key"
        " and earlier.id < messages.id) as again"
        " from messages where phone = ? and id < ? order by id desc limit ?",
        (phone, before, MESSAGES_A_PAGE + 1),
    )
    total = await store.read("select messages from phones where phone = ?", (phone,))
    page = pages.chat(
        phone,
        list(reversed(rows[:MESSAGES_A_PAGE])),
        total=total[0]["messages"] if total else 0,
        older=_last(rows, MESSAGES_A_PAGE, "id"),
        latest=before == NO_END,
    )
    return HTMLResponse(page, 200 if total else 404, headers=HEADERS)


def _last(rows: list[sqlite3.Row], size: int, column: str) -> int | None:
    """Where the next page begins, if there is one: one row more than a page was asked for."""
    return int(rows[size - 1][column]) if len(rows) > size else None


def _number(text: str | None) -> int:
    """A place in the log; the end of it where the text is none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        return NO_END
    return int(text)
