"""Exports give a file that imports back to the same leads."""

import asyncio
import io
import threading
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.leads.csv_export import export_file
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.lead import Lead, TargetStatus
from messaging.leads.store import upsert_lead
from tests.support.lead_tables import add_devices, known, write

EXAMPLE = Path(__file__).parents[2] / "examples" / "leads.csv"


@pytest.fixture(autouse=True)
async def devices(pool: Pool) -> None:
    await add_devices(pool, "d1", "d2")


async def test_the_example_there_and_back(pool: Pool, tmp_path: Path) -> None:
    await import_file(
        pool, EXAMPLE, ImportOptions(device="d1", default_region="US", rejects=tmp_path / "r.csv")
    )
    before = await known(pool)
    summary = await export_file(pool, tmp_path / "out.csv")
    assert (summary.leads, summary.attributes) == (55, ("city", "company"))
    await pool.execute("delete from leads")
    again = await import_file(pool, tmp_path / "out.csv")
    assert (again.imported, again.rejected, again.repeats) == (55, 0, 0)
    assert await known(pool) == before


async def test_an_export_over_the_same_leads_changes_nothing(pool: Pool, tmp_path: Path) -> None:
    await import_file(
        pool, EXAMPLE, ImportOptions(device="d1", default_region="US", rejects=tmp_path / "r.csv")
    )
    await export_file(pool, tmp_path / "out.csv")
    again = await import_file(pool, tmp_path / "out.csv", ImportOptions(device="d2", default_region="MY"))
    assert (again.unchanged, again.rows) == (55, 55)


text = st.one_of(
    st.sampled_from(
        ['=HYPERLINK("http://example.com","x")', "Ali 123 {name} {{ name }}", "a\r\nb", "a\rb", '"', ",;\t|", "\ufeffx",
         "sep=;", "O'Brien, \"Bob\"", "\u2028", "NULL", "\\N", "\\", "null", "+12015550123"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n\r"), max_size=12),
)  # fmt: skip
words = st.lists(
    st.text(max_size=8) | st.sampled_from(["COLDVITAC", "{}", '"', "a\\b", "straße"]), max_size=3
)
leads = st.builds(
    Lead,
    phone=st.integers(100, 199).map(lambda number: f"+12015550{number}"),
    name=text,
    niches=words.map(tuple),
    triggers=words.map(tuple),
    target_status=st.none() | st.sampled_from(TargetStatus),
    device_id=st.sampled_from([None, "d1", "d2"]),
    time_zone=st.sampled_from([None, "Asia/Kuala_Lumpur", "UTC"]),
    attributes=st.dictionaries(
        text
        | st.sampled_from(
            ["phone", "mobile", "status", "First Name", "import_row", "device", "city_2", "city"]
        ),
        text,
        max_size=4,
    ),
)


@given(stored=st.lists(leads, max_size=5))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_leads_there_and_back(pool: Pool, tmp_path: Path, stored: list[Lead]) -> None:
    await pool.execute("delete from leads")
    async with pool.acquire() as connection:
        for lead in stored:
            await upsert_lead(connection, lead)
    before = await known(pool)
    await export_file(pool, tmp_path / "out.csv")
    await pool.execute("delete from leads")
    summary = await import_file(pool, tmp_path / "out.csv")
    assert (summary.imported, summary.rejected) == (len(before), 0)
    assert await known(pool) == before


async def test_no_leads_give_a_file_with_a_header(pool: Pool, tmp_path: Path) -> None:
    await export_file(pool, tmp_path / "out.csv")
    assert (await import_file(pool, tmp_path / "out.csv")).rows == 0


async def test_a_stream(pool: Pool, tmp_path: Path) -> None:
    await import_file(pool, write(tmp_path / "a.csv", "phone,name", "+12015550101,é"))
    stream = io.BytesIO()
    summary = await export_file(pool, stream)
    assert summary.file is None
    header = "phone,name,niches,triggers,target_status,device,time_zone,consent,consent_at,consent_source\r\n"
    assert stream.getvalue() == (header + "+12015550101,é,,,prospect,,,,,\r\n").encode()


async def test_nothing_in_an_export_is_a_formula(pool: Pool, tmp_path: Path) -> None:
    async with pool.acquire() as connection:
        await upsert_lead(
            connection,
            Lead(
                phone="+12015550101",
                name="=1+1",
                attributes={"a": "@x", "b": "'=1", "c": "-5", "d": "+1 201 555 0199"},
            ),
        )
    stream = io.BytesIO()
    await export_file(pool, stream)
    row = stream.getvalue().decode().splitlines()[1]
    assert row == "+12015550101,'=1+1,,,prospect,,,,,,'@x,''=1,-5,+1 201 555 0199"


async def test_an_export_is_of_one_moment(pool: Pool, tmp_path: Path, database_url: str) -> None:
    """What comes while it runs is not in it: for the attributes of that there would be no columns."""
    await import_file(pool, write(tmp_path / "a.csv", "phone,city", "+12015550101,Ipoh"))
    before = await known(pool)

    async def add_another() -> None:
        other = await asyncpg.connect(database_url)
        try:
            await other.execute(
                """insert into leads (phone, attributes) values ('+12015550102', '{"zip": "1"}')"""
            )
        finally:
            await other.close()

    def meanwhile(done: int, total: int) -> None:
        if done == 0:
            thread = threading.Thread(target=asyncio.run, args=(add_another(),))
            thread.start()
            thread.join()

    summary = await export_file(pool, tmp_path / "out.csv", progress=meanwhile)
    assert (summary.leads, summary.attributes) == (1, ("city",))
    assert await pool.fetchval("select count(*) from leads") == 2
    await pool.execute("delete from leads")
    await import_file(pool, tmp_path / "out.csv")
    assert await known(pool) == before


async def test_an_export_goes_page_by_page(pool: Pool, tmp_path: Path) -> None:
    await import_file(pool, write(tmp_path / "a.csv", "phone", *(f"+1201555{n:04}" for n in range(2500))))
    seen: list[tuple[int, int]] = []
    summary = await export_file(pool, tmp_path / "out.csv", progress=lambda *step: seen.append(step))
    assert seen == [(0, 2500), (1000, 2500), (2000, 2500), (2500, 2500)]
    assert summary.leads == 2500


async def test_what_breaks_off_leaves_the_old_file(pool: Pool, tmp_path: Path) -> None:
    await import_file(pool, write(tmp_path / "a.csv", "phone", "+12015550101"))
    target = tmp_path / "out.csv"
    target.write_text("before")

    def fail(done: int, total: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await export_file(pool, target, progress=fail)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out.csv"]
    with pytest.raises(InvalidInput, match=r"out\.csv cannot be written: No such file"):
        await export_file(pool, tmp_path / "no" / "out.csv")


async def test_a_lost_connection_is_not_taken_for_a_full_disk(pool: Pool, tmp_path: Path) -> None:
    await import_file(pool, write(tmp_path / "a.csv", "phone", "+12015550101"))

    def lose(done: int, total: int) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await export_file(pool, tmp_path / "out.csv", progress=lose)
