"""The case of Whacenter. Answers as in its Postman collection, and as others have noted them."""

from typing import Any

from messaging.gateways.base import DeviceUnfit, MaybeAccepted, NotAccepted, Refused
from tests.gateways.case import CAPTION, IMAGE_URL, PHONE, TEXT, GatewayCase
from tests.support.wire import Reply, Request

DEVICE_ID = "83f3428dnotadeviceid2d78e289bae57c"


def _check(request: Request, **content: str) -> None:
    assert (request.method, request.path) == ("POST", "/api/send")
    parts = request.parts()
    assert {name: part.value.decode() for name, part in parts.items()} == {
        "device_id": DEVICE_ID,
        "number": PHONE.removeprefix("+"),
        **content,
    }
    assert all(part.file_name is None for part in parts.values())


def _no(message: str, status: int = 200, **others: Any) -> Reply:
    return Reply(status, {"status": False, "message": message, "data": [], **others})


CASE = GatewayCase(
    name="whacenter",
    options=lambda url: {"url": url, "device_id_env": "WHACENTER_DEVICE_ID"},
    environment={"WHACENTER_DEVICE_ID": DEVICE_ID},
    secrets=(DEVICE_ID,),
    accepted=Reply(200, {"status": True, "message": "message sent", "data": {"id": 110864596}}),
    gateway_message_id="110864596",
    refusals=(
        ("not connected", _no("device not connected or not found"), DeviceUnfit),
        ("not connected with a 404", _no("device not connected or not found", 404), DeviceUnfit),
        ("words of another name", Reply(200, {"status": False, "msg": "Device expired"}), DeviceUnfit),
        ("no quota", _no("quota exceeded", 500), DeviceUnfit),
        ("a wrong number", _no("number is not registered on whatsapp"), Refused),
        ("a wrong number with a 400", Reply(400, {"status": False, "msg": "invalid number"}), Refused),
        ("a no without words", Reply(200, {"status": False}), Refused),
        ("too fast", _no("Too many messages, try again later"), NotAccepted),
        ("a yes with a 502", Reply(502, {"status": True, "data": {"id": 1}}), MaybeAccepted),
        ("neither", Reply(200, {"message": "queued"}), MaybeAccepted),
    ),
    check_text=lambda request: _check(request, message=TEXT),
    check_image=lambda request: _check(request, message=CAPTION, file=IMAGE_URL),
    # A proxy may have answered for a server that had the message already.
    statuses={503: MaybeAccepted},
)
