"""Consent as files and operators write it."""

from datetime import UTC, datetime

import pytest

from messaging.common.errors import InvalidInput
from messaging.leads.consent import Consent, consent_of, read_consent, stated


@pytest.mark.parametrize(
    "text",
    ["yes", " YES ", "Y", "true", "WAHR", "1", "x", "✓", "✅", "Opted-in", "ya", "sí", "Oui", "ja", "да", "同意", "はい", "예"],
)  # fmt: skip
def test_yes(text: str) -> None:
    assert read_consent(text) == (True, None)


@pytest.mark.parametrize(
    "text", ["no", "N", "false", "FALSCH", "0", "❌", "Opted out", "not yet", "tidak", "não", "hayir", "нет", "否", "아니요"]
)  # fmt: skip
def test_no(text: str) -> None:
    assert read_consent(text) == (False, None)


@pytest.mark.parametrize("text", ["", " ", "-", "?", "n/a", "N.A.", "null", "unknown", "pending"])
def test_nothing(text: str) -> None:
    assert read_consent(text) is None


@pytest.mark.parametrize("text", ["signed form 12", "yes, at the fair", "Website", "northern fair"])
def test_how(text: str) -> None:
    assert read_consent(f" {text} ") == (True, text)


@pytest.mark.parametrize(
    "text", ["no. 12", "not by telephone", "without form", "Nein, danke", "withdrawn 3 May"]
)
def test_what_begins_like_a_no_is_not_taken_for_a_yes(text: str) -> None:
    with pytest.raises(InvalidInput, match="may be a no: write 'no', 'yes', or how it was given"):
        read_consent(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-31", datetime(2025, 1, 31, tzinfo=UTC)),
        ("2025-01-31 10:05", datetime(2025, 1, 31, 10, 5, tzinfo=UTC)),
        ("2025/1/31 10:05:06", datetime(2025, 1, 31, 10, 5, 6, tzinfo=UTC)),
        ("2025-01-31T10:05:00Z", datetime(2025, 1, 31, 10, 5, tzinfo=UTC)),
        ("2025-01-31 10:05:00 +0800", datetime(2025, 1, 31, 2, 5, tzinfo=UTC)),
        ("2025-01-31 10:05:00 UTC", datetime(2025, 1, 31, 10, 5, tzinfo=UTC)),
        ("31.1.2025", datetime(2025, 1, 31, tzinfo=UTC)),
        ("31.01.2025, 10:05", datetime(2025, 1, 31, 10, 5, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert consent_of("", text) == Consent(at=moment, source="import")


@pytest.mark.parametrize(
    "text", ["01/02/2025", "yesterday", "2025-13-01", "45000", "2999-01-01", "0001-01-01", "1.2.03"]
)
def test_no_moments(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not a date: write it as 2026-01-31|no moment at which"):
        consent_of("yes", text)


def test_a_no_with_its_date() -> None:
    taken_back = Consent(given=False, at=datetime(2025, 1, 31, tzinfo=UTC), source="inbound")
    assert consent_of("no", "2025-01-31", "inbound") == taken_back
    assert consent_of("no", "", "a website") == Consent(given=False, source="import")
    assert consent_of("", "") is None


def test_an_enrollment_states_how() -> None:
    assert stated("signed form 12") == Consent(note="signed form 12", source="enrollment")
    assert stated("") is None
    with pytest.raises(InvalidInput, match="says no"):
        stated("no")
