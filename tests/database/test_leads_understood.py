"""Exports of other programs: what an import makes of them, and what it says about that."""

from pathlib import Path

import pytest

from messaging.common.database import Pool
from messaging.leads.csv_columns import parse_chosen
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.csv_notes import ImportNote, ImportSummary
from tests.support.lead_tables import add_devices, everything, known, put_aside, write


@pytest.fixture(autouse=True)
async def devices(pool: Pool) -> None:
    await add_devices(pool, "d1", "d2")


def note(summary: ImportSummary, kind: str) -> ImportNote:
    (found,) = [note for note in summary.notes if note.kind == kind]
    return found


async def people(pool: Pool) -> dict[str, str]:
    return {row["phone"]: row["name"] for row in await known(pool)}


async def test_two_numbers_in_a_field_are_the_first_one_with_a_note(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv",
        "name,phone",
        "Budi,0812-3456-7890/1",
        "Sari,0812-3456-789/90",
        "Ali,0812 3456 7891 1",
    )
    summary = await import_file(pool, file, ImportOptions(default_region="ID"))
    assert await people(pool) == {"+6281234567890": "Budi", "+628123456789": "Sari"}
    found = note(summary, "several_numbers")
    assert (found.count, found.text) == (
        2, "2 rows: more than one number in the phone; the first full one counts",
    )  # fmt: skip
    assert found.examples[0] == "row 1: '0812-3456-7890/1' is +6281234567890"
    (reject,) = put_aside(tmp_path / "a.rejects.csv")
    assert "can be one number or two" in reject["import_error"]
    assert summary.first_rejected[0].row == 3


async def test_two_spellings_of_one_account_are_joined_and_said(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", "name,phone", "Ines,+54 11 5555-0131", "Ines,+54 9 11 5555-0131",
        "Rita,+55 31 98555-0123", "Rita,+55 31 8555-0123", "Luz,+52 1 55 1234 5678", "Ana,+12015550123", "Ana,12015550123",
    )  # fmt: skip
    summary = await import_file(pool, file, ImportOptions(default_region="US"))
    assert await people(pool) == {
        "+5491155550131": "Ines", "+553185550123": "Rita", "+5215512345678": "Luz", "+12015550123": "Ana",
    }  # fmt: skip
    assert (summary.imported, summary.repeats) == (4, 3)
    found = note(summary, "one_account")
    assert found.count == 2
    assert found.examples == (
        (
            "rows 1, 2: '+54 11 5555-0131' and '+54 9 11 5555-0131' are +5491155550131;"
            " without the 9 it can also be a landline"
        ),
        "rows 3, 4: '+55 31 98555-0123' and '+55 31 8555-0123' are +553185550123",
    )
    assert note(summary, "account_form").count == 2


async def test_which_rows_were_joined_and_whose_value_counts(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", "name,phone,city,status", "Ali,(201) 555-0123,Ipoh,prospect", "Ben,201-555-0124,Ipoh,",
        ",12015550123,,", "Chloe Tan,+1 201 555 0123,Melaka,customer", "=x,nobody,,",
    )  # fmt: skip
    summary = await import_file(pool, file, ImportOptions(default_region="US"))
    assert (summary.imported, summary.repeats, summary.rejected) == (2, 2, 1)
    reason = (
        "joined to row 4, +12015550123 as well: name 'Chloe Tan' counts, not 'Ali';"
        " target status 'customer' counts, not 'prospect'; city 'Melaka' counts, not 'Ipoh'"
    )
    assert note(summary, "joined_rows").examples == (f"row 1 {reason}",)
    rejects = tmp_path / "a.rejects.csv"
    rejected, joined = put_aside(rejects)
    assert (rejected["import_row"], rejected["name"]) == ("5", "'=x")
    assert joined == {
        "import_row": "1", "import_error": reason, "name": "Ali", "phone": "(201) 555-0123", "city": "", "status": "",
    }  # fmt: skip
    before = await everything(pool)
    rejects.write_text(rejects.read_text(encoding="utf-8-sig").replace("nobody", "201-555-0125"))
    again = await import_file(pool, rejects, ImportOptions(default_region="US"))
    assert (again.rows, again.imported, again.rejects_file) == (1, 1, None)
    assert (await everything(pool))[:2] == before
    assert (await people(pool))["+12015550125"] == "=x"


async def test_a_known_lead_that_gets_another_name_is_said(pool: Pool, tmp_path: Path) -> None:
    before = write(
        tmp_path / "a.csv", "phone,name", "+12015550101,Aisha Rahman", "+12015550102,Ben Tan", "+12015550103,",
        "+12015550104,Dora",
    )  # fmt: skip
    await import_file(pool, before)
    after = write(
        tmp_path / "b.csv", "phone,name", "+12015550101,Carl Ong", "+12015550102,TAN (Benjamin)", "+12015550103,Eve",
        "+12015550104,",
    )  # fmt: skip
    summary = await import_file(pool, after)
    found = note(summary, "renamed")
    assert (found.count, found.examples) == (1, ("+12015550101: 'Aisha Rahman' becomes 'Carl Ong'",))
    assert "renamed" not in {one.kind for one in (await import_file(pool, after)).notes}


async def test_of_many_there_are_the_number_and_some_examples(pool: Pool, tmp_path: Path) -> None:
    rows = [f"+1201555{n:04},{name}{n}" for name in ("Ali", "Ben") for n in range(100, 120)]
    summary = await import_file(pool, write(tmp_path / "a.csv", "phone,name", *rows))
    assert (note(summary, "joined_rows").count, len(note(summary, "joined_rows").examples)) == (20, 5)
    assert len(put_aside(tmp_path / "a.rejects.csv")) == 20
    again = write(tmp_path / "b.csv", "phone,name", *(f"+1201555{n:04},Zoe" for n in range(100, 120)))
    summary = await import_file(pool, again)
    assert (note(summary, "renamed").count, len(note(summary, "renamed").examples)) == (20, 5)


async def test_a_dry_run_says_everything_and_writes_nothing(pool: Pool, tmp_path: Path) -> None:
    await import_file(pool, write(tmp_path / "old.csv", "phone,name", "+12015550101,Ali"))
    before = await everything(pool)
    file = write(
        tmp_path / "a.csv", "Phone,Mobile,First Name,Last Name,City", "+12015550101,,Zoe,Lim,Ipoh", ",+12015550102,Ben,,",
        "12,,,,", ",+1 201 555 0102,Carl,,",
    )  # fmt: skip
    summary = await import_file(pool, file, ImportOptions(device="d1", dry_run=True))
    assert (summary.dry_run, summary.rows, summary.imported, summary.updated) == (True, 4, 1, 1)
    assert (summary.repeats, summary.rejected, summary.rejects_file) == (1, 1, None)
    assert summary.columns == {"phone": ("Mobile", "Phone"), "name": ("First Name + Last Name",)}
    assert summary.attributes == ("phone_2", "mobile", "first_name", "last_name", "city")
    assert [(lead.phone, lead.name) for lead in summary.first_leads] == [
        ("+12015550101", "Zoe Lim"), ("+12015550102", "Ben"), ("+12015550102", "Carl"),
    ]  # fmt: skip
    assert [(one.row, "'12' has no country code" in one.reason) for one in summary.first_rejected] == [
        (3, True)
    ]
    assert {one.kind for one in summary.notes} == {"other_column", "joined_rows", "renamed"}
    assert await everything(pool) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "old.csv"]
    done = await import_file(pool, file, ImportOptions(device="d1"))
    assert (
        done.model_copy(update={"dry_run": True, "rejects_file": None, "first_leads": summary.first_leads})
        == summary
    )


async def test_a_status_that_means_something_else_refuses_nobody(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", "Name,Phone,Status", "Aisha,+12015550123,Active", "Ben,+12015550124,New",
        "Carl,+12015550125,Customer",
    )  # fmt: skip
    summary = await import_file(pool, file)
    assert summary.rejected == 0
    rows = await known(pool)
    assert [row["target_status"] for row in rows] == ["prospect", "prospect", "customer"]
    assert [row["attributes"] for row in rows] == [{"status": "Active"}, {"status": "New"}, {}]
    assert note(summary, "other_status").examples == ("row 1: 'Active'", "row 2: 'New'")
    strict = await import_file(pool, file, ImportOptions(columns=parse_chosen(["target_status=Status"])))
    assert strict.rejected == 2


async def test_a_zone_with_the_sign_turned_round_is_said(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "phone,tz", "+12015550123,Etc/GMT+8", "+12015550124,Asia/Tokyo")
    found = note(await import_file(pool, file), "time_zone")
    assert found.count == 1
    assert found.examples[0].startswith("row 1: Etc/GMT+8 is UTC-8")


GOOGLE = (
    (
        "First Name,Middle Name,Last Name,Phonetic First Name,Organization Name,Notes,Labels,E-mail 1 - Value,"
        "Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value"
    ),
    "Aisha,,Rahman,,,,* myContacts,,Mobile,+1 201-555-0123,,",
    "Ben,,,,,,* myContacts,,Mobile,+1 201-555-0124 ::: +1 201-555-0125,,",
    "Chloe,,Tan,,,,* myContacts,,Mobile,,Work,+1 201-555-0126",
)
OUTLOOK = (
    "Title,First Name,Middle Name,Last Name,Company,Business Fax,Business Phone,Home Phone,Mobile Phone,E-mail Address",
    ",Aisha,,Rahman,,+1 201-555-0190,+1 201-555-0191,,+1 201-555-0123,",
    ",Ben,,,,,+1 201-555-0124,,,",
    ",Chloe,,Tan,,,,+1 201-555-0126,,",
)
HUBSPOT = (
    "Record ID,First Name,Last Name,Email,Phone Number,Mobile Phone Number,WhatsApp Phone Number,Contact owner,Lead Status",
    "1,Aisha,Rahman,,+1 201-555-0190,+1 201-555-0191,+1 201-555-0123,,Open",
    "2,Ben,,,,+1 201-555-0124,,,",
    "3,Chloe,Tan,,+1 201-555-0126,,,,",
)
SHOPIFY = (
    (
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address Phone,Phone,"
        "Accepts SMS Marketing,Total Spent,Tags"
    ),
    "'1,Aisha,Rahman,,no,,'+12015550190,'+12015550123,no,0.00,",
    "'2,Ben,,,no,,+12015550124,,no,0.00,",
    "'3,Chloe,Tan,,no,,,+12015550126,no,0.00,",
)
FACEBOOK = (
    "id\tcreated_time\tad_name\tplatform\tfull_name\tphone_number\tlead_status",
    "l:1\t2026-11-20T10:00:00+08:00\tAd 1\tfb\tAisha Rahman\tp:+12015550123\tCREATED",
    "l:2\t2026-11-20T10:00:00+08:00\tAd 1\tig\tBen\tp:+1 201 555 0124\tCREATED",
    "l:3\t2026-11-20T10:00:00+08:00\tAd 1\tig\tChloe Tan\tp:12015550126\tCREATED",
)
PEOPLE = {"+12015550123": "Aisha Rahman", "+12015550124": "Ben", "+12015550126": "Chloe Tan"}


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        pytest.param(GOOGLE, "utf-8", id="google"),
        pytest.param(OUTLOOK, "utf-8-sig", id="outlook"),
        pytest.param(HUBSPOT, "utf-8", id="hubspot"),
        pytest.param(SHOPIFY, "utf-8", id="shopify"),
        pytest.param(FACEBOOK, "utf-16", id="facebook"),
    ],
)
async def test_exports_of_other_programs(
    pool: Pool, tmp_path: Path, lines: tuple[str, ...], encoding: str
) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes("\r\n".join(lines).encode(encoding))
    summary = await import_file(pool, file)
    assert summary.rejected == 0
    assert await people(pool) == PEOPLE


async def test_numbers_as_a_spreadsheet_saved_them(pool: Pool, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", "phone,name", "12015550601,Lia", "6.28123E+13,Budi", "60123456789,Ali", '="+12015550602",Eve',
        "13012345678,Wei",
    )  # fmt: skip
    summary = await import_file(pool, file)
    assert await people(pool) == {"+12015550601": "Lia", "+60123456789": "Ali", "+12015550602": "Eve"}
    assert note(summary, "without_plus").count == 2
    budi, wei = put_aside(tmp_path / "a.rejects.csv")
    assert "format the column as text" in budi["import_error"]
    assert "can be a number of more than one country" in wei["import_error"]


async def test_columns_that_cannot_be_guessed(pool: Pool, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "Ring;Who;Kind", "+12015550123;Ali;Gold")
    chosen = parse_chosen(["phone=Ring", "name=Who", "niche=Kind"])
    summary = await import_file(pool, file, ImportOptions(columns=chosen))
    assert summary.columns == {"phone": ("Ring",), "name": ("Who",), "niches": ("Kind",)}
    (row,) = await known(pool)
    assert (row["name"], row["niches"]) == ("Ali", ["GOLD"])
