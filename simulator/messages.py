"""The API for senders: messages, look-ups, capabilities."""

import json
import time
from email.utils import formatdate
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from simulator.answers import error, first_problem
from simulator.api import Drop, Fail, Garble, Hang, Offline, RateLimit, Refuse, Terminal
from simulator.connections import Dropped, Hung
from simulator.faults import Plan
from simulator.gateway import Gateway, gateway_of
from simulator.store import Arrival, utc_now

__all__ = ["capabilities", "look_up", "send"]

MAX_BODY = 64 * 1024
MAX_KEY = 255
LOGGED_BODY = 8192
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024


class Message(BaseModel):
    """A message as it is handed in. Limits are WhatsApp's: 4,096 characters of text, 1,024 below an image."""

    model_config = ConfigDict(extra="forbid", strict=True)

    device: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
    to: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
    text: Annotated[str, Field(max_length=TEXT_LIMIT)] = ""
    image_url: Annotated[str, Field(pattern=r"^https?://", max_length=2048)] | None = None


class Rejected(Exception):
    """The request is malformed, or can never be accepted."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def send(request: Request) -> Response:
    """POST /v1/messages"""
    received_at = utc_now()
    gateway = gateway_of(request)
    key = request.headers.get("idempotency-key")
    raw = b""
    try:
        raw = await _body(request)
        message = _parse(raw, key)
    except ClientDisconnect:
        await gateway.store.record(_arrival(request, received_at, key, raw), "incomplete")
        return Dropped()
    except Rejected as problem:
        arrival = _arrival(request, received_at, key and key[:MAX_KEY], raw)
        await gateway.store.record(arrival, "invalid", status=problem.status)
        return error(problem.status, problem.code, str(problem))
    plan = gateway.faults.plan("send", message.device, message.to)
    if plan.counted:
        await gateway.faults.save()
    arrival = _arrival(request, received_at, key, raw, message.device, message.to)
    return await _decide(gateway, arrival, message, plan)


async def _decide(gateway: Gateway, arrival: Arrival, message: Message, plan: Plan) -> Response:
    """Accepts the message or not, as the faults say. The request is logged before anything else happens."""
    store, fault = gateway.store, plan.fault
    accepts = fault is None or getattr(fault, "after_accepting", False)
    logged: int | None = None
    if plan.before:
        logged = await store.record(arrival, "delayed", fault=plan.text)
        if not await gateway.pause(plan.before):
            return Dropped()
    if not accepts:
        assert fault is not None
        outcome, status = _refusal(fault)
        if logged is None:
            await store.record(arrival, outcome, status=status, fault=plan.text)
        else:
            await store.conclude(logged, outcome, status=status)
        return _act(gateway, fault)
    accepted = await store.accept(
        arrival,
        message.text,
        message.image_url,
        honour_key=gateway.settings.get(message.device)["idempotency"],
        status=200 if fault is None else _status(fault),
        fault=plan.text,
        request=logged,
    )
    if not await gateway.pause(plan.after):
        return Dropped()
    if fault is not None:
        return _act(gateway, fault)
    return JSONResponse({"id": accepted.message_id, "status": "accepted", "duplicate": accepted.duplicate})


async def look_up(request: Request) -> Response:
    """GET /v1/messages?device=&key="""
    gateway = gateway_of(request)
    device, key = request.query_params.get("device"), request.query_params.get("key")
    arrival = _arrival(request, utc_now(), key, b"", device)
    disturbed = await _disturb(gateway, arrival)
    if disturbed is not None:
        return disturbed
    if not device or not key:
        await gateway.store.record(arrival, "invalid", status=400)
        return error(400, "invalid_request", "A look-up takes 'device' and 'key'.")
    if not gateway.settings.get(device)["lookup"]:
        await gateway.store.record(arrival, "unsupported", status=501)
        return error(501, "lookup_unsupported", "Messages of this device cannot be looked up.")
    rows = await gateway.store.read(
        "select message_id, phone, accepted_at from messages where device = ? and idempotency_key = ? order by id",
        (device, key),
    )
    if not rows:
        await gateway.store.record(arrival, "not_found", status=404)
        return error(404, "unknown_message", "No message was accepted under this key.")
    await gateway.store.record(arrival, "found", status=200)
    first = rows[0]
    return JSONResponse(
        {
            "id": first["message_id"],
            "status": "accepted",
            "device": device,
            "to": first["phone"],
            "accepted_at": first["accepted_at"],
            "deliveries": len(rows),
        }
    )


async def capabilities(request: Request) -> Response:
    """GET /v1/capabilities?device="""
    gateway = gateway_of(request)
    device = request.query_params.get("device")
    arrival = _arrival(request, utc_now(), None, b"", device)
    disturbed = await _disturb(gateway, arrival)
    if disturbed is not None:
        return disturbed
    await gateway.store.record(arrival, "reported", status=200)
    return JSONResponse(gateway.settings.get(device))


async def _disturb(gateway: Gateway, arrival: Arrival) -> Response | None:
    """The effect of a fault on a read, if one acts."""
    plan = gateway.faults.plan("read", arrival.device, None)
    if plan.counted:
        await gateway.faults.save()
    if plan.text is None:
        return None
    status = None if plan.fault is None else _status(plan.fault)
    outcome = "delayed" if plan.fault is None else _refusal(plan.fault)[0]
    await gateway.store.record(arrival, outcome, status=status, fault=plan.text)
    if not await gateway.pause(plan.before + plan.after):
        return Dropped()
    return None if plan.fault is None else _act(gateway, plan.fault)


def _refusal(fault: Terminal) -> tuple[str, int | None]:
    """The logged outcome of a request that this fault kept from being accepted, and the status of its answer."""
    outcomes = {
        Refuse: "refused",
        RateLimit: "rate_limited",
        Fail: "failed",
        Drop: "dropped",
        Hang: "hung",
        Garble: "garbled",
        Offline: "unavailable",
    }
    return outcomes[type(fault)], _status(fault)


def _status(fault: Terminal) -> int | None:
    match fault:
        case Refuse() | Fail():
            return fault.status
        case RateLimit():
            return 429
        case Offline():
            return 503
        case Garble():
            return 200
        case Drop() | Hang():
            return None


def _act(gateway: Gateway, fault: Terminal) -> Response:
    match fault:
        case Refuse():
            return error(fault.status, fault.code, fault.reason)
        case RateLimit():
            answer = error(429, "rate_limited", "Too many messages.")
            if fault.retry_after is not None:
                seconds = fault.retry_after
                value = formatdate(time.time() + seconds, usegmt=True) if fault.as_date else f"{seconds:g}"
                answer.headers["retry-after"] = value
            return answer
        case Fail():
            return error(fault.status, "internal_error", "The gateway failed.")
        case Drop():
            return Dropped()
        case Hang():
            return Hung(gateway.stopping, fault.seconds)
        case Garble():
            return Response("<html>It works!</html>", media_type="text/html")
        case Offline():
            return error(503, "device_offline", "The device is offline; the message was not accepted.")


async def _body(request: Request) -> bytes:
    """The client's body. A little more than the limit is read too, as the client might miss the answer otherwise."""
    raw = b""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        raw = (raw + chunk)[:MAX_BODY]
        if received > 16 * MAX_BODY:
            break
    if received > MAX_BODY:
        raise Rejected(413, "too_large", f"A request has at most {MAX_BODY} bytes.")
    return raw


def _parse(raw: bytes, key: str | None) -> Message:
    if key is not None and (not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable()):
        raise Rejected(400, "invalid_key", f"Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters.")
    try:
        message = Message.model_validate_json(raw)
    except ValidationError as problem:
        json_itself = problem.errors()[0]["type"] == "json_invalid"
        code = "invalid_json" if json_itself else "invalid_message"
        raise Rejected(400 if json_itself else 422, code, first_problem(problem)) from None
    if message.image_url is None and not message.text.strip():
        raise Rejected(422, "invalid_message", "text: a message without an image has a text")
    if message.image_url is not None and len(message.text) > CAPTION_LIMIT:
        raise Rejected(422, "invalid_message", f"text: a caption has at most {CAPTION_LIMIT} characters")
    return message


def _arrival(
    request: Request,
    received_at: str,
    key: str | None,
    raw: bytes,
    device: str | None = None,
    phone: str | None = None,
) -> Arrival:
    body = raw.decode(errors="replace")[:LOGGED_BODY] or None
    if request.method == "GET":
        body = json.dumps(dict(request.query_params)) if request.query_params else None
    return Arrival(received_at, request.method, request.url.path, device, phone, key, body)
