"""The keys of private mode, and the names under which Temporal knows people."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from messaging.common.errors import InvalidInput, InvalidPhone
from messaging.common.private import (
    alias_of,
    derived_key,
    hidden_id,
    is_alias,
    is_on,
    new_keys,
    parse_keys,
    pseudonym,
    use_keys,
)
from runtime.private_mode import read_keys, turn_on

PHONE = "+12015550123"
MESSAGE = "8d5b4f04-8f2b-5b0e-9d8c-0a6f4e2f1a11"
ONE, TWO = "A" * 43 + "=", "B" * 42 + "A="


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    use_keys(None)


def test_off_nothing_changes() -> None:
    assert not is_on()
    assert alias_of(PHONE) == PHONE
    assert hidden_id(f"sequence:vitac:{PHONE}") == f"sequence:vitac:{PHONE}"
    assert derived_key("tombstones") is None
    with pytest.raises(InvalidInput, match="DRUMBEAT_PRIVATE_KEYS"):
        pseudonym(PHONE)


def test_a_pseudonym_is_of_the_key_the_use_and_the_phone() -> None:
    keys = parse_keys(f"# by hand\npseudonyms {ONE}\npayloads 2026 {TWO}\n")
    use_keys(keys)
    name = alias_of(PHONE)
    assert is_alias(name)
    assert name == pseudonym(PHONE) == alias_of(PHONE)
    # HMAC-SHA256(HMAC-SHA256(key, "drumbeat/1/temporal"), phone), computed with openssl.
    assert name == "p-sf2ttf7gplu2mkn45gyx3dyxzspnmc4u"
    assert len({name, pseudonym(PHONE, "tombstones"), alias_of("+12015550124")}) == 3
    with pytest.raises(InvalidPhone):
        pseudonym("2015550123")
    assert derived_key("tombstones") == keys.derived("tombstones") != keys.derived("temporal")

    # Another key for payloads leaves the names as they are; another one for pseudonyms does not.
    use_keys(parse_keys(f"pseudonyms {ONE}\npayloads 2027 {'C' * 42}A=\npayloads 2026 {TWO}"))
    assert alias_of(PHONE) == name
    use_keys(parse_keys(f"pseudonyms {TWO}\npayloads 2026 {ONE}"))
    assert alias_of(PHONE) != name


def test_ids_of_workflows_name_nobody() -> None:
    use_keys(parse_keys(new_keys("2026")))
    name = alias_of(PHONE)
    assert hidden_id(f"sequence:vitac:{PHONE}") == f"sequence:vitac:{name}"
    assert hidden_id(f"campaign:sale:{PHONE}") == f"campaign:sale:{name}"
    of_message = hidden_id(f"message:{MESSAGE}")
    assert of_message.startswith("message:p-")
    assert MESSAGE not in of_message
    for other in ("campaign:sale", "campaign:sale:shard-3", "device:kl-1", "telling", of_message):
        assert hidden_id(other) == other


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it has no line 'pseudonyms KEY'"),
        (f"pseudonyms {ONE}", "it has no line 'payloads ID KEY'"),
        (f"pseudonyms {ONE}\npayloads 2026 {ONE}", "it has the same key twice"),
        (
            f"pseudonyms {ONE}\npseudonyms {TWO}",
            "line 2: there is a second key for pseudonyms: keep the first",
        ),
        (f"pseudonyms {ONE}\npayloads {TWO}", "line 2 must be 'pseudonyms KEY' or 'payloads ID KEY'"),
        ("pseudonyms short", "line 1: a key is 32 bytes in base64, as 'openssl rand -base64 32' prints them"),
        (f"payloads ä {ONE}", "line 1: the ID of a key must be 1 to 63 letters, digits, ., - or _"),
        (f"payloads a {ONE}\npayloads a {TWO}", "line 2: there are two keys with the ID a"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text + "\n" if text else " \n")
    path.chmod(0o600)
    with pytest.raises(InvalidInput) as error:
        read_keys(str(path))
    assert str(error.value) == f"the file of keys cannot be used: {problem}"
    assert ONE not in str(error.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(new_keys("2026"))
    path.chmod(0o644)
    with pytest.raises(InvalidInput, match="can be read by others"):
        turn_on(str(path))
    path.chmod(0o600)
    turn_on(str(path))
    assert is_on()
