"""The log of a real worker, at its most talkative, through sends, errors and webhooks: whom it names, and whom it does not."""

import hashlib
import hmac
import json
from typing import Any

import aiohttp

from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest
from operations import enrollment
from rig.people import phone
from rig.waiting import until
from temporal.contacts import start_contact
from tests.support.live import Live
from tests.support.ports import free_port

NAME = "Zubaidah"
TEXT = "Half price for you today"
WROTE = "Where is my parcel"
SEQUENCE = f"""
sequence: story
steps:
  - {{id: a, day: 1, text: "{TEXT}, {{{{ name }}}}"}}
"""
SECRET = "app-secret"
# Rows that PostgreSQL refuses, and says so with the whole row.
REFUSED = f"""
alter table broadcast_messages add constraint no_text check (status <> 'sent' or content not like '%{NAME}%') not valid;
alter table inbound_messages add constraint nobody check (text not like '%parcel%') not valid;
"""


def signed(body: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content = json.dumps(body).encode()
    return content, {
        "X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()}"
    }


def meta(**value: Any) -> dict[str, Any]:
    told = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, **value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"changes": [{"field": "messages", "value": told}]}],
    }


async def test_no_phone_no_name_and_no_text_is_in_the_log(live: Live) -> None:
    scenario, port, shown = live.scenario, free_port(), free_port()
    await scenario.add_device()
    await scenario.apply(SEQUENCE)
    options = {
        "phone_number_id": "1",
        "token_env": "CLOUD_TOKEN",
        "app_secret_env": "CLOUD_SECRET",
        "verify_token_env": "CLOUD_SECRET",
    }
    async with scenario.pool.acquire() as connection:
        await add_device(connection, DeviceSettings(id="meta", gateway="cloud-api", options=options))
        await connection.execute(REFUSED)
    await live.start_worker(
        DRUMBEAT_LOG_FORMAT="json",
        DRUMBEAT_LOG_LEVEL="debug",
        DRUMBEAT_WEBHOOKS_PORT=str(port),
        DRUMBEAT_METRICS_PORT=str(shown),
        CLOUD_SECRET=SECRET,
    )

    async def enroll(index: int) -> None:
        await enrollment.enroll(
            live.connection, "story", phone(index), name=NAME, device=scenario.device, patience=30
        )

    # A message whose outcome cannot be written in full, and one to a sequence that does not exist.
    await enroll(1)
    lead = Lead(phone=phone(2), name=NAME, device_id=scenario.device)
    request = EnrollmentRequest(sequence="missing", lead=lead)
    await start_contact(live.connection.temporal, request, task_queue=live.connection.settings.task_queue)
    await live.all_over(1)
    # A gateway that repeats what it got: five refusals alike park the device.
    refusal = f"{phone(3)} {NAME} cannot have: {TEXT}, {NAME}"
    await scenario.faults({"kind": "refuse", "code": "odd", "reason": refusal})
    for index in range(3, 8):
        await enroll(index)
    await until(lambda: "is parked" in live.log.read_text())

    message = {"from": phone(1)[1:], "id": f"wamid.{phone(1)[1:]}", "timestamp": "1772452860", "type": "text"}
    bodies: list[tuple[dict[str, Any], int]] = [
        (meta(messages=[{**message, "text": {"body": WROTE}}], contacts=[{"profile": {"name": NAME}}]), 200),
        (meta(messages=[{**message, "id": 5, "text": {"body": WROTE}}]), 200),
        (meta(statuses=[{"status": "delivered", "recipient_id": phone(1)[1:], "timestamp": "never"}]), 200),
    ]
    async with aiohttp.ClientSession() as http:
        for body, expected in bodies:
            content, headers = signed(body)
            async with http.post(
                f"http://127.0.0.1:{port}/webhooks/meta", data=content, headers=headers
            ) as answer:
                assert answer.status == expected
            async with http.post(f"http://127.0.0.1:{port}/webhooks/meta", data=content) as answer:
                assert answer.status == 401
        async with http.get(f"http://127.0.0.1:{shown}/metrics") as answer:
            metrics = await answer.text()
    assert 'drumbeat_webhook_requests_total{answer="401",gateway="cloud-api"} 3.0' in metrics
    assert (
        f'drumbeat_messages_total{{device="{scenario.device}",kind="sequence",outcome="sent"}} 1.0' in metrics
    )
    await until(lambda: "Completing activity as failed" in live.log.read_text())

    log = live.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    said = "\n".join(f"{line['message']} {line.get('error')}" for line in lines)
    for words in (
        "could not be written in full",
        "Completing activity as failed",
        "is parked",
        "is passed over",
        "was not believed",
    ):
        assert words in said
    assert {line["level"] for line in lines} >= {"info", "warning", "error"}
    assert {line["workflow_id"] for line in lines if "workflow_id" in line} >= {
        f"sequence:story:+***{phone(1)[-4:]}",
        f"sequence:missing:+***{phone(2)[-4:]}",
    }
    (row,) = await scenario.pool.fetch(
        "select id from broadcast_messages where recipient_phone = $1", phone(1)
    )
    assert any(line.get("message_id") == str(row["id"]) and "traceback" in line for line in lines)
    for text in (log, metrics):
        for secret in (NAME, "Half price", "parcel", *(phone(index)[1:] for index in range(1, 8))):
            assert secret not in text, secret
