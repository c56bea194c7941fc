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


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DATABASE_URL", "mysql://db/x", "it must begin with postgresql://"),
        ("DATABASE_URL", "postgresql://me:a/b@localhost/x", "it is not a URL; in a password, write"),
        ("DATABASE_URL", "postgresql://localhost:99999/x", "its port must be from 1 to 65535"),
        ("DATABASE_URL", "postgresql://localhost/x?sslmode", "behind the ? it must have NAME=VALUE"),
        ("DATABASE_URL", "postgresql://localhost/x?port=y", "port must be from 1 to 65535, not 'y'"),
        ("DRUMBEAT_HOME", " ", "it must be a directory"),
        ("DRUMBEAT_TASK_QUEUE", " ", "it must not be empty"),
        ("DRUMBEAT_TASK_QUEUE", "two words", "it must be one word, without blanks"),
        ("DRUMBEAT_ROLES", "sender", "there is no role 'sender'"),
        ("DRUMBEAT_SIMULATOR_URL", "localhost:8055", "it must begin with http:// or https://"),
        ("DRUMBEAT_SIMULATOR_URL", "http://", "it must be http://HOST:PORT"),
        ("DRUMBEAT_SIMULATOR_URL", "http://localhost:x", "it must be http://HOST:PORT"),
        ("DRUMBEAT_POOL_SIZE", "0", "it must be 1 or more, not '0'"),
        ("DRUMBEAT_POOL_SIZE", "100000", "it must be 1000 or less, not '100000'"),
        ("DRUMBEAT_POOL_SIZE", "many", "it must be a whole number, not 'many'"),
        ("DRUMBEAT_POOL_SIZE", "2.5", "it must be a whole number, not '2.5'"),
        ("DRUMBEAT_PATIENCE", "-1", "it must be 1 or more, not '-1'"),
        ("DRUMBEAT_WEBHOOKS_PORT", "70000", "it must be 65535 or less, not '70000'"),
        ("DRUMBEAT_METRICS_PORT", "x", "it must be a whole number, not 'x'"),
        ("DRUMBEAT_METRICS_PORT", "8060", "it must be another port than DRUMBEAT_WEBHOOKS_PORT"),
        ("DRUMBEAT_LOG_FORMAT", "xml", "'text' or 'json', not 'xml'"),
        ("DRUMBEAT_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error', not 'loud'"),
        ("DRUMBEAT_STOP_KEYWORDS", ",,", "it has no word"),
        ("DRUMBEAT_STOP_KEYWORDS", "!!", "cannot be a keyword: give it letters or digits"),
        ("DRUMBEAT_START_KEYWORDS", "go, Stop", "the keyword 'stop' cannot both stop and begin again"),
        ("DRUMBEAT_OPT_OUT_CONFIRMATION", "{{", "the template does not work"),
        ("DRUMBEAT_IMAGE_NETWORKS", "10.0.0.1/99", "write networks like 10.20.0.0/16"),
        ("DRUMBEAT_SECRETS_DIRS", "secrets", "secrets is no absolute path"),
        ("DRUMBEAT_SECRETS_DIRS", "/nowhere/at/all", "there is no directory /nowhere/at/all"),
        ("DRUMBEAT_SECRETS_DIRS", __file__, f"there is no directory {__file__}"),
        ("DRUMBEAT_PRIVATE_KEYS", "/nowhere", "the private keys of /nowhere: cannot be read: No such file"),
        ("DRUMBEAT_PRIVATE_KEYS", str(ROOT), "cannot be read: Is a directory"),
        ("DRUMBEAT_AS", "x" * 500, "DRUMBEAT_AS: "),
        ("DRUMBEAT_ALERT_GATHER", "soon", "is not a duration"),
        ("DRUMBEAT_ALERT_GATHER", "2d", "it must be from 1s to 1d"),
        ("DRUMBEAT_KEEP_TEXTS", "long", "is not a duration"),
        ("DRUMBEAT_KEEP_INBOUND", "1h", "it must be from 1d to 36500d"),
        ("DRUMBEAT_KEEP_EVENTS", "-5d", "is not a duration"),
        ("DRUMBEAT_DEPLOYMENT_NAME", "a.b", "it must be 1 to 63 letters"),
        ("DRUMBEAT_BUILD_ID", "a b", "it must be 1 to 63 letters"),
        ("DRUMBEAT_TEMPORAL_PORT", "0", "it must be 1 or more"),
        ("DRUMBEAT_UI_PORT", "http", "it must be a whole number"),
        ("DRUMBEAT_POSTGRES_PORT", "1e5", "it must be a whole number"),
        ("DRUMBEAT_SIMULATOR_PORT", "65536", "it must be 65535 or less"),
        ("TEMPORAL_ADDRESS", "temporal", "it must be HOST:PORT, such as 127.0.0.1:7233, not 'temporal'"),
        ("TEMPORAL_ADDRESS", "http://temporal:7233", "it must be HOST:PORT"),
        ("TEMPORAL_ADDRESS", "temporal:port", "it must be HOST:PORT"),
        ("TEMPORAL_NAMESPACE", "my space", "it must be one word"),
        ("TEMPORAL_TLS", "on", "it must be true or false, not 'on'"),
        ("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "true", "always checks the server's name"),
        ("TEMPORAL_CONFIG_FILE", "/nowhere.toml", "/nowhere.toml cannot be read: no such file or directory"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", str(ROOT), f"{ROOT} cannot be read: is a directory"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "/nowhere", "/nowhere cannot be read"),
        ("PGPORT", "x", "DATABASE_URL: PGPORT must be from 1 to 65535, not 'x'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv("DRUMBEAT_WEBHOOKS_PORT", "8060")
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    line = str(caught.value)
    assert line.startswith("environment: ")
    assert told in line
    assert "\n" not in line
    assert variable in line


def test_every_setting_is_set_wrong_on_purpose() -> None:
    (mark,) = test_a_wrong_value_is_refused_in_one_line_that_names_the_variable.pytestmark  # type: ignore[attr-defined]
    tried = {variable for variable, _, _ in mark.args[1]}
    known = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    # These two take any text: whether it is an address of this machine shows when the port is opened.
    assert known - tried == {"DRUMBEAT_WEBHOOKS_HOST", "DRUMBEAT_METRICS_HOST"}


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_settings()
    for variable in re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE):
        monkeypatch.setenv(variable, "")
    assert load_settings() == plain
