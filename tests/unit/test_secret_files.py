"""Which files a credential is read from."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from messaging.common.errors import InvalidInput
from messaging.gateways.base import DeviceUnfit
from messaging.gateways.gowa import GowaGateway
from messaging.gateways.options import secret
from messaging.gateways.secret_files import UnusableFile, read_secret_file
from runtime.settings import load_settings

ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRUMBEAT_SECRETS_DIRS", raising=False)


def secret_file(path: Path, words: str | bytes = "a-secret\n", mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(words.encode() if isinstance(words, str) else words)
    path.chmod(mode)
    return path


def why_not(path: Path | str) -> str:
    with pytest.raises(UnusableFile) as caught:
        read_secret_file(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert "a-secret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_ones_own_that_nobody_else_can_read(tmp_path: Path, mode: int) -> None:
    assert read_secret_file(str(secret_file(tmp_path / "token", mode=mode))) == "a-secret"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o622])
def test_a_file_that_others_can_use_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "token", mode=mode)
    assert f"chmod 600 {path}, or name its directory in DRUMBEAT_SECRETS_DIRS" in why_not(path)


def test_files_of_the_system_are_no_credentials() -> None:
    assert "can be read by others" in why_not("/etc/passwd")
    for path in ("/proc/self/environ", "/proc/self/cmdline", "/proc/self/maps"):
        with suppress(UnusableFile):
            assert read_secret_file(path) == "", "the environment holds every other device's credentials"


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_a_file_of_another_user(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "token")
    os.chown(path, 12345, 12345)
    assert f"chown 0 {path}" in why_not(path)


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").symlink_to(secret_file(tmp_path / "deep" / "token"))
    assert read_secret_file(str(tmp_path / "own")) == "a-secret"
    (tmp_path / "out").symlink_to("/etc/passwd")
    assert "chmod 600" in why_not(tmp_path / "out")
    monkeypatch.setenv("DRUMBEAT_SECRETS_DIRS", str(tmp_path))
    assert "lies outside" in why_not(tmp_path / "out")
    assert "lies outside" in why_not(f"{tmp_path}{'/..' * len(tmp_path.parts)}/etc/passwd")


def test_named_directories_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "inside-not"
    monkeypatch.setenv("DRUMBEAT_SECRETS_DIRS", f"/nowhere: {inside}")
    secret_file(inside / "..data" / "token", mode=0o444)
    (inside / "token").symlink_to("..data/token")  # as Kubernetes lays them out
    assert read_secret_file(str(inside / "token")) == "a-secret"
    assert f"DRUMBEAT_SECRETS_DIRS (/nowhere:{inside})" in why_not(secret_file(outside / "token"))


def test_where_containers_have_their_secrets_any_mode_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messaging.gateways.secret_files.USUAL", tmp_path)
    assert read_secret_file(str(secret_file(tmp_path / "token", mode=0o444))) == "a-secret"


def test_what_is_no_file_holds_nobody_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, tmp_path, "/dev/zero", "/dev/tty", "/dev/null"):
        assert why_not(path).startswith(("is no regular file", "cannot be read"))
    assert "No such file" in why_not(tmp_path / "nothing")
    assert "null" in why_not("/run/\0")


@pytest.mark.parametrize(
    ("words", "why"),
    [(b"x" * 16_385, "more than 16 KB"), (b"\xff\xfe", "it is not text")],
)
def test_what_is_no_credential(tmp_path: Path, words: bytes, why: str) -> None:
    assert why in why_not(secret_file(tmp_path / "token", words))
    assert len(read_secret_file(str(secret_file(tmp_path / "token", b"x" * 16_384)))) == 16_384


def test_the_device_is_told(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "password", mode=0o644)
    options = GowaGateway.check({"url": "http://127.0.0.1:1", "username": "a", "password_file": str(path)})
    with pytest.raises(
        DeviceUnfit, match=f"^the file {path} with the device's password can be read by others"
    ):
        secret(options, "password")
    path.chmod(0o600)
    assert secret(options, "password") == "a-secret"


def test_the_setting_is_checked_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMBEAT_SECRETS_DIRS", "/run/secrets:secrets")
    with pytest.raises(InvalidInput, match="DRUMBEAT_SECRETS_DIRS: secrets is no absolute path"):
        load_settings()
