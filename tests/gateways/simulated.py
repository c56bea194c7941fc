"""The case of the gateway of ``python -m simulator``."""

from typing import Any

from messaging.gateways.base import DeviceUnfit, MaybeAccepted, NotAccepted, Recovery, Refused
from tests.gateways.case import CAPTION, DEVICE, IMAGE_URL, OURS, PHONE, TEXT, GatewayCase, Question
from tests.support.wire import Reply, Request

SECRET = "simulated-not-a-secret"


def _check(request: Request, **content: str) -> None:
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["idempotency-key"] == str(OURS)
    assert request.json() == {"device": DEVICE, "to": PHONE, **content}


def _error(status: int, code: Any, message: Any = "Words.") -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})


CASE = GatewayCase(
    name="simulated",
    options=lambda url: {"url": url, "webhook_secret_env": "SIMULATED_WEBHOOK_SECRET"},
    environment={"SIMULATED_WEBHOOK_SECRET": SECRET},
    secrets=(SECRET,),
    accepted=Reply(200, {"id": "sim-1", "status": "accepted", "duplicate": False}),
    gateway_message_id="sim-1",
    refusals=(
        ("an invalid number", _error(422, "invalid_number"), Refused),
        ("too long a text", _error(400, "invalid_request"), Refused),
        ("a recipient that is not there", _error(404, "unknown_recipient"), Refused),
        ("logged out", _error(401, "logged_out"), DeviceUnfit),
        ("blocked", _error(403, "blocked"), DeviceUnfit),
        ("too fast", _error(429, "rate_limited"), NotAccepted),
        ("offline", _error(503, "offline"), NotAccepted),
        ("no endpoint of its", _error(404, "unknown_path"), NotAccepted),
        ("not by this method", _error(405, "wrong_method"), NotAccepted),
        ("a failure of its own", _error(500, "internal"), MaybeAccepted),
        ("an error that is none", _error(422, None, None), NotAccepted),
        ("an ID that is a number", Reply(200, {"id": 7}), MaybeAccepted),
        ("an ID that is empty", Reply(200, {"id": ""}), MaybeAccepted),
    ),
    check_text=lambda request: _check(request, text=TEXT),
    check_image=lambda request: _check(request, text=CAPTION, image_url=IMAGE_URL),
    # What bears no error of its own is not its endpoint. Its address is the worker's default as a rule, and no device is
    # parked for that.
    statuses=dict.fromkeys((301, 302, 303, 307, 308, 400, 404, 413), NotAccepted),
    question=Question(
        recovery=(
            (Reply(200, {"idempotency": True, "lookup": True}), Recovery.RESEND),
            (Reply(200, {"idempotency": False, "lookup": True}), Recovery.LOOK_UP),
            (Reply(200, {"idempotency": False, "lookup": False}), Recovery.NONE),
            (Reply(200, {}), Recovery.NONE),
        ),
        found=Reply(200, {"id": "sim-1", "status": "accepted"}),
        unknown=_error(404, "unknown_message"),
    ),
)
