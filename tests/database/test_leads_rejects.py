"""Whoever misses a person among the leads finds the row that was rejected."""

from pathlib import Path

import pytest

from messaging.common.database import Pool
from messaging.common.errors import NotFound
from messaging.leads import csv_rejects as lead_rejects
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.csv_rejects import Reject, keep_rejects, rejects_of
from messaging.reporting.contact import contact_report
from tests.support.lead_tables import add_devices, write


@pytest.fixture(autouse=True)
async def devices(pool: Pool) -> None:
    await add_devices(pool, "d1", "d2")


async def test_a_rejected_row_is_found_by_its_phone_in_any_spelling(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "leads.csv",
        "phone,device",
        "+1 201 555 0123,nope",  # a number, but the row cannot be used
        "(201) 555-01,d1",
        "reception,d1",
        "+12015550124,d1",
    )
    await import_file(pool, file, ImportOptions(default_region="US", dry_run=True))
    assert await rejects_of(pool, "+12015550123", "") == []
    await import_file(pool, file, ImportOptions(default_region="US"))
    with pytest.raises(
        NotFound,
        match=r"there is no lead with the phone \+12015550123; row 1 below the header of .*/leads\.csv \('\+1 201 555 0123'\) was"
        r" rejected when it was imported on .* UTC: there is no device 'nope'",
    ):
        await contact_report(pool, "+12015550123", "+12015550123")
    for written, row in (("201-555 01", 2), ("Reception", 3)):
        (found,) = await rejects_of(pool, None, written)
        assert (found.file, found.row) == (str(file), row)
    assert await rejects_of(pool, "+12015550124", "+12015550124") == []
    assert await rejects_of(pool, None, "") == []


async def test_what_was_mended_is_forgotten(pool: Pool, tmp_path: Path) -> None:
    async def rows(phone: str) -> list[int]:
        return [one.row for one in await rejects_of(pool, phone, phone)]

    file = write(tmp_path / "leads.csv", "phone,device", "+12015550123,nope", "+12015550124,nope")
    await import_file(pool, file)
    assert (await rows("+12015550123"), await rows("+12015550124")) == ([1], [2])
    # From another file one becomes a lead.
    await import_file(pool, write(tmp_path / "other.csv", "phone", "+12015550123"))
    assert (await rows("+12015550123"), await rows("+12015550124")) == ([], [2])
    # The same file again, mended.
    write(file, "phone,device", "+12015550123,d1", "+12015550199,nope")
    await import_file(pool, file)
    assert (await rows("+12015550124"), await rows("+12015550199")) == ([], [2])
    # A lead of whom a later row is rejected is shown with it.
    await import_file(pool, write(tmp_path / "third.csv", "phone,device", "+12015550123,nope"))
    assert [one.row for one in (await contact_report(pool, "+12015550123", "")).rejected] == [1]


async def test_the_oldest_rows_go_first(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_rejects, "MOST_KEPT", 5)
    async with pool.acquire() as connection:
        await connection.execute("create temporary table lead_rows (phone text)")
        for number in range(4):
            rejects = [Reject(row, None, f"{number}{row}", "no phone") for row in range(3)]
            async with connection.transaction():
                await keep_rejects(connection, f"{number}.csv", rejects)
        kept = await connection.fetch("select file, row from rejected_rows order by id")
    assert [tuple(row) for row in kept] == [
        *(("2.csv", 1), ("2.csv", 2)),
        *(("3.csv", 0), ("3.csv", 1), ("3.csv", 2)),
    ]
