"""Settings: which variables are refused, and the page that lists them all."""

import re
from pathlib import Path

import pytest

from messaging.common.errors import InvalidInput
from runtime.settings import load_settings
from runtime.variables import ELSEWHERE, find_misspelled
from tests.record_settings import PAGE, settings_page

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text() == settings_page(), "run: make settings"


def test_every_setting_has_a_meaning() -> None:
    lines = [line for line in settings_page().splitlines() if line.startswith("| `")]
    assert len(lines) > 20
    assert [line for line in lines if re.search(r"\|\s*\|$", line)] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "DRUMBEAT_POOLSIZE",
            "DRUMBEAT_POOLSIZE: there is no such setting; did you mean DRUMBEAT_POOL_SIZE?",
        ),
        ("DRUMBEAT_WEBHOOK_PORT", "did you mean DRUMBEAT_WEBHOOKS_PORT?"),
        ("DRUMBEAT_COLOUR", "DRUMBEAT_COLOUR: there is no such setting: see docs/settings.md"),
        ("TEMPORAL_ADRESS", "TEMPORAL_ADRESS: nothing reads it; did you mean TEMPORAL_ADDRESS?"),
        ("TEMPORAL_NAME_SPACE", "did you mean TEMPORAL_NAMESPACE?"),
        ("DRUMBEAT_STOP_KEYWORD", "did you mean DRUMBEAT_STOP_KEYWORDS?"),
    ],
)
def test_a_misspelled_variable_is_refused_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setenv(name, "9000")
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert str(caught.value).startswith("environment: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("DRUMBEAT_WHATSAPP_TOKEN", "DRUMBEAT_KL_1_SECRET", "DRUMBEAT_DB_PASSWORD_FILE", "DRUMBEAT_DEBUG"),
        *("TEMPORAL_TLS_CERT", "TEMPORAL_GRPC_META_TENANT", "TEMPORAL_CLI_ADDRESS", "MY_DRUMBEAT_SETTING"),
    ],
)
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    load_settings()


def test_all_that_the_compose_file_asks_for_may_stand_in_a_shell() -> None:
    asked = set(re.findall(r"\$\{(DRUMBEAT_\w+)", (ROOT / "docker-compose.yml").read_text()))
    known = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    assert find_misspelled(asked, known) == []
    assert not ELSEWHERE & known
