"""How long a device takes, by its pace, hours and limit."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.campaign_plan import expected_end
from messaging.campaigns.plan import CampaignPlan, DeviceShare
from messaging.devices.pace import DevicePace
from messaging.times.sending_hours import SendingHours

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def device(hours: tuple[int, int] | None = None, **changed: Any) -> DevicePace:
    opens, closes = (time(hours[0]), time(hours[1])) if hours else (None, None)
    fields: dict[str, Any] = {
        "device": "kl-1",
        "status": "active",
        "status_reason": None,
        "min_delay": 8.0,
        "max_delay": 12.0,
        "daily_limit": None,
        "used_today": 0,
        "hours": SendingHours(opens_at=opens, closes_at=closes, time_zone="UTC"),
        "free_at": NOON,
        "ready_at": NOON,
        "now": NOON,
    }
    return DevicePace(**{**fields, **changed})


@pytest.mark.parametrize(
    ("pace", "messages", "expected"),
    [
        (device(), 1, NOON),
        (device(), 361, NOON + timedelta(hours=1)),
        (device(free_at=NOON + timedelta(hours=2)), 361, NOON + timedelta(hours=3)),
        # Open until 13:00: 360 fit in, the next one goes out at 9:00.
        (device((9, 13)), 360, NOON + timedelta(hours=1, seconds=-10)),
        (device((9, 13)), 361, NOON + timedelta(hours=21)),
        # Across midnight, all the same hours.
        (device((20, 2)), 1, NOON + timedelta(hours=8)),
        (device((20, 2)), 6 * 360, NOON + timedelta(hours=14, seconds=-10)),
        # 100 a day, of which 40 are used: 60 today, 100 tomorrow, one the day after.
        (device(daily_limit=100, used_today=40), 60, NOON + timedelta(seconds=590)),
        (device(daily_limit=100, used_today=40), 61, NOON + timedelta(hours=12)),
        (device(daily_limit=100, used_today=40), 161, NOON + timedelta(hours=36)),
        (device(daily_limit=100, used_today=120), 1, NOON + timedelta(hours=12)),
        # Without a pace.
        (device(min_delay=0, max_delay=0), 100_000, NOON),
        (device(daily_limit=1), 5000, None),
    ],
)
def test_the_expected_end(pace: DevicePace, messages: int, expected: datetime | None) -> None:
    assert pace.ends_at(messages, NOON) == expected


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 23), st.integers(0, 23), st.integers(1, 500) | st.none())
def test_more_messages_never_end_earlier_and_always_in_the_hours(
    messages: int, opens: int, closes: int, limit: int | None
) -> None:
    pace = device((opens, closes) if opens != closes else None, daily_limit=limit)
    end, later = pace.ends_at(messages, NOON), pace.ends_at(messages + 1, NOON)
    assert end is not None
    assert later is not None
    assert NOON <= end <= later
    assert pace.hours.next_opening(end) == end


def test_what_the_other_devices_have_ends_although_one_is_paused() -> None:
    ends = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    share = DeviceShare(
        device="kl-1", leads=3, min_delay=1, max_delay=2, daily_limit=None, hours="always", ends_at=ends
    )
    paused = share.model_copy(update={"device": "kl-2", "ends_at": None, "holds": "it is paused: review"})

    def said(*devices: DeviceShare) -> str:
        return expected_end(CampaignPlan(leads=6, left_out={}, devices=devices, begins_at=ends, ends_at=None))

    why = "no end can be said: device kl-2 has 3 of it: it is paused: review"
    assert (
        said(share, paused)
        == f"{why}; what the other devices have ends about 2026-12-01 09:30 UTC, at their pace"
    )
    assert said(paused) == why
