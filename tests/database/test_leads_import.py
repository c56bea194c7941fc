"""Importing files of leads into a real database."""

import asyncio
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput, NotFound
from messaging.leads.csv_fold import JOINED
from messaging.leads.csv_import import ImportOptions, ImportProgress, import_file
from messaging.leads.csv_notes import ImportSummary
from tests.support.lead_tables import add_devices, everything, known, put_aside, write

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "leads.csv"
REAL = Path(os.environ.get("DRUMBEAT_EXTRA_LEADS", "nowhere")) / "leads.csv"
"""A file of somebody's own, with leads.expected.json beside it that says what is to come of it."""


@pytest.fixture(autouse=True)
async def devices(pool: Pool) -> None:
    await add_devices(pool, "d1", "d2")


def rejected(path: Path) -> list[dict[str, str]]:
    """Without the rows that were used, and of which something does not count."""
    return [row for row in put_aside(path) if not row["import_error"].startswith(JOINED)]


def adds_up(summary: ImportSummary) -> bool:
    parts = (summary.imported, summary.updated, summary.unchanged, summary.repeats, summary.rejected)
    return summary.rows == sum(parts)


async def test_the_example(pool: Pool, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    summary = await import_file(
        pool, EXAMPLE, ImportOptions(device="d1", default_region="US", rejects=rejects)
    )
    counts = {"rows", "imported", "updated", "unchanged", "repeats", "rejected", "kept_device"}
    assert summary.model_dump(include=counts) == {
        "rows": 61, "imported": 55, "updated": 0, "unchanged": 0, "repeats": 3, "rejected": 3, "kept_device": 0,
    }  # fmt: skip
    assert [row["import_row"] for row in rejected(rejects)] == ["36", "43", "53"]
    leads = {row["phone"]: row for row in await known(pool)}
    assert len(leads) == 55
    assert leads["+13125550102"] == {
        "phone": "+13125550102",
        "name": "Tom Whitfield",
        "niches": ["VITAC", "EXSTART"],
        "triggers": ["COLDVITAC", "EXSTART"],
        "target_status": "customer",
        "device_id": "d1",
        "time_zone": None,
        "attributes": {"city": "Chicago", "company": "Whitfield & Sons, Inc."},
    }
    assert leads["+18585550123"]["attributes"]["company"] == "Petrova\nDance Studio"
    assert leads["+14045550111"]["name"] == "Grace Okafor"


@pytest.mark.skipif(not REAL.exists(), reason="DRUMBEAT_EXTRA_LEADS names no folder with a leads.csv")
async def test_a_real_file(pool: Pool, tmp_path: Path) -> None:
    expected = json.loads(REAL.with_name("leads.expected.json").read_text())
    rejects = tmp_path / "rejects.csv"
    summary = await import_file(
        pool, REAL, ImportOptions(device="d1", default_region=expected["default_region"], rejects=rejects)
    )
    assert summary.rows == expected["rows"]
    assert summary.imported == expected["unique_valid_phones"] == len(await known(pool))
    assert summary.repeats == expected["rows_repeating_an_earlier_phone"]
    assert summary.rejected == expected["rows_with_invalid_phone"]
    assert [int(row["import_row"]) for row in rejected(rejects)] == expected["invalid_row_numbers"]
    before = await everything(pool)
    again = await import_file(
        pool, REAL, ImportOptions(device="d1", default_region=expected["default_region"], rejects=rejects)
    )
    assert again == summary.model_copy(update={"imported": 0, "unchanged": summary.imported})
    assert await everything(pool) == before


async def test_the_same_file_twice_changes_nothing(pool: Pool, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    first = await import_file(pool, EXAMPLE, ImportOptions(device="d1", default_region="US", rejects=rejects))
    before, wrote = await everything(pool), rejects.read_bytes()
    again = await import_file(pool, EXAMPLE, ImportOptions(device="d1", default_region="US", rejects=rejects))
    assert again == first.model_copy(update={"imported": 0, "unchanged": 55})
    assert await everything(pool) == before
    assert rejects.read_bytes() == wrote


async def test_later_rows_fill_in_however_far_apart(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "leads.csv",
        "phone,name,niche,trigger,status,device,city,tz",
        '(201) 555-0123,A. Abu,"b,a",T,prospect,,Ipoh,Asia/Tokyo',
        *(f"(202) 555-01{number:02},x" for number in range(90)),
        "tel:+1-201-555-0123,Ali,a,S,customer,d2,,UTC",
        *(f"(203) 555-01{number:02},x" for number in range(90)),
        "+12015550123,,C,,,d1,Melaka,",
    )
    summary = await import_file(pool, file, ImportOptions(device="d1", default_region="US"))
    assert (summary.rows, summary.imported, summary.repeats) == (183, 181, 2)
    assert (await known(pool))[0] == {
        "phone": "+12015550123",
        "name": "Ali",
        "niches": ["B", "A", "C"],
        "triggers": ["T", "S"],
        "target_status": "customer",
        "device_id": "d2",
        "time_zone": "UTC",
        "attributes": {"city": "Melaka"},
    }


async def test_new_known_and_known_better(pool: Pool, tmp_path: Path) -> None:
    await import_file(
        pool,
        write(tmp_path / "a.csv", "phone,name", "+12015550101,A", "+12015550102,B"),
        ImportOptions(device="d1"),
    )
    before = await everything(pool)
    file = write(
        tmp_path / "b.csv", "phone,name", "+12015550101,", "+12015550102,Bea", "+12015550103,C", "12"
    )
    summary = await import_file(pool, file, ImportOptions(device="d2"))
    assert (summary.imported, summary.updated, summary.unchanged, summary.rejected) == (1, 1, 1, 1)
    assert adds_up(summary)
    assert summary.kept_device == 2
    after = await everything(pool)
    assert after[0] == before[0]
    assert [(row["name"], row["device_id"]) for row in after] == [("A", "d1"), ("Bea", "d1"), ("C", "d2")]


async def test_a_consumed_trigger_does_not_come_back(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "phone,trigger", '+12015550101,"COLD,WARM"', "+12015550102,COLD")
    await import_file(pool, file, ImportOptions(device="d1"))
    await pool.execute(
        "with s as (insert into sequences (name, trigger) values ('cold', 'COLD') returning id)"
        " insert into sequence_contacts (sequence_id, lead_id, phone, device_id, workflow_id, run_id, timeline,"
        " plan_revision) select s.id, l.id, phone, 'd1', 'w', 'r', '{}', 1 from s, leads l where phone like '%101'"
    )
    await pool.execute("update leads set triggers = '{WARM}' where phone like '%101'")
    before = await everything(pool)
    summary = await import_file(pool, file, ImportOptions(device="d1"))
    assert summary.unchanged == 2
    assert await everything(pool) == before


async def test_corrected_rejects_import_like_the_file_they_came_from(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "leads.csv",
        "name;phone;city;target status",
        '"Ali; ""the second""\nline";201-555-01;Ipoh;prospect',
        "Bea;+12015550102;Ipoh;buyer",
        "Carl;+12015550103;Ipoh;;one too many",
        "Dora;+12015550104;Ipoh",
    )
    summary = await import_file(pool, file, ImportOptions(device="d1", default_region="US"))
    rejects = tmp_path / "leads.rejects.csv"
    assert (summary.imported, summary.rejected, summary.rejects_file) == (1, 3, str(rejects))
    text = rejects.read_bytes().decode("utf-8-sig")
    assert text.startswith("import_row;import_error;name;phone;city;target status\r\n1;")
    assert '"Ali; ""the second""\nline";201-555-01;Ipoh;prospect' in text
    assert "3;the row has 5 columns and the header 4" in text.replace('"', "")

    corrected = (
        text.replace("201-555-01", "201-555-0101").replace("buyer", "customer").replace(";;one too many", ";")
    )
    rejects.write_text(corrected, encoding="utf-8")
    again = await import_file(pool, rejects, ImportOptions(device="d1", default_region="US"))
    assert (again.imported, again.rejected) == (3, 0)
    rows = await known(pool)
    assert [row["name"] for row in rows] == ['Ali; "the second"\nline', "Bea", "Carl", "Dora"]
    assert {frozenset(row["attributes"].items()) for row in rows} == {frozenset({("city", "Ipoh")})}


async def test_rejects_that_are_rejected_again_bear_the_new_reason_alone(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "rejects.csv", "import_row,import_error,phone", "7,old reason,123")
    summary = await import_file(pool, file, ImportOptions(rejects=tmp_path / "more.csv"))
    assert summary.rejected == 1
    (row,) = rejected(tmp_path / "more.csv")
    assert row["import_row"] == "1"
    assert "has no country code" in row["import_error"]
    assert list(row) == ["import_row", "import_error", "phone"]


async def test_no_rejects_no_file(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "leads.csv", "phone", "+12015550101")
    summary = await import_file(pool, file)
    assert summary.rejects_file is None
    assert list(tmp_path.iterdir()) == [file]


async def test_an_import_that_breaks_off_has_changed_nothing(pool: Pool, tmp_path: Path) -> None:
    lines = [f"+1201555{number:04},Jos" for number in range(100, 200)] * 15
    file = write(tmp_path / "leads.csv", "phone,name", "12", *lines)
    with file.open("ab") as end:
        end.write(b"+12015550199,Jos\xe9\n")
    seen: list[ImportProgress] = []
    with pytest.raises(InvalidInput, match=r"leads\.csv, line 1503: the byte 0xE9 is not UTF-8"):
        await import_file(pool, file, progress=seen.append)
    assert seen  # it had begun
    assert await known(pool) == []
    assert list(tmp_path.iterdir()) == [file]


async def test_unknown_devices(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "leads.csv", "phone,device", "+12015550101,d2", "+12015550102,d9", "+12015550103,"
    )
    with pytest.raises(
        NotFound, match="there is no device 'd8': create it with 'device add d8 --gateway NAME'"
    ):
        await import_file(pool, file, ImportOptions(device="d8"))
    with pytest.raises(NotFound, match="there is no device 'd22': did you mean 'd2', or create it"):
        await import_file(pool, file, ImportOptions(device="d22"))
    summary = await import_file(pool, file)
    assert (summary.imported, summary.rejected) == (2, 1)
    (row,) = rejected(tmp_path / "leads.rejects.csv")
    assert row["import_error"].startswith("there is no device 'd9'")
    assert [row["device_id"] for row in await known(pool)] == ["d2", None]


async def test_rejects_never_overwrite_the_file(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "leads.csv", "phone", "12")
    with pytest.raises(InvalidInput, match="name another file with --rejects"):
        await import_file(pool, file, ImportOptions(rejects=tmp_path / "." / "leads.csv"))
    assert file.read_text() == "phone\n12\n"


async def test_rejects_that_cannot_be_written_stop_the_import(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "leads.csv", "phone", "+12015550101", "12")
    with pytest.raises(InvalidInput, match=r"r\.csv cannot be written"):
        await import_file(pool, file, ImportOptions(rejects=tmp_path / "no" / "r.csv"))
    assert await known(pool) == []


async def test_two_imports_at_once(pool: Pool, tmp_path: Path) -> None:
    phones = [f"+1{area}555{number:04}" for area in (201, 202, 203, 205, 206) for number in range(100, 200)]
    forth = write(tmp_path / "forth.csv", "phone,niche,city", *(f"{phone},A,Ipoh" for phone in phones))
    back = write(tmp_path / "back.csv", "phone,niche,zip", *(f"{phone},B,123" for phone in reversed(phones)))
    for _ in range(3):
        summaries = await asyncio.gather(
            *(import_file(pool, file, ImportOptions(device="d1")) for file in (forth, back, forth, back))
        )
        assert all(adds_up(summary) for summary in summaries)
        rows = await known(pool)
        assert len(rows) == 500
        assert all(sorted(row["niches"]) == ["A", "B"] for row in rows)
        assert all(row["attributes"] == {"city": "Ipoh", "zip": "123"} for row in rows)
        assert sum(summary.imported for summary in summaries) == 500
        await pool.execute("delete from leads")


async def test_memory_does_not_grow_with_the_file(pool: Pool, tmp_path: Path) -> None:
    async def peak(rows: int) -> int:
        file = tmp_path / f"{rows}.csv"
        with file.open("w") as out:
            out.write("phone,name,city\n")
            for number in range(rows):
                out.write(f"(201) 555-{number % 10_000:04},{'Some Name ' * 5}{number},City {number}\n")
        tracemalloc.start()
        try:
            summary = await import_file(pool, file, ImportOptions(device="d1", default_region="US"))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert adds_up(summary)

    await peak(10)  # what is loaded once
    few, many = await peak(2_000), await peak(8_000)
    assert many < few * 2  # of four times as many


async def test_progress_reaches_the_end(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "leads.csv", "phone", *(f"+1201555{number:04}" for number in range(2500)))
    seen: list[ImportProgress] = []
    await import_file(pool, file, progress=seen.append)
    size = file.stat().st_size
    assert [step.rows for step in seen] == [1000, 2000, 2500, 2500]
    assert [step.merging for step in seen] == [False, False, False, True]
    assert seen[-1].bytes_read == seen[-1].bytes_total == size


async def test_paths_of_no_file(pool: Pool, tmp_path: Path) -> None:
    circle = tmp_path / "circle.csv"
    circle.symlink_to(circle)
    for path in (Path(), Path("/"), circle):
        with pytest.raises(InvalidInput, match="cannot be read: "):
            await import_file(pool, path, ImportOptions(default_region="US"))


async def test_an_import_that_is_interrupted_says_that_nothing_was_stored(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("phone,name\n" + "".join(f"+1201555{number:04},Aina\n" for number in range(100, 200)))

    def interrupt(_: ImportProgress) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    interrupted = asyncio.create_task(import_file(pool, file, progress=interrupt))
    with pytest.raises(asyncio.CancelledError, match="nothing was stored"):
        await interrupted
    assert await pool.fetchval("select count(*) from leads") == 0


def test_what_an_interruption_has_left_is_said() -> None:
    code = (
        "import asyncio\nfrom runtime.process import run_plain\n"
        "async def work():\n    raise asyncio.CancelledError('nothing was stored')\n"
        "run_plain(work)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "drumbeat: interrupted: nothing was stored\n")
