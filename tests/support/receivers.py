"""A receiver of events as another system would have one: it verifies signatures, and validates what it gets by the schema."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jsonschema

from messaging.outbox.webhook import new_secret
from tests.support.wire import Request

__all__ = ["SCHEMA", "received", "secret_in"]

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def secret_in(directory: Path) -> Path:
    """A file with a new secret, as an operator makes it."""
    path = directory / "webhook-secret"
    path.write_text(new_secret() + "\n")
    path.chmod(0o600)
    return path


def received(request: Request, secret: str) -> dict[str, Any]:
    """The event of a request, verified as the standard says, with code of its own, and validated."""
    identifier, moment = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert abs(time.time() - int(moment)) < 60
    key = base64.b64decode(secret.strip().removeprefix("whsec_"))
    signed = hmac.new(key, f"{identifier}.{moment}.".encode() + request.body, hashlib.sha256).digest()
    assert f"v1,{base64.b64encode(signed).decode()}" in request.headers["webhook-signature"].split(" ")
    event: dict[str, Any] = request.json()
    VALIDATOR.validate(event)
    assert event["id"] == identifier
    return event
