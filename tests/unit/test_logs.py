"""What the worker's log keeps to itself, and what it says."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from messaging.common.errors import InvalidInput
from messaging.common.log_context import MESSAGE
from messaging.common.say_once import SayOnce
from runtime.logs.discretion import error_words, mask, traceback_words
from runtime.logs.outages import LeaveOutNoise, Outages, place_of
from runtime.logs.setup import set_up_logs
from runtime.settings import Settings, load_settings

PHONE = "+60123456789"
NAME = "Aisha"
TEXT = "Hi Aisha, it's half price today"


class Person(BaseModel):
    age: int


def errors() -> Iterator[Exception]:
    """Errors of libraries, as they come, with what concerns a person in them."""
    row = asyncpg.UniqueViolationError.new(
        {
            "C": "23505",
            "M": 'duplicate key value violates unique constraint "leads_phone_unique"',
            "D": f"Key (phone)=({PHONE}) already exists.",
            "n": "leads_phone_unique",
            "t": "leads",
        }
    )
    yield row
    yield asyncpg.CheckViolationError.new(
        {
            "C": "23514",
            "M": 'new row for relation "leads" violates check constraint "leads_phone_e164"',
            "D": f"Failing row contains (1, {PHONE}, {NAME}, {{VITAC}}, {TEXT}).",
        }
    )
    yield asyncpg.InvalidTextRepresentationError.new(
        {"C": "22P02", "M": f'invalid input syntax for type integer: "{TEXT}"'}
    )
    yield asyncpg.DataError(f"invalid input for query argument $2: {TEXT!r} (an integer is required)")
    try:
        Person.model_validate({"age": f"{NAME} {PHONE}"})
    except ValidationError as invalid:
        yield invalid
    yield KeyError(NAME)
    yield ValueError(f"invalid literal for int() with base 10: {TEXT!r}")
    yield OSError(f"cannot reach http://gateway/send?to={PHONE.removeprefix('+')}")
    yield InvalidInput(f"{PHONE} is no phone")


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("error", list(errors()), ids=lambda error: type(error).__name__)
def test_errors_are_said_without_what_concerns_people(error: Exception) -> None:
    def send() -> None:
        try:
            _raise(error)
        except Exception as found:
            raise RuntimeError("the send failed") from found

    with pytest.raises(RuntimeError) as outer:
        send()
    words = traceback_words(outer.value)
    for secret in (PHONE, PHONE[1:], NAME, "half price"):
        assert secret not in words
    assert type(error).__name__ in words
    assert "test_logs.py" in words
    assert words.endswith("RuntimeError: the send failed")


def test_what_helps_is_still_said() -> None:
    found = dict(zip(("unique", "check", "syntax", "argument", "invalid"), errors(), strict=False))
    assert error_words(found["unique"]) == (
        "duplicate key value violates unique constraint '***' (23505, leads_phone_unique, leads)"
    )
    assert (
        error_words(found["argument"])
        == "invalid input for query argument $2: '***' (an integer is required) (22000)"
    )
    assert error_words(found["invalid"]) == "Person: age: int_parsing"
    assert error_words(TimeoutError()) == "TimeoutError"
    assert error_words(InvalidInput(f"device 'kl-1' has no number, not {PHONE}")) == (
        "device 'kl-1' has no number, not +***6789"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"message {UUID(int=2**100 + 60123456789)} is sent",
        "2026-11-30 22:45:49,337 and 2026-11-30T22:45:49.123456+00:00, until 2026-12-01",
        "port 55432 of 127.0.0.1:55432, 1,234,567 bytes, step 3 of 12",
        "host:4711/0123456789abcdef0123456789abcdef",
    ],
)
def test_what_is_no_phone_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sequence:story:+60123456789", "sequence:story:+***6789"),
        ("60123456789@s.whatsapp.net", "***6789@s.whatsapp.net"),
        ("to +1 (201) 555-0123, then", "to +***0123, then"),
        ("wa_id:12015550123", "wa_id:***0123"),
        ("/webhooks/%2B12015550123", "/webhooks/%2B***0123"),
        ("wamid.HBgLNjAxMjM0NTY3ODkVAgARGBI5", "wamid.***GBI5"),
    ],
)
def test_phones_are_masked_however_they_are_written(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True), st.text(max_size=20), st.text(max_size=20))
def test_no_phone_is_left_wherever_it_stands(phone: str, before: str, after: str) -> None:
    assert phone not in mask(f"{before} {phone} {after}")


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Answers what was logged; the log is as before afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    said: list[str] = []

    def so_far() -> str:
        said.append(capsys.readouterr().err)
        return "".join(said)

    yield so_far
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.getLogger("temporalio").setLevel(logging.NOTSET)


async def test_a_line_of_json_says_when_who_and_about_which_message(log: Callable[[], str]) -> None:
    set_up_logs(Settings(log_format="json"))
    message = uuid4()

    async def sends() -> None:
        MESSAGE.set(message)
        try:
            _raise(next(errors()))
        except asyncpg.PostgresError as error:
            said = ("one", PHONE, error)
            logging.getLogger("messaging.sending").exception("%s for %s failed: %s", *said)

    await asyncio.create_task(sends())
    logging.getLogger("drumbeat").info("working on task queue %s", "drumbeat")
    logging.getLogger("temporalio.worker").debug("Received workflow activation: %s", TEXT)
    logging.getLogger("asyncio").error("Task exception was never retrieved: exception=ValueError(%r)", TEXT)
    first, second, third = (json.loads(line) for line in log().splitlines())
    assert first["level"] == "error"
    assert first["logger"] == "messaging.sending"
    assert first["message_id"] == str(message)
    assert first["message"].startswith("one for +***6789 failed: duplicate key value violates")
    assert first["error"].startswith("UniqueViolationError: duplicate key")
    assert first["traceback"].startswith("Traceback (most recent call last):\n")
    assert second == {
        "time": second["time"],
        "level": "info",
        "logger": "drumbeat",
        "message": "working on task queue drumbeat",
    }
    assert third["message"] == "Task exception was never retrieved: exception=ValueError('***')"
    assert third["time"].endswith("+00:00")
    for secret in (PHONE, NAME, "half price"):
        assert secret not in log()


def test_a_line_of_text_names_workflow_and_message(log: Callable[[], str]) -> None:
    set_up_logs(Settings(log_level="warning"))
    logging.getLogger("drumbeat").info("not said")
    details = {
        "workflow_id": f"campaign:sale-20261127:{PHONE}",
        "activity_type": "send_message",
        "attempt": 2,
    }
    logging.getLogger("temporalio.activity").warning("It failed", extra={"temporal_activity": details})
    (line,) = log().splitlines()
    assert line.endswith(
        "WARNING temporalio.activity: It failed"
        " [workflow_id=campaign:sale-20261127:+***6789 activity=send_message attempt=2]"
    )


def test_lines_that_are_left_out_keep_their_errors_apart(log: Callable[[], str]) -> None:
    set_up_logs(Settings())
    logger = logging.getLogger("messaging.of_this_test")
    once = SayOnce(every=0.0)
    logger.addFilter(once)
    for error in (next(errors()), next(errors())):
        logger.warning("passed over: %s", error)
    once._said["passed over: %s"].left_out = 3
    logger.warning("passed over: %s", next(errors()))
    assert log().splitlines()[-1].endswith("leads) (and 3 more like it before)")
    assert PHONE not in log()


def test_settings_that_cannot_be_used_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMBEAT_LOG_FORMAT", "JSON")
    monkeypatch.setenv("DRUMBEAT_LOG_LEVEL", "loud")
    with pytest.raises(
        InvalidInput, match=r"DRUMBEAT_LOG_LEVEL: 'debug', 'info', 'warning' or 'error', not 'loud'"
    ):
        load_settings()
    monkeypatch.setenv("DRUMBEAT_LOG_LEVEL", "Debug")
    assert (load_settings().log_format, load_settings().log_level) == ("json", "debug")


def test_what_repeats_an_outage_is_left_out() -> None:
    outages = Outages()
    noise = LeaveOutNoise(outages)

    def passes(name: str, level: int, text: str, error: Exception | None = None, **extra: object) -> bool:
        info = (type(error), error, None) if error is not None else None
        record = logging.LogRecord(name, level, "x.py", 1, text, None, info)
        record.__dict__.update(extra)
        return noise.filter(record)

    core: dict[str, Any] = {"temporal_log": object()}
    lost = ConnectionRefusedError("refused")
    assert [passes("temporalio", logging.WARNING, "operation was canceled", **core) for _ in range(3)] == [
        True,
        False,
        False,
    ]
    assert passes("temporalio.activity", logging.WARNING, "Completing activity as failed", lost)
    outages.note("Temporal at 127.0.0.1:7233", lost)
    assert not passes("temporalio", logging.WARNING, "gRPC call poll retried", **core)
    assert not passes("temporalio.activity", logging.WARNING, "Completing activity as failed", lost)
    # What has another reason is no noise.
    assert passes("temporalio.activity", logging.WARNING, "Completing activity as failed", ValueError("x"))
    assert passes("temporalio", logging.ERROR, "a panic", **core)
    assert passes("webhooks.endpoint", logging.WARNING, "words", lost)
    outages.note("Temporal at 127.0.0.1:7233", None)
    assert passes("temporalio", logging.WARNING, "gRPC call poll retried", **core)


def test_each_server_is_said_to_be_away_once_and_back_once(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    caplog.set_level(logging.INFO)
    for error in (None, OSError("refused"), OSError("refused"), None, None):
        outages.note("PostgreSQL at db:5432/drumbeat", error)
    assert [record.getMessage() for record in caplog.records] == [
        "PostgreSQL at db:5432/drumbeat does not answer; retrying: refused",
        "PostgreSQL at db:5432/drumbeat answers again",
    ]
    assert place_of("postgresql://user:secret@db:5432/drumbeat?sslmode=require") == "db:5432/drumbeat"
