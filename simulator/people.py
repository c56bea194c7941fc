"""Messages that people write: by the control API, and from the inbox page."""

import sqlite3
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from simulator.answers import error, first_problem
from simulator.courier import COLUMNS, RECEIPTS, Webhook
from simulator.gateway import gateway_of
from simulator.store import utc_now

__all__ = ["delete_webhook", "get_webhook", "put_webhook", "write"]

Word = Annotated[str, Field(min_length=1, max_length=255)]


class Answer(BaseModel):
    """A message of one person. ``id``, ``at``: its ID and time; by default a new ID, and now.

    ``number_changed``: WhatsApp reports that ``payload`` is the phone that they have from now on. ``delivered``,
    ``read`` and ``failed`` are receipts of the message that ``answers`` names; each is reported once. ``hide_phone``: the webhook
    reports ``user_id`` only. The inbox shows the message with the phone's others.
    """

    model_config = ConfigDict(extra="forbid")

    device: Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
    phone: str | None = Field(None, alias="from", pattern=r"^\+[1-9][0-9]{6,14}$")
    user_id: Word | None = None
    hide_phone: bool = False
    kind: Literal[
        "text",
        "button",
        "list",
        "image",
        "video",
        "audio",
        "document",
        "sticker",
        "reaction",
        "preference",
        "number_changed",
        "delivered",
        "read",
        "failed",
    ] = "text"
    text: Annotated[str, Field(max_length=65_536)] | None = None
    payload: Word | None = None
    answers: Word | None = None
    ad: Word | None = None
    """The ID of the click-to-WhatsApp advertisement that they came by."""
    name: Word | None = None
    id: Word | None = None
    at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _somebody_something(self) -> "Answer":
        if self.phone is None and self.user_id is None:
            raise ValueError("somebody writes: give 'from', or 'user_id' for somebody without a phone")
        if self.kind in RECEIPTS and self.answers is None:
            raise ValueError("answers: a receipt names the message that it is about")
        if self.hide_phone and self.user_id is None:
            raise ValueError("hide_phone: without a phone, somebody is known by 'user_id'")
        if (
            not (self.text or "").strip()
            and not self.payload
            and self.kind in ("text", "button", "list", "preference", "number_changed")
        ):
            raise ValueError("a text, or a payload of what was chosen, is missing")
        return self


class Writing(BaseModel):
    """The body of POST /v1/inbound: several messages, and how they are delivered."""

    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[Answer], Field(min_length=1, max_length=500)]
    times: Annotated[int, Field(ge=1, le=100)] = 1
    order: Literal["given", "reversed", "shuffled"] = "given"
    together: bool = False


async def write(request: Request) -> Response:
    """POST /v1/inbound {"messages": […], "times"?, "order"?, "together"?}"""
    gateway = gateway_of(request)
    try:
        wanted = Writing.model_validate_json(await request.body())
    except ValidationError as invalid:
        return error(422, "invalid_inbound", first_problem(invalid))
    identifiers = [
        one.id or (f"{one.kind}-{one.answers}" if one.kind in RECEIPTS else f"sim-in-{uuid4().hex}")
        for one in wanted.messages
    ]

    def work(connection: sqlite3.Connection) -> None:
        for one, identifier in zip(wanted.messages, identifiers, strict=True):
            _store(connection, one, identifier)

    with gateway.courier.holding(identifiers):
        await gateway.store.write(work)
        places = ", ".join("?" * len(identifiers))
        rows = await gateway.store.read(
            f"select {COLUMNS} from answers where message_id in ({places})",  # noqa: S608
            identifiers,
        )
        given = {identifier: place for place, identifier in enumerate(identifiers)}
        rows.sort(key=lambda row: given[row["message_id"]])
        answered = await gateway.courier.deliver(
            rows, times=wanted.times, order=wanted.order, together=wanted.together
        )
    return JSONResponse({"ids": identifiers, "answered": answered})


def _store(connection: sqlite3.Connection, one: Answer, identifier: str) -> None:
    """Keeps a message, once, and makes it the latest of its phone."""
    now, payload = utc_now(), one.payload
    if one.kind in RECEIPTS:
        key = connection.execute(
            "select idempotency_key from messages where message_id = ?", (one.answers,)
        ).fetchone()
        payload = key and key[0]
    stored = connection.execute(
        "insert into answers (message_id, device, phone, kind, text, payload, answers, ad, name, user_id, hidden,"
        " written_at, place) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (device, message_id) do nothing",
        (
            *(identifier, one.device, one.phone, one.kind, one.text, payload, one.answers, one.ad, one.name),
            *(one.user_id, one.hide_phone, one.at.isoformat() if one.at else now, now),
        ),
    )
    if one.phone is not None and stored.rowcount and one.kind not in RECEIPTS:
        connection.execute(
            "insert into phones (phone, written, last_answer, latest) values (?, 1, ?, ?) on conflict (phone) do update"
            " set written = written + 1, last_answer = excluded.last_answer, latest = excluded.latest",
            (one.phone, stored.lastrowid, now),
        )


async def put_webhook(request: Request) -> Response:
    """PUT /v1/webhook {"url", "secret"}"""
    try:
        wanted = Webhook.model_validate_json(await request.body())
    except ValidationError as invalid:
        return error(422, "invalid_webhook", first_problem(invalid))
    await gateway_of(request).courier.point_at(wanted)
    return await get_webhook(request)


async def delete_webhook(request: Request) -> Response:
    """DELETE /v1/webhook"""
    await gateway_of(request).courier.point_at(None)
    return await get_webhook(request)


async def get_webhook(request: Request) -> Response:
    """GET /v1/webhook: the address without the secret, and how many messages nobody has acknowledged."""
    gateway = gateway_of(request)
    rows = await gateway.store.read("select count(*) as waiting from answers where acknowledged_at is null")
    webhook = gateway.courier.webhook
    return JSONResponse({"url": webhook and webhook.url, "waiting": rows[0]["waiting"]})
