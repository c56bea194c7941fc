"""The case of Meta's WhatsApp Cloud API."""

from typing import Any

from messaging.gateways.base import DeviceUnfit, MaybeAccepted, NotAccepted, Refused, WrongContent
from tests.gateways.case import CAPTION, IMAGE_URL, OURS, PHONE, TEXT, GatewayCase
from tests.support.wire import Reply, Request

TOKEN = "EAAGm0PX4ZCpsBAKnotatoken|x"
SECRET = "7fb5not-an-app-secret"
VERIFY = "meatyhamhock"
NUMBER_ID = "106540352242922"


def _check(request: Request, **content: Any) -> None:
    assert (request.method, request.path) == ("POST", f"/v23.0/{NUMBER_ID}/messages")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.json() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": PHONE,
        "biz_opaque_callback_data": str(OURS),
        **content,
    }


def _error(code: int, status: int = 400) -> Reply:
    error = {"message": f"(#{code}) Words", "type": "OAuthException", "code": code, "fbtrace_id": "A1b"}
    return Reply(status, {"error": error})


CASE = GatewayCase(
    name="cloud-api",
    options=lambda url: {
        "url": url,
        "phone_number_id": NUMBER_ID,
        "token_env": "CLOUD_TOKEN",
        "app_secret_env": "CLOUD_APP_SECRET",
        "verify_token_env": "CLOUD_VERIFY_TOKEN",
    },
    environment={"CLOUD_TOKEN": TOKEN, "CLOUD_APP_SECRET": SECRET, "CLOUD_VERIFY_TOKEN": VERIFY},
    secrets=(TOKEN, SECRET, VERIFY),
    accepted=Reply(200, {"messaging_product": "whatsapp", "messages": [{"id": "wamid.HBgL1"}]}),
    gateway_message_id="wamid.HBgL1",
    refusals=(
        ("not on WhatsApp", _error(131026), Refused),
        ("outside the 24 hours", _error(131047), Refused),
        ("a token that expired", _error(190, 401), DeviceUnfit),
        ("a policy", _error(368, 403), DeviceUnfit),
        ("no such template", _error(132001, 404), WrongContent),
        ("a parameter of the step", _error(131009), WrongContent),
        ("throughput", _error(130429, 429), NotAccepted),
        ("too fast for one person", _error(131056), NotAccepted),
        ("overloaded", _error(131016, 503), NotAccepted),
        ("it does not say", _error(131000, 500), MaybeAccepted),
        ("a no with a yes", Reply(200, {"error": {"code": 131026, "message": "Undeliverable"}}), Refused),
        ("no ID", Reply(200, {"messages": [{"id": ""}]}), MaybeAccepted),
    ),
    check_text=lambda request: _check(request, type="text", text={"body": TEXT, "preview_url": True}),
    check_image=lambda request: _check(request, type="image", image={"link": IMAGE_URL, "caption": CAPTION}),
    # Without a code of Meta's a proxy may have answered for a server that had the message already.
    statuses={503: MaybeAccepted},
)
