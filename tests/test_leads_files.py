"""Reading files of leads as people have them."""

from pathlib import Path

import pytest

from messaging.errors import InvalidInput
from messaging.lead_columns import REJECT_COLUMNS, find_columns
from messaging.lead_files import RowFile, new_file
from messaging.lead_values import attribute_names, clean_lead, clean_text, parse_target_status
from messaging.models import Lead

PHONE = "+12015550123"


def read(path: Path) -> list[tuple[int, list[str]]]:
    with RowFile(path) as rows:
        return [(row.number, row.cells) for row in rows]


def lead_of(path: Path) -> Lead:
    with RowFile(path) as rows:
        return rows.columns.lead(next(rows).cells, "US")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leads.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(file: Path, encoding: str, end: str) -> None:
    text = end.join(["name,phone", "王小明,2015550123", "", ",2015550124"])
    file.write_bytes(text.encode(encoding))
    assert read(file) == [(1, ["王小明", "2015550123"]), (3, ["", "2015550124"])]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(file: Path, separator: str) -> None:
    file.write_text(separator.join(["name", "phone"]) + "\n" + separator.join(['"a,;b\tc|d"', "2015550123"]))
    assert read(file) == [(1, ["a,;b\tc|d", "2015550123"])]


def test_the_separator_line_of_a_spreadsheet_is_no_row(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfsep=;\r\nphone;notes, more\r\n2015550123;a,b\r\n")
    assert read(file) == [(1, ["2015550123", "a,b"])]
    assert lead_of(file).attributes == {"notes_more": "a,b"}


def test_quotes_commas_and_line_breaks_in_values(file: Path) -> None:
    file.write_bytes(b'"na\nme",phone\r\n"O\'Brien, ""Bob""\r\n(second line)",2015550123\r\nx,2015550124\r\n')
    assert read(file) == [
        (1, ['O\'Brien, "Bob"\r\n(second line)', "2015550123"]),
        (2, ["x", "2015550124"]),
    ]


def test_rows_without_content_are_passed_over_but_counted(file: Path) -> None:
    file.write_text("\n\nphone,name\n,\n2015550123,a\n\n , \n2015550124,b\n,,,,\n")
    assert [number for number, _ in read(file)] == [2, 5]


def test_a_single_column(file: Path) -> None:
    file.write_text("Phone\n2015550123\n")
    assert lead_of(file) == Lead(phone=PHONE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "leads.csv is empty"),
        (b"\n\n", "leads.csv is empty"),
        (b"\xef\xbb\xbf", "leads.csv is empty"),
        (b"Ali,2015550123\n", "has no column for the phone among 'Ali', '2015550123': name one 'phone'"),
        (b"name,phone\nJos\xe9,2015550123\n", "leads.csv, line 2: the byte 0xE9 is not UTF-8"),
        (b'name,phone\n"a\nb",1\nJos\xe9,2015550123\n', "leads.csv, line 4: the byte 0xE9"),
        (b"n\xe4me,phone\n", "leads.csv, line 1: the byte 0xE4"),
        (
            b'phone,name\n2015550123,a\n2015550124,"b\n2015550125,c\n',
            "leads.csv, line 3: a quote is opened in this row",
        ),
        (b'phone,"name', "leads.csv, line 1: a quote is opened in this row"),
        (b'phone\n"' + b"9\n" * 70_000, "leads.csv, line 2: a value is longer than 131072 characters"),
        (b"phone\n" + b"9" * (1 << 20), "leads.csv, line 2 is over 1048576 characters long"),
        (b"PK\x03\x04\x14\x00", "leads.csv is a workbook or an archive: save it as 'CSV UTF-8'"),
        ("phone\n2015550123\n".encode("utf-16-le"), "leads.csv is not a text file: save it as 'CSV UTF-8'"),
        ("phone\n2015550123\n".encode("utf-16") + b"\xd8", "leads.csv is not UTF-16 as it says"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_how_to_mend_it(
    file: Path, content: bytes, reason: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read(file)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    "heading",
    ["phone", "PHONE", " Phone Number ", "Mobile No.", "WhatsApp", "No. Tel", "no_hp", "Tel", "\uff30hone"],
)
def test_headings_of_the_phone(heading: str) -> None:
    columns = find_columns(["x", heading])
    assert columns is not None
    assert columns.phone == 1


def test_every_field_in_any_order_and_the_rest_as_attributes(file: Path) -> None:
    file.write_text(
        "TimeZone,City,Device ID,Status,Trigger,,Niches,First Name,Mobile,Full Name,City\n"
        'Asia/Kuala_Lumpur, Ipoh ,d1,CUSTOMER,"a, b",,vitac,Ali,(201) 555-0123, Ali bin Abu ,x\n'
    )
    assert lead_of(file) == Lead(
        phone=PHONE,
        name="Ali bin Abu",
        niches=("VITAC",),
        triggers=("A", "B"),
        target_status="customer",  # type: ignore[arg-type]
        device_id="d1",
        time_zone="Asia/Kuala_Lumpur",
        attributes={"city": "Ipoh", "first_name": "Ali", "city_2": "x"},
    )


def test_of_two_columns_for_a_field_the_plain_name_counts(file: Path) -> None:
    file.write_text("mobile,status,phone,target_status\n2015550199,married,2015550123,customer\n")
    lead = lead_of(file)
    assert lead.phone == PHONE
    assert lead.target_status == "customer"
    assert lead.attributes == {"mobile": "2015550199", "status": "married"}


def test_a_short_row_lacks_values_and_a_long_one_is_refused(file: Path) -> None:
    file.write_text("phone,name,city\n2015550123\n")
    assert lead_of(file) == Lead(phone=PHONE)
    file.write_text("phone,name\n2015550123,a,,\n")
    assert lead_of(file).name == "a"
    file.write_text("phone,name\n2015550123,Hale, Robert\n")
    with pytest.raises(InvalidInput, match="the row has 3 columns and the header 2: is there a comma"):
        lead_of(file)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2015550123,,,lead,", "target status 'lead' is neither 'prospect' nor 'customer'"),
        ("2015550123,,,,Mars/Base", "'Mars/Base' is not an IANA time zone"),
        ("2015550123,a\x07b,,,", r"the name contains the control character U\+0007: delete it"),
        ("2015550123,a\x00b,,,", r"the name contains the control character U\+0000"),
        (f"2015550123,{'x' * 32_768},,,", "the name has 32,768 characters, at most 32,767"),
        (f"2015550123,a,{'x' * 65},,", "too long: a word has at most 64 characters"),
    ],
)
def test_rows_that_cannot_be_used(file: Path, row: str, reason: str) -> None:
    file.write_text(f"phone,name,trigger,status,tz\n{row}\n")
    with pytest.raises(InvalidInput, match=reason):
        lead_of(file)


def test_names_are_data(file: Path) -> None:
    names = [
        '=HYPERLINK("http://example.com","x")',
        "Ali 123 {name} {{ name }}",
        "{% if %}",
        "'; drop table leads --",
    ]
    for name in names:
        file.write_text("phone,name\n2015550123," + '"' + name.replace('"', '""') + '"\n')
        assert lead_of(file).name == name


def test_text_is_stripped_and_else_kept() -> None:
    assert clean_text(" a\t b\r\nc \u00a0", "it") == "a\t b\r\nc"
    assert clean_text("\u2028mid\u200ddle", "it") == "mid\u200ddle"


def test_target_status() -> None:
    assert parse_target_status("") is None
    assert parse_target_status(" Customer ") == "customer"


def test_attribute_names() -> None:
    names = [
        "First Name",
        "city",
        "CITY",
        "城市",
        "",
        "!!",
        "phone",
        "No. of visits (2026)",
        "x" * 99,
        "x" * 99,
    ]
    result = attribute_names(names)
    assert result == [
        "first_name", "city", "city_2", "城市", "column", "column_2", "phone_2", "no_of_visits_2026",
        "x" * 64, "x" * 62 + "_2",
    ]  # fmt: skip
    assert attribute_names(result) == result
    assert all(len(name) <= 64 for name in result)


def test_a_services_lead_is_cleaned_like_a_row() -> None:
    lead = Lead(
        phone=PHONE,
        name=" Ali ",
        niches=("vitac, exstart",),
        triggers=("coldvitac ", "COLDVITAC"),
        device_id="",
        time_zone=" UTC",
        attributes={"First Name": " Ali ", "empty": " ", "phone": "x"},
    )
    assert clean_lead(lead) == Lead(
        phone=PHONE,
        name="Ali",
        niches=("VITAC", "EXSTART"),
        triggers=("COLDVITAC",),
        time_zone="UTC",
        attributes={"first_name": "Ali", "phone_2": "x"},
    )


def test_a_written_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")

    def break_off() -> None:
        with new_file(target) as writer:
            writer.write(["half"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert target.read_text() == "before"
    with new_file(target) as writer:
        writer.write(["a,b", "é\r\n"])
        assert target.read_text() == "before"
    assert target.read_bytes() == '\ufeff"a,b","é\r\n"\r\n'.encode()
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_and_a_device_is_written_to(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    for path in (link, Path("/dev/null")):
        with new_file(path) as writer:
            writer.write(["a"])
    assert link.is_symlink()
    assert target.exists()
    assert Path("/dev/null").is_char_device()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInput, match="cannot be written: No such file"),
        new_file(tmp_path / "no" / "out.csv"),
    ):
        pass
    with (
        pytest.raises(InvalidInput, match="cannot be written: No space left"),
        new_file(Path("/dev/full")) as writer,
    ):
        writer.write(["a"])


def test_the_columns_of_a_rejects_file_are_no_attributes(file: Path) -> None:
    file.write_text(",".join(REJECT_COLUMNS) + ",phone,city\n7,some reason,2015550123,Ipoh\n")
    assert lead_of(file) == Lead(phone=PHONE, attributes={"city": "Ipoh"})
