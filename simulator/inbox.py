"""The inbox page: what each phone received and wrote, and a box to answer from."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from simulator import chat_page, list_page
from simulator.answers import error
from simulator.gateway import gateway_of
from simulator.html import path_of

__all__ = ["asset", "chat", "open_chat", "phones"]

PHONES_A_PAGE = 50
MESSAGES_A_PAGE = 100
END = "~"
"""Sorts behind every place in a list or conversation."""

# The phones with the latest message first, each with that message.
PHONES = """
select phones.phone, phones.messages, phones.written, phones.latest,
       case when coalesce(answers.place, '') > coalesce(messages.accepted_at, '') then 'written' else 'received' end as direction,
       answers.kind, answers.text as answer, answers.payload, messages.text, messages.image_url,
       coalesce(messages.device, answers.device) as device
  from phones
  left join messages on messages.id = phones.last_message
  left join answers on answers.id = phones.last_answer
 where (phones.latest, phones.phone) < (:latest, :phone) and phones.phone like :pattern
 order by phones.latest desc, phones.phone desc
 limit :limit
"""

# Both halves are cut before they are put together, so that a long conversation costs no more than a short one. A reaction
# to one of our messages is shown with that message.
CONVERSATION = """
select * from (
    select accepted_at || printf(' %015d', id) as place, 'received' as direction, message_id, device, text, image_url,
           'text' as kind, null as payload, null as name, 0 as hidden, null as quoted, accepted_at as at,
           exists (select 1 from messages as earlier
                    where earlier.device = messages.device and earlier.idempotency_key = messages.idempotency_key
                      and earlier.id < messages.id) as mark,
           (select max(kind) from answers where answers.answers = messages.message_id
                                            and kind in ('delivered', 'read')) as receipt
      from messages
     where phone = :phone and accepted_at || printf(' %015d', id) < :before
     order by id desc limit :limit)
union all
select * from (
    select place || printf(' %015d', id), 'written', message_id, device, text, null, kind, payload, name, hidden,
           (select case when quoted.text = '' then 'Image' else quoted.text end
              from messages as quoted where quoted.message_id = answers.answers),
           place, acknowledged_at is null, null
      from answers
     where phone = :phone and place || printf(' %015d', id) < :before and kind not in ('delivered', 'read', 'failed')
       and not (kind = 'reaction' and exists (select 1 from messages where message_id = answers.answers))
     order by place desc limit :limit)
 order by 1 desc limit :limit
"""

# The last one counts; an empty one takes the reaction back.
REACTIONS = """
select answers.answers as message_id, answers.text, answers.acknowledged_at is null as mark
  from answers
 where answers.phone = ? and answers.kind = 'reaction' and answers.answers is not null
 order by answers.place, answers.id
"""

# The device that wrote last comes first, then those that this phone wrote to, then all others.
DEVICES = """
select devices.device
  from devices
 order by (select max(id) from messages where phone = :phone and device = devices.device) desc nulls last,
          (select max(id) from answers where phone = :phone and device = devices.device) desc nulls last, devices.device
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
    for name, kind in {
        "inbox.css": "text/css",
        "live.js": "text/javascript",
        "answer.js": "text/javascript",
    }.items()
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
    before = request.query_params.get("before", "")
    latest, _, last = before.partition(" ")
    rows = await gateway.store.read(
        PHONES, {"latest": latest or END, "phone": last, "pattern": pattern, "limit": PHONES_A_PAGE + 1}
    )
    devices = await gateway.store.read("select device, messages from devices order by device")
    total = await gateway.store.read(
        "select coalesce(sum(messages > 0), 0) as phones, coalesce(sum(written), 0) as written from phones"
    )
    shown = rows[:PHONES_A_PAGE]
    page = list_page.inbox(
        shown,
        devices=devices,
        phones=total[0]["phones"],
        written=total[0]["written"],
        faults=[fault.described() for fault in gateway.faults.current()],
        search=wanted,
        digits=digits,
        older=f"{shown[-1]['latest']} {shown[-1]['phone']}" if len(rows) > PHONES_A_PAGE else None,
        first=not before,
    )
    return HTMLResponse(page, headers=HEADERS)


async def open_chat(request: Request) -> Response:
    """GET /phones?phone=: leads to the conversation of any phone, also of one that received nothing yet."""
    phone = "".join(character for character in request.query_params.get("phone", "") if character.isdigit())
    if not 7 <= len(phone) <= 15 or phone.startswith("0"):
        return RedirectResponse("/", 303)
    return RedirectResponse(path_of(f"+{phone}"), 303)


async def chat(request: Request) -> Response:
    """GET /phones/{phone}?before=: what one phone received and wrote, the newest below."""
    phone = request.path_params["phone"]
    before = request.query_params.get("before")
    store = gateway_of(request).store
    rows = await store.read(
        CONVERSATION, {"phone": phone, "before": before or END, "limit": MESSAGES_A_PAGE + 1}
    )
    counts = await store.read("select messages, written from phones where phone = ?", (phone,))
    reactions = {
        row["message_id"]: row for row in await store.read(REACTIONS, (phone,)) if phone and row["message_id"]
    }
    devices = await store.read(DEVICES, {"phone": phone})
    name = await store.read(
        "select name from answers where phone = ? and name is not null order by place desc limit 1", (phone,)
    )
    possible = phone[:1] == "+" and phone[1:].isascii() and phone[1:].isdigit() and 8 <= len(phone) <= 16
    page = chat_page.chat(
        phone,
        list(reversed(rows[:MESSAGES_A_PAGE])),
        reactions=reactions,
        received=counts[0]["messages"] if counts else 0,
        written=counts[0]["written"] if counts else 0,
        devices=[row["device"] for row in devices],
        name=name[0]["name"] if name else "",
        older=rows[MESSAGES_A_PAGE - 1]["place"] if len(rows) > MESSAGES_A_PAGE else None,
        answerable=before is None and possible,
    )
    return HTMLResponse(page, 200 if rows or possible else 404, headers=HEADERS)
