"""Reading files of leads as people have them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.common.errors import InvalidInput
from messaging.leads.cells import guarded, guarded_raw, unguarded
from messaging.leads.cleaning import attribute_names, clean_lead, clean_text, parse_target_status
from messaging.leads.csv_columns import EXPORTED, REJECT_COLUMNS, find_columns, parse_chosen
from messaging.leads.csv_files import RowFile, new_file
from messaging.leads.lead import Lead

PHONE = "+12015550123"


def read(path: Path) -> list[tuple[int, list[str]]]:
    with RowFile(path) as rows:
        return [(row.number, row.cells) for row in rows]


def lead_of(path: Path) -> Lead:
    with RowFile(path) as rows:
        return rows.columns.read(next(rows).cells, "US").lead


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
    [
        *("phone", "PHONE", " Phone Number ", "Mobile No.", "WhatsApp", "No. Tel", "no_hp", "Tel", "\uff30hone"),
        *("Phone #", "Phone 1 - Value", "Default Address Phone", "Person - Phone - Mobile", "mobileNumber", "Handynummer"),
        *("Nomor WhatsApp", "Teléfono móvil", "Telefon geschäftlich", "手机号码", "電話番号", "Номер телефона", "Contact Number"),
        *("Mobile Number (with country code)", "What's your WhatsApp number?", "رقم الهاتف", "Số điện thoại"),
    ],
)  # fmt: skip
def test_headings_of_the_phone(heading: str) -> None:
    columns = find_columns(["x", heading])
    assert columns is not None
    assert [column.place for column in columns.phones] == [1]


@pytest.mark.parametrize(
    "heading",
    [
        *("Phone 1 - Label", "Phone Type", "Business Fax", "Pager", "Phone country code", "Mobile opt-in", "Phone verified"),
        *("Emergency contact phone", "Assistant's Phone", "Phone model", "WhatsApp group", "E-mail 1 - Value", "Number"),
    ],
)  # fmt: skip
def test_headings_of_something_else(heading: str) -> None:
    assert find_columns(["x", heading]) is None


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


def test_of_two_columns_for_a_field_the_first_known_name_counts(file: Path) -> None:
    file.write_text("status,phone,target_status,tz,time_zone\nmarried,2015550123,customer,UTC,Asia/Tokyo\n")
    lead = lead_of(file)
    assert (lead.target_status, lead.time_zone) == ("customer", "Asia/Tokyo")
    assert lead.attributes == {"status": "married", "tz": "UTC"}


@pytest.mark.parametrize(
    ("header", "row", "phone"),
    [
        ("Phone,Mobile", "2015550199,2015550123", PHONE),  # a landline stands first
        ("Mobile,Phone", ",2015550123", PHONE),
        ("Phone,Mobile", ",2015550123", PHONE),
        ("Mobile,Phone", "n/a,2015550123", PHONE),
        ("Phone,WhatsApp", "2015550199,2015550123", PHONE),
        ("WhatsApp,Phone", "yes,2015550123", PHONE),
        ("Business Phone,Home Phone", "2015550199,2015550123", PHONE),
        ("Phone,Fax", "2015550123,2015550199", PHONE),
        ("Phone,Phone Type,Mobile opt-in", "2015550123,Home,2015550199", PHONE),
        ("Phone,Mobile", "+60 12-345 6789,+60 3-2345 6789", "+60123456789"),  # the landline in the wrong column
        ("Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value", "Work,2015550199,Mobile,2015550123", PHONE),
        ("Phone 1 - Type,Phone 1 - Value,Phone 2 - Type,Phone 2 - Value", "Work,2015550123,Work,2015550199", PHONE),
    ],
)  # fmt: skip
def test_of_several_phones_the_best_that_can_be_used(file: Path, header: str, row: str, phone: str) -> None:
    file.write_text(f"{header}\n{row}\n")
    assert lead_of(file).phone == phone


def test_phones_that_a_row_does_not_use_stay_attributes(file: Path) -> None:
    file.write_text("Phone,Mobile\n2015550199,2015550123\n")
    assert lead_of(file).attributes == {"phone_2": "2015550199"}


def test_an_export_says_itself_what_is_what(file: Path) -> None:
    file.write_text(",".join(EXPORTED) + ",mobile,first_name,status\n2015550123,,,,,,,,,,2015550199,Ali,x\n")
    lead = lead_of(file)
    assert (lead.phone, lead.name) == (PHONE, "")
    assert lead.attributes == {"mobile": "2015550199", "first_name": "Ali", "status": "x"}


def test_first_and_last_name(file: Path) -> None:
    file.write_text("Phone,First Name,Last Name,Name\n2015550123,Aisha,Rahman,\n")
    lead = lead_of(file)
    assert lead.name == "Aisha Rahman"
    assert lead.attributes == {"first_name": "Aisha", "last_name": "Rahman"}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('="0123456789"', "0123456789"),
        ('"=""0123456789"""', "0123456789"),
        ('="say ""hi"""', 'say "hi"'),
        ("'=1+1", "=1+1"),
        ("''=1+1", "'=1+1"),
        ("'til", "'til"),
        ("=1+1", "=1+1"),
    ],
)
def test_what_spreadsheets_write_for_a_text(file: Path, cell: str, value: str) -> None:
    file.write_text(f"phone,name\n2015550123,{cell}\n")
    assert lead_of(file).name == value


@given(st.text(max_size=8) | st.from_regex("['=+@\t\r-]{1,3}[a-z0-9\"]{0,3}", fullmatch=True))
def test_a_guarded_value_is_harmless_and_comes_back(value: str) -> None:
    cell = guarded(value)
    assert unguarded(cell) == value
    assert not cell.startswith(("=", "@", "\t", "\r")), cell
    assert cell[:1] not in ("+", "-") or not set(cell) - set("+-0123456789 ().,")
    assert guarded_raw(cell) == cell


@pytest.mark.parametrize("value", ["+12015550123", "+1 (201) 555-0123", "-5", "3.5", "Ali", "", "a=b"])
def test_what_is_no_formula_stays_as_it_is(value: str) -> None:
    assert guarded(value) == value


def test_columns_that_somebody_names(file: Path) -> None:
    file.write_text("Ring,Who,Since,Status\n2015550123,Ali,yesterday,customer\n")
    chosen = parse_chosen(["phone=Ring", "name=Who", "status="])
    with RowFile(file, chosen) as rows:
        lead = rows.columns.read(next(rows).cells, "US").lead
    assert (lead.phone, lead.name, lead.target_status) == (PHONE, "Ali", None)
    assert lead.attributes == {"since": "yesterday", "status": "customer"}


def test_columns_that_somebody_names_in_order(file: Path) -> None:
    file.write_text("A;B;First;Last\n;2015550123;Ali;Abu\n")
    chosen = parse_chosen(["phone=a", "phone=b", "name=First", "name=Last"])
    with RowFile(file, chosen) as rows:
        lead = rows.columns.read(next(rows).cells, "US").lead
    assert (lead.phone, lead.name) == (PHONE, "Ali Abu")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["phone=Rang"], "leads.csv: there is no column 'Rang': the columns are 'Ring', 'Who'"),
        (["phne=Ring"], "'phne=Ring' does not name a field and its column, as phone='Phone 1 - Value' does: did you mean 'phone'?"),
        (["Ring"], "'Ring' does not name a field"),
        (["phone="], "leads.csv has no column for the phone among 'Ring', 'Who'"),
        (["phone=Ring", "niche=Who", "niche=Ring"], "the niches can be in one column only, not in 2"),
    ],
)  # fmt: skip
def test_a_typo_in_a_named_column_is_told_in_one_line(file: Path, texts: list[str], reason: str) -> None:
    file.write_text("Ring,Who\n2015550123,Ali\n")
    with pytest.raises(InvalidInput) as caught:
        RowFile(file, parse_chosen(texts))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


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
        ("2015550123,,,,Mars/Base", "'Mars/Base' is not an IANA time zone.*--map time_zone="),
        ("2015550123,a\x07b,,,", r"the name contains the control character U\+0007: delete it"),
        ("2015550123,a\x00b,,,", r"the name contains the control character U\+0000"),
        (f"2015550123,{'x' * 32_768},,,", "the name has 32,768 characters, at most 32,767"),
        (f"2015550123,a,{'x' * 65},,", "too long: a word has at most 64 characters"),
    ],
)
def test_rows_that_cannot_be_used(file: Path, row: str, reason: str) -> None:
    file.write_text(f"phone,name,trigger,target_status,tz\n{row}\n")
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


def test_links_in_a_circle_and_names_that_are_too_long(tmp_path: Path) -> None:
    circle, too_long = tmp_path / "circle.csv", tmp_path / ("x" * 300)
    circle.symlink_to(circle)
    for path, why in ((circle, "Too many levels of symbolic links"), (too_long, "File name too long")):
        with pytest.raises(InvalidInput, match=f"cannot be read: {why}"):
            read(path)
    with pytest.raises(InvalidInput, match="cannot be written: File name too long"), new_file(too_long):
        pass
    with new_file(circle) as writer:
        writer.write(["a"])
    assert circle.is_file(), "the file takes the place of a link that leads nowhere"
    longest = tmp_path / ("x" * 255)
    with new_file(longest) as writer:
        writer.write(["a"])
    assert longest.exists()


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
