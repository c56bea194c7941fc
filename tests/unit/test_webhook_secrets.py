"""Secrets of webhooks that strangers know: refused when a device is added, and not believed by the worker."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from messaging.common.errors import InvalidInput
from messaging.gateways import validate_options
from messaging.gateways.base import Unauthentic
from messaging.gateways.gowa import GowaGateway
from messaging.gateways.well_known_secrets import is_well_known

REQUIRED: dict[str, dict[str, str]] = {
    "gowa": {"url": "http://127.0.0.1:3000"},
    "simulated": {},
    "cloud-api": {"phone_number_id": "1", "token_env": "A_TOKEN"},
}
PROOFS = (
    ("gowa", "webhook_secret"),
    ("simulated", "webhook_secret"),
    ("cloud-api", "app_secret"),
    ("cloud-api", "verify_token"),
)


def check(gateway: str, **options: str) -> tuple[str, ...]:
    """The options of a command, all of them given in it."""
    return validate_options(gateway, {**REQUIRED[gateway], **options}, credentials=options.keys())


@pytest.mark.parametrize(("gateway", "name"), PROOFS)
@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        "secret",
        "Secret\n",
        "changeme",
        "CHANGE-ME!",
        "your-super-secret-key",
        "<your secret>",
        "aaaaaaaa",
        "12345678",
        "meatyhamhock",
    ],
)
def test_a_secret_that_is_none_is_refused(
    gateway: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", value)
    why = "is empty" if not value.strip() else "holds a word that everybody knows"
    with pytest.raises(
        InvalidInput, match=f"^gateway option {name}_env: the variable A_SECRET {why}, .*(make one|copy it)"
    ):
        check(gateway, **{f"{name}_env": "A_SECRET"})


def test_a_file_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("secret\n")
    file.chmod(0o600)
    with pytest.raises(InvalidInput, match=f"webhook_secret_file: the file {file} holds a word"):
        check("gowa", webhook_secret_file=str(file))
    file.write_text("5d41402abc4b2a76b9719d911017c592")
    assert check("gowa", webhook_secret_file=str(file)) == ()
    file.chmod(0o644)
    assert "chmod 600" in check("gowa", webhook_secret_file=str(file))[0], (
        "the worker may run as another user"
    )


@pytest.mark.parametrize(
    "value",
    [
        "app-secret",
        "a-secret-of-the-tests",
        "5d41402abc4b2a76b9719d911017c592",
        "Kuching#2026",
        "s3cr3t-of-kl-1",
    ],
)
def test_other_secrets_are_taken(value: str) -> None:
    assert not is_well_known(value)


def test_what_is_not_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    monkeypatch.setenv("EMPTY", " ")
    assert check("gowa", webhook_secret_env="NOPE") == (
        "webhook_secret_env: there is no variable NOPE here; the worker's environment needs it",
    )
    assert validate_options(
        "cloud-api", {"phone_number_id": "1", "token_env": "NOPE"}, credentials=("token_env",)
    ) == ("token_env: there is no variable NOPE here; the worker's environment needs it",)
    assert (
        "the variable EMPTY is empty here"
        in validate_options(
            "wablas", {"url": "http://127.0.0.1:1", "token_env": "EMPTY"}, credentials=("token_env",)
        )[0]
    )
    assert validate_options("cloud-api", {"phone_number_id": "1", "token_env": "NOPE"}) == (), (
        "it was not named just now"
    )


async def test_the_worker_believes_no_signature_made_with_a_known_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b'{"event":"message","payload":{}}'
    options: dict[str, Any] = {"url": "http://127.0.0.1:1", "webhook_secret_env": "GOWA_WEBHOOK_SECRET"}
    gateway = GowaGateway(options)

    def signed(key: str) -> dict[str, str]:
        monkeypatch.setenv("GOWA_WEBHOOK_SECRET", key)
        return {"x-hub-signature-256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}

    with pytest.raises(Unauthentic, match="everybody knows the device's webhook_secret: make one"):
        gateway.read_webhook(signed("secret"), body)
    assert gateway.read_webhook(signed("a-secret-of-one's-own"), body).inbound == ()
    await gateway.close()
