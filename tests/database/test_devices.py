"""Devices: added, changed, refused, paused and resumed, in a real database."""

import asyncio
from datetime import time

import pytest

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.devices.device import Device, DeviceSettings, parse_hours, parse_options
from messaging.devices.store import AddedDevice, add_device, list_devices, set_device_status

URL = {"url": "http://127.0.0.1:8055"}


async def add(pool: Pool, settings: DeviceSettings) -> AddedDevice:
    """Adds a device."""
    async with pool.acquire() as connection:
        return await add_device(connection, settings)


async def only_device(pool: Pool) -> Device:
    """The one device that is stored."""
    async with pool.acquire() as connection:
        (device,) = await list_devices(connection)
    return device


async def test_a_device_with_nothing_but_a_gateway(pool: Pool) -> None:
    added = await add(pool, DeviceSettings(id="main", gateway="simulated"))
    assert (added.result, added.changes) == ("created", ())
    device = await only_device(pool)
    assert (device.min_delay, device.max_delay, device.daily_limit) == (5, 15, None)
    assert (device.opens_at, device.closes_at, device.time_zone, device.status) == (
        None,
        None,
        "UTC",
        "active",
    )


async def test_a_device_with_everything(pool: Pool) -> None:
    settings = DeviceSettings(
        id="main",
        gateway="simulated",
        options=URL,
        min_delay=0.5,
        max_delay=2,
        daily_limit=100,
        hours=(time(9), time(18, 30)),
        time_zone="Asia/Kuala_Lumpur",
    )
    assert (await add(pool, settings)).result == "created"
    device = await only_device(pool)
    assert (device.options, device.option_names) == (URL, ("url",))
    assert (device.min_delay, device.max_delay, device.daily_limit) == (0.5, 2, 100)
    assert (device.opens_at, device.closes_at, device.time_zone) == (
        time(9),
        time(18, 30),
        "Asia/Kuala_Lumpur",
    )
    assert "8055" not in device.model_dump_json() + repr(device), "options may be credentials"


async def test_a_zone_with_its_sign_reversed_is_warned_of(pool: Pool) -> None:
    added = await add(
        pool, DeviceSettings(id="main", gateway="simulated", options=URL, time_zone="Etc/GMT+8")
    )
    assert (added.result, (await only_device(pool)).time_zone) == ("created", "Etc/GMT+8")
    (warning,) = added.warnings
    assert warning.startswith("warning: time-zone: Etc/GMT+8 is UTC-8, the sign of these names is reversed: ")
    settings = DeviceSettings(id="main", gateway="simulated", time_zone="Asia/Singapore")
    assert (await add(pool, settings)).warnings == ()


async def test_the_same_again_changes_nothing(pool: Pool) -> None:
    settings = DeviceSettings(
        id="main", gateway="simulated", options=URL, hours=(time(9), time(18)), min_delay=1
    )
    await add(pool, settings)
    before = await pool.fetchval("select xmin::text from devices")
    assert (await add(pool, settings)).result == "unchanged"
    assert (await add(pool, DeviceSettings(id="main", gateway="simulated"))).result == "unchanged"
    device = await only_device(pool)
    assert (device.opens_at, device.min_delay, device.options) == (time(9), 1, URL)
    # The row is locked for a moment, which leaves its mark in xmax only.
    assert await pool.fetchval("select xmin::text from devices") == before


async def test_says_what_it_changed(pool: Pool) -> None:
    await add(pool, DeviceSettings(id="main", gateway="simulated", daily_limit=50, hours=(time(9), time(18))))
    await add(pool, DeviceSettings(id="other", gateway="simulated"))
    changed = await add(
        pool,
        DeviceSettings(
            id="main",
            gateway="simulated",
            options=URL,
            min_delay=1,
            max_delay=2.5,
            daily_limit=0,
            hours="always",
            time_zone="Asia/Tokyo",
        ),
    )
    assert changed.result == "changed"
    assert changed.changes == (
        "min-delay: 5 s → 1 s",
        "max-delay: 15 s → 2.5 s",
        "daily-limit: 50 → none",
        "hours: 09:00-18:00 → always",
        "time-zone: UTC → Asia/Tokyo",
        "option 'url' set",
    )
    async with pool.acquire() as connection:
        devices = {device.id: device for device in await list_devices(connection)}
    assert (devices["main"].daily_limit, devices["main"].opens_at) == (None, None)
    assert devices["other"].min_delay == 5
    taken_away = await add(pool, DeviceSettings(id="main", gateway="simulated", options={"url": ""}))
    assert taken_away.changes == ("option 'url' taken away",)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"gateway": "simulatd"}, "there is no gateway 'simulatd'; did you mean 'simulated'?"),
        (
            {"id": "my phone"},
            (
                "'my phone' cannot be a name: use 1 to 64 letters, digits, '.', '-' and '_',"
                " beginning with a letter or digit"
            ),
        ),
        ({"min_delay": 20}, "min-delay: 20 s is more than max-delay, which is 15 s"),
        ({"min_delay": 6, "max_delay": 5.5}, "min-delay: 6 s is more than max-delay, which is 5.5 s"),
        ({"min_delay": -1}, "min-delay: -1 is no number of seconds from 0 to 86,400"),
        ({"max_delay": float("inf")}, "max-delay: inf is no number of seconds from 0 to 86,400"),
        ({"max_delay": float("nan")}, "max-delay: nan is no number of seconds from 0 to 86,400"),
        ({"daily_limit": -5}, "daily-limit: -5 is no number of messages, give 1 or more, or 0 for no limit"),
        (
            {"time_zone": "Asia/KL"},
            "time-zone: 'Asia/KL' is not an IANA time zone, give one such as Asia/Kuala_Lumpur",
        ),
        (
            {"time_zone": "Kuala Lumpur"},
            "time-zone: 'Kuala Lumpur' is not an IANA time zone, did you mean 'Asia/Kuala_Lumpur'?",
        ),
        (
            {"options": {"url": "127.0.0.1"}},
            "gateway option url: '127.0.0.1' is not an address like http://127.0.0.1:8055",
        ),
    ],
)
async def test_refuses(pool: Pool, settings: dict[str, object], line: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        await add(pool, DeviceSettings.model_validate({"id": "main", "gateway": "simulated", **settings}))
    assert str(raised.value) == line
    assert await pool.fetchval("select count(*) from devices") == 0


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("09:00-18:00", (time(9), time(18))),
        ("9:00 - 18:30", (time(9), time(18, 30))),
        ("20:00-02:00", (time(20), time(2))),
        ("Always", "always"),
    ],
)
def test_hours(text: str, hours: object) -> None:
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("9", "hours: '9' are no sending hours, write e.g. 09:00-18:00, or always"),
        ("09:00-25:00", "hours: '25:00' is not a time of day, write HH:MM, e.g. \"10:00\""),
        ("09:00-09:00", "hours: '09:00-09:00' open and close at the same time, write always for no hours"),
    ],
)
def test_no_hours(text: str, line: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_hours(text)
    assert str(raised.value) == line


def test_options() -> None:
    assert parse_options(["url=http://127.0.0.1/?a=b", "token = x "]) == {
        "url": "http://127.0.0.1/?a=b",
        "token": "x",
    }
    with pytest.raises(InvalidInput, match="write each as key=value"):
        parse_options(["secret"])
    with pytest.raises(InvalidInput, match="'a' is given twice"):
        parse_options(["a=1", "a=2"])


async def test_pause_and_resume(pool: Pool) -> None:
    await add(pool, DeviceSettings(id="main", gateway="simulated"))
    async with pool.acquire() as connection:
        assert await set_device_status(connection, "main", "paused", "number is blocked")
        assert not await set_device_status(connection, "main", "paused", "again")
        device = await only_device(pool)
        assert (device.status, device.status_reason) == ("paused", "number is blocked")
        await add(pool, DeviceSettings(id="main", gateway="simulated", min_delay=1))
        assert (await only_device(pool)).status == "paused"
        assert await set_device_status(connection, "main", "active")
        assert not await set_device_status(connection, "main", "active")
        assert (await only_device(pool)).status_reason is None
        with pytest.raises(NotFound, match=r"^there is no device 'mian': did you mean 'main'\?$"):
            await set_device_status(connection, "mian", "paused")


async def test_added_by_many_at_once(pool: Pool) -> None:
    settings = DeviceSettings(id="main", gateway="simulated", min_delay=1)
    added = await asyncio.gather(*(add(pool, settings) for _ in range(8)))
    assert sorted(one.result for one in added) == ["created", *["unchanged"] * 7]


async def test_words_of_its_own(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await add_device(
            connection, DeviceSettings(id="kl-1", gateway="simulated", stop_keywords="Genug!, STOP, stop")
        )
        (device,) = await list_devices(connection)
        assert (device.stop_keywords, device.start_keywords) == (("genug", "stop"), None)
        same = await add_device(connection, DeviceSettings(id="kl-1", stop_keywords="stop, genug"))
        assert same.result == "unchanged"
        changed = await add_device(connection, DeviceSettings(id="kl-1", stop_keywords=""))
        assert changed.changes == ("stop-keywords: genug, stop → the usual ones",)
        with pytest.raises(InvalidInput, match=r"start-keywords: .*letters"):
            await add_device(connection, DeviceSettings(id="kl-1", start_keywords="?"))


async def test_a_well_known_secret_is_refused_before_anything_is_stored(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GOWA's default signs what anybody sends."""
    monkeypatch.setenv("KL_SECRET", "secret")
    settings = DeviceSettings(id="kl-1", gateway="gowa", options={**URL, "webhook_secret_env": "KL_SECRET"})
    with pytest.raises(InvalidInput, match=r"KL_SECRET holds a word that everybody knows.*make one with"):
        await add(pool, settings)
    assert await pool.fetchval("select count(*) from devices") == 0
    monkeypatch.delenv("KL_SECRET")
    added = await add(pool, settings)
    assert added.warnings == (
        "warning: option webhook_secret_env: there is no variable KL_SECRET here; the worker's environment needs it",
    )
    monkeypatch.setenv("KL_SECRET", "secret")
    assert (await add(pool, DeviceSettings(id="kl-1", min_delay=1))).warnings == (), "not named just now"
