"""Who uses a process, by the names that the system has."""

import os
import pwd

import pytest

from messaging.common.errors import InvalidInput
from messaging.events.acting import Actor
from runtime.settings import load_settings
from runtime.who import operator, service


def test_the_command_line_is_used_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("USER", "somebody-else")  # anybody can set it
    assert operator() == Actor(pwd.getpwuid(os.getuid()).pw_name, "command line")
    monkeypatch.setenv("SUDO_USER", "anna")
    assert operator() == Actor("anna", "command line")
    assert operator("Ben") == Actor("Ben", "command line")
    for odd, name in (("drumbeat", "user drumbeat"), ("a\x1bb", "user ab"), ("x" * 90, "user " + "x" * 75)):
        monkeypatch.setenv("SUDO_USER", odd)
        assert operator() == Actor(name, "command line")
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    monkeypatch.delenv("SUDO_USER")
    assert operator().name == "uid 987654"


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("programs/shop.py", "shop"),
        ("programs/shop/__main__.py", "shop"),
        ("/usr/bin/uvicorn", "uvicorn"),
        ("-c", "a service"),
        ("", "a service"),
        ("programs/drumbeat.py", "service drumbeat"),
    ],
)
def test_a_service_is_its_program(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program])
    assert service() == Actor(name, "service")
    assert service("shop-2") == Actor("shop-2", "service")


def test_the_environment_may_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMBEAT_AS", "  Anna  Lim ")
    assert load_settings().act_as == "Anna Lim"
    monkeypatch.setenv("DRUMBEAT_AS", "drumbeat")
    with pytest.raises(InvalidInput, match=r"DRUMBEAT_AS: 'drumbeat' cannot be anybody's name"):
        load_settings()
