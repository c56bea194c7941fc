"""The control API for tests and operators: faults, settings, the log."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from simulator.answers import error, first_problem
from simulator.api import Fault, Latency, Terminal
from simulator.gateway import gateway_of
from simulator.settings import Setting
from simulator.store import Arrival, utc_now

__all__ = [
    "accepted",
    "add_fault",
    "clear_faults",
    "get_faults",
    "get_settings",
    "health",
    "log",
    "put_faults",
    "put_settings",
    "remove_fault",
    "stats",
    "written",
]

PAGE = 1_000
LONGEST_PAGE = 10_000

ONE_FAULT: TypeAdapter[Latency | Terminal] = TypeAdapter(Fault)


class FaultList(BaseModel):
    """The body of PUT /v1/faults."""

    model_config = ConfigDict(extra="forbid")

    faults: list[Fault]


async def get_faults(request: Request) -> Response:
    """GET /v1/faults: those in force."""
    faults = gateway_of(request).faults.current()
    return JSONResponse({"faults": [fault.model_dump(exclude_none=True) for fault in faults]})


async def put_faults(request: Request) -> Response:
    """PUT /v1/faults {"faults": […]}: these and no others."""
    gateway = gateway_of(request)
    try:
        wanted = FaultList.model_validate_json(await request.body())
    except ValidationError as invalid:
        return error(422, "invalid_fault", first_problem(invalid))
    await gateway.faults.replace(wanted.faults)
    return await _faults_changed(request)


async def add_fault(request: Request) -> Response:
    """POST /v1/faults: one more."""
    gateway = gateway_of(request)
    try:
        wanted = ONE_FAULT.validate_json(await request.body())
    except ValidationError as invalid:
        return error(422, "invalid_fault", first_problem(invalid))
    await gateway.faults.add(wanted)
    return await _faults_changed(request)


async def clear_faults(request: Request) -> Response:
    """DELETE /v1/faults?device=&phone=: all, or those of a device or a phone."""
    await gateway_of(request).faults.remove(
        device=request.query_params.get("device"), phone=request.query_params.get("phone")
    )
    return await _faults_changed(request)


async def remove_fault(request: Request) -> Response:
    """DELETE /v1/faults/{number}"""
    number = request.path_params["number"]
    if not await gateway_of(request).faults.remove(number=number):
        return error(404, "unknown_fault", f"There is no fault {number}.")
    return await _faults_changed(request)


async def _faults_changed(request: Request) -> Response:
    await _note(request)
    gateway = gateway_of(request)
    if gateway.follow is not None:
        await gateway.follow(request.state.connection)
    answer = await get_faults(request)
    if gateway.faults.offline_until() is not None:
        answer.headers["connection"] = "close"
    return answer


async def get_settings(request: Request) -> Response:
    """GET /v1/settings: what holds in general, and for devices that have their own."""
    settings = gateway_of(request).settings
    own = {device: settings.get(device) for device in settings.devices()}
    return JSONResponse({**settings.get(), "devices": own})


async def put_settings(request: Request) -> Response:
    """PUT /v1/settings {"idempotency"?, "lookup"?, "device"?}"""
    try:
        body = json.loads(await request.body())
        device = body.pop("device", None) if isinstance(body, dict) else None
        if device is not None and (not isinstance(device, str) or not device):
            return error(422, "invalid_settings", "device: a name")
        wanted = Setting.model_validate(body, strict=True)
    except ValidationError as invalid:
        return error(422, "invalid_settings", first_problem(invalid))
    except ValueError as invalid:
        return error(422, "invalid_settings", f"not JSON: {invalid}")
    await gateway_of(request).settings.put(device, wanted)
    await _note(request)
    return await get_settings(request)


async def log(request: Request) -> Response:
    """GET /v1/log?after=&limit=&device=&phone=: every request, in the order in which they were written."""
    return await _export(
        request,
        "id, received_at, method, path, device, phone, idempotency_key, outcome, fault, status, message_id, body",
        "requests",
    )


async def accepted(request: Request) -> Response:
    """GET /v1/accepted?after=&limit=&device=&phone=: every delivery."""
    return await _export(
        request,
        "id, message_id, request_id, received_at, accepted_at, device, phone, idempotency_key,"
        " honoured_key is not null as key_honoured, text, image_url",
        "messages",
    )


async def written(request: Request) -> Response:
    """GET /v1/inbound?after=&limit=&device=&phone=: everything that people wrote, and when it was acknowledged."""
    return await _export(
        request, "id, message_id, device, phone, kind, text, payload, written_at, acknowledged_at", "answers"
    )


async def _export(request: Request, columns: str, table: str) -> Response:
    query = request.query_params
    try:
        after = int(query.get("after", "0"))
        limit = min(int(query.get("limit", PAGE)), LONGEST_PAGE)
    except ValueError:
        after = limit = -1
    if not 0 <= after < 2**63 or limit < 1:
        return error(400, "invalid_request", "'after' and 'limit' are whole numbers from 0 and 1 upwards.")
    rows = await gateway_of(request).store.read(
        f"select {columns} from {table} where id > :after and (:device is null or device = :device)"  # noqa: S608
        " and (:phone is null or phone = :phone) order by id limit :limit",
        {"after": after, "device": query.get("device"), "phone": query.get("phone"), "limit": limit},
    )
    return Response(_lines(rows), media_type="application/x-ndjson")


def _lines(rows: Iterable[Any]) -> str:
    return "".join(json.dumps(_decode_row(dict(row)), ensure_ascii=False) + "\n" for row in rows)


def _decode_row(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("fault"):
        row["fault"] = json.loads(row["fault"])
    if "key_honoured" in row:
        row["key_honoured"] = bool(row["key_honoured"])
    return row


async def stats(request: Request) -> Response:
    """GET /v1/stats: totals."""
    store = gateway_of(request).store
    requests = await store.read("select coalesce(max(id), 0) as total from requests")
    devices = await store.read("select device, messages from devices order by device")
    phones = await store.read("select count(*) as total from phones where messages > 0")
    return JSONResponse(
        {
            "requests": requests[0]["total"],
            "accepted": sum(row["messages"] for row in devices),
            "phones": phones[0]["total"],
            "devices": {row["device"]: row["messages"] for row in devices},
        }
    )


async def health(request: Request) -> Response:
    """GET /health"""
    gateway = gateway_of(request)
    return JSONResponse(
        {
            "status": "ok",
            "gateway": "simulated",
            "url": gateway.url,
            "control_url": gateway.control_url,
            "offline": gateway.faults.offline_until() is not None,
        }
    )


async def _note(request: Request) -> None:
    """A change of faults or settings is logged too, between the requests that it explains."""
    body = (await request.body()).decode(errors="replace") or None
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    await gateway_of(request).store.record(
        Arrival(utc_now(), request.method, path, body=body), "changed", status=200
    )
