"""The case of Wablas. Answers as in its documentation, and as others have noted them."""

from typing import Any

from messaging.gateways.base import DeviceUnfit, MaybeAccepted, NotAccepted, Refused
from tests.gateways.case import CAPTION, IMAGE_URL, PHONE, TEXT, GatewayCase
from tests.support.wire import Reply, Request

TOKEN = "O6UT8notatokenLZ5mug1gEGcRgKP1.5ecr3tKey"


def _check(request: Request, path: str, **content: str) -> None:
    assert (request.method, request.path) == ("POST", path)
    assert request.headers["authorization"] == TOKEN
    assert request.form() == {"phone": PHONE.removeprefix("+"), **content}


def _yes(**message: Any) -> Reply:
    data = {"device_id": "OMM1F9", "quota": 999, "messages": [message]}
    return Reply(
        200, {"status": True, "message": "Message is pending and waiting to be processed", "data": data}
    )


def _no(message: str, status: int = 200) -> Reply:
    return Reply(status, {"status": False, "message": message})


CASE = GatewayCase(
    name="wablas",
    options=lambda url: {"url": url, "token_env": "WABLAS_TOKEN"},
    environment={"WABLAS_TOKEN": TOKEN},
    secrets=(TOKEN,),
    accepted=_yes(
        id="f5b3cb53-b926-472d-9cb3-594b7f535f7b",
        phone="12015550123",
        message="Hello",
        status="pending",
        ref_id="",
    ),
    gateway_message_id="f5b3cb53-b926-472d-9cb3-594b7f535f7b",
    refusals=(
        ("an invalid token", _no("token invalid", 500), DeviceUnfit),
        ("an invalid token with a 200", _no("Token is invalid."), DeviceUnfit),
        ("no token", _no("token is null"), DeviceUnfit),
        ("disconnected", _no("device disconnected"), DeviceUnfit),
        ("not connected", _no("Your WhatsApp is not connected, please scan the QR code", 400), DeviceUnfit),
        ("no quota", _no("Quota is not enough"), DeviceUnfit),
        ("expired", _no("your package has expired"), DeviceUnfit),
        ("expired, in Indonesian", _no("Kuota habis"), DeviceUnfit),
        ("no reason", Reply(403, {"status": False}), DeviceUnfit),
        ("a wrong number", _no("phone number is not valid"), Refused),
        ("a wrong number with a 500", _no("phone number not registered", 500), Refused),
        ("an image", _no("image must be a valid url", 422), Refused),
        ("a no without words", Reply(200, {"status": False, "message": ["?"]}), Refused),
        ("too fast", _no("Too Many Requests", 200), NotAccepted),
        ("too fast by status", _no("limit", 429), NotAccepted),
        (
            "a yes with a 500",
            Reply(500, {"status": True, "data": {"messages": [{"id": "1"}]}}),
            MaybeAccepted,
        ),
        ("neither", Reply(200, {"status": "pending", "message": "wait"}), MaybeAccepted),
    ),
    check_text=lambda request: _check(request, "/api/send-message", message=TEXT),
    check_image=lambda request: _check(request, "/api/send-image", image=IMAGE_URL, caption=CAPTION),
    # A proxy may have answered for a server that had the message already.
    statuses={503: MaybeAccepted},
)
