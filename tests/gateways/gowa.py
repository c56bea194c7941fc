"""The case of GOWA. Answers as in its docs/openapi.yaml and its error package."""

from base64 import b64encode

from messaging.gateways.base import DeviceUnfit, MaybeAccepted, NotAccepted, Refused, WrongContent
from tests.gateways.case import CAPTION, PHONE, PICTURE, TEXT, GatewayCase
from tests.support.wire import Part, Reply, Request

PASSWORD = "corr3ct:horse battery"
BASIC = b64encode(f"drumbeat:{PASSWORD}".encode()).decode()
WEBHOOK_SECRET = "a-webhook-secret-of-gowa"
JID = f"{PHONE.removeprefix('+')}@s.whatsapp.net"


def _check_headers(request: Request, path: str) -> None:
    assert (request.method, request.path) == ("POST", path)
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert request.headers["x-device-id"] == "kl-3@work"


def _check_text(request: Request) -> None:
    _check_headers(request, "/send/message")
    assert request.json() == {"phone": JID, "message": TEXT}


def _check_image(request: Request) -> None:
    _check_headers(request, "/send/image")
    parts = request.parts()
    image = parts.pop("image")
    assert (image.value, image.media_type) == (PICTURE.content, "image/png")
    assert image.file_name is not None
    assert image.file_name.endswith(".png")
    values = {name: part.value.decode() for name, part in parts.items()}
    assert values == {"phone": JID, "caption": CAPTION, "compress": "false"}
    assert all(isinstance(part, Part) and part.file_name is None for part in parts.values())


def answer(status: int, code: str, message: str, results: object = None) -> Reply:
    """GOWA's shape of an answer."""
    return Reply(status, {"status": status, "code": code, "message": message, "results": results})


CASE = GatewayCase(
    name="gowa",
    options=lambda url: {
        "url": url,
        "device": "kl-3@work",
        "username": "drumbeat",
        "password_env": "GOWA_PASSWORD",
        "webhook_secret_env": "GOWA_WEBHOOK_SECRET",
    },
    environment={"GOWA_PASSWORD": PASSWORD, "GOWA_WEBHOOK_SECRET": WEBHOOK_SECRET},
    secrets=(PASSWORD, BASIC, WEBHOOK_SECRET),
    accepted=answer(
        200,
        "SUCCESS",
        f"Message sent to {JID} (server timestamp: 2026-11-25 01:00:00 +0000 UTC)",
        {"message_id": "3EB0B430B6F8F1D0E053", "status": "sent"},
    ),
    gateway_message_id="3EB0B430B6F8F1D0E053",
    refusals=(
        ("logged out", answer(401, "AUTHENTICATION_ERROR", "you are not logged in"), DeviceUnfit),
        (
            "logged out, a later version",
            answer(503, "SERVICE_UNAVAILABLE", "you are not logged in"),
            DeviceUnfit,
        ),
        (
            "not connected",
            answer(401, "AUTHENTICATION_ERROR", "you are not connect to services server, please reconnect"),
            DeviceUnfit,
        ),
        ("logged out, as described", answer(500, "INTERNAL_SERVER_ERROR", "you are not loggin"), DeviceUnfit),
        (
            "its session was deleted",
            answer(401, "AUTHENTICATION_ERROR", "device is logged out (session deleted); re-pair it"),
            DeviceUnfit,
        ),
        ("no session", answer(404, "NOT_FOUND", "session not found"), DeviceUnfit),
        (
            "no client",
            answer(500, "INVALID_WA_CLI", "your WhatsApp CLI is invalid or empty"),
            DeviceUnfit,
        ),
        (
            "a client too early",
            answer(500, "INTERNAL_SERVER_ERROR", "Whatsapp client is not initialized"),
            DeviceUnfit,
        ),
        (
            "no such device",
            answer(404, "DEVICE_NOT_FOUND", "device not found; create a device first", {"device_id": "kl-3"}),
            DeviceUnfit,
        ),
        (
            "which device",
            answer(400, "DEVICE_ID_REQUIRED", "device_id is required via X-Device-Id header"),
            DeviceUnfit,
        ),
        (
            "no new chats",
            answer(429, "WA_REACHOUT_TIMELOCK", "WhatsApp rejected this send with error 463"),
            DeviceUnfit,
        ),
        ("not on WhatsApp", answer(400, "INVALID_JID", f"Phone {JID} is not on whatsapp"), Refused),
        ("not registered", answer(400, "INVALID_JID", "user is not registered"), Refused),
        ("an invalid number", answer(500, "INTERNAL_SERVER_ERROR", "invalid JID a@b@c: unexpected"), Refused),
        ("a field of the number", answer(400, "VALIDATION_ERROR", "phone: cannot be blank."), Refused),
        ("a field of the step", answer(400, "VALIDATION_ERROR", "message: cannot be blank."), WrongContent),
        ("a field, as described", answer(400, "400", "field cannot be blank"), Refused),
        (
            "an image that it cannot read",
            answer(500, "INTERNAL_SERVER_ERROR", "failed to open image image: unknown format"),
            WrongContent,
        ),
        ("no upload", answer(500, "UPLOAD_MEDIA_ERROR", "Failed to upload file: EOF"), NotAccepted),
        (
            "not started",
            answer(503, "DEVICE_MANAGER_UNAVAILABLE", "Device manager is not initialized"),
            NotAccepted,
        ),
        ("no words", answer(500, "INTERNAL_SERVER_ERROR", "server returned error 479"), MaybeAccepted),
        (
            "a connection that broke while it sent",
            answer(500, "INTERNAL_SERVER_ERROR", "websocket not connected"),
            MaybeAccepted,
        ),
        ("no answer of WhatsApp", answer(504, "GATEWAY_TIMEOUT", "Request timed out"), MaybeAccepted),
        ("it gave up", answer(408, "CONTEXT_ERROR", "context deadline exceeded"), MaybeAccepted),
        ("no ID", answer(200, "SUCCESS", "Success", {"message_id": "", "status": "sent"}), MaybeAccepted),
        ("no results", answer(200, "SUCCESS", "Success"), MaybeAccepted),
        ("an ID in an error", answer(500, "SUCCESS", "?", {"message_id": "3EB0"}), MaybeAccepted),
        ("a no with a yes", answer(200, "INVALID_JID", "Phone is not on whatsapp"), Refused),
    ),
    check_text=_check_text,
    check_image=_check_image,
)
