"""The keys of private mode, what they make of phones, and the codec."""

import os
import stat
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

from messaging.common.errors import Conflict, InvalidInput
from messaging.common.private_keys import add_key, known_as, new_keys, read_keys, rotate, use_keys
from rig.people import phone
from temporal.codec import ENCODING, Codec, private_data_converter
from temporal.ids import campaign_lead_workflow_id, possible_ids, sequence_workflow_id


@pytest.fixture
def file(tmp_path: Path) -> Path:
    new_keys(tmp_path / "keys")
    return tmp_path / "keys"


def test_a_new_file_is_for_its_owner_and_is_never_written_over(file: Path) -> None:
    before = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="is there already"):
        new_keys(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ids is no key|no key in"),
        ("ids = 3", "no key in"),
        ('ids = "AAAA"\n[payloads]\na = "AAAA"', "is no key: 32 bytes in base64"),
        ("ids = ", "key new FILE"),
        ('id = "A"', "it has 'id'"),
        ("payloads = 1", "no key in"),
    ],
)
def test_a_file_that_is_none_is_said_to_be(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(InvalidInput, match=says):
        read_keys(path)


def test_what_others_may_read_or_is_not_there_is_refused(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(InvalidInput, match="others may read it: chmod 600"):
        read_keys(file)
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_keys(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(InvalidInput, match="'key new FILE' makes one"):
        read_keys(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        read_keys(tmp_path)


def test_a_pseudonym_is_the_same_after_a_rotation_and_another_by_another_key(
    file: Path, tmp_path: Path
) -> None:
    new_keys(tmp_path / "other")
    first, other = read_keys(file), read_keys(tmp_path / "other")
    add_key(file)
    rotate(file)
    rotated = read_keys(file)
    assert first.pseudonym(phone(1)) == rotated.pseudonym(phone(1)) != first.pseudonym(phone(2))
    assert first.check() == rotated.check() != other.check()
    assert first.pseudonym(phone(1)) != other.pseudonym(phone(1))
    assert phone(1)[1:] not in first.pseudonym(phone(1))
    with pytest.raises(InvalidInput):
        first.pseudonym("2015550123")


def test_ids_have_it_in_private_mode_only(file: Path) -> None:
    plain = f"campaign:sale:{phone(1)}"
    assert (campaign_lead_workflow_id("sale", phone(1)), possible_ids(plain)) == (plain, (plain,))
    keys = read_keys(file)
    use_keys(keys)
    try:
        assert known_as(phone(1)) == keys.pseudonym(phone(1))
        assert known_as(phone(1), private=False) == phone(1)
        assert sequence_workflow_id("story", phone(1)) == f"sequence:story:{keys.pseudonym(phone(1))}"
        assert possible_ids(plain) == (f"campaign:sale:{keys.pseudonym(phone(1))}", plain)
        assert possible_ids("campaign:sale:shard-3") == ("campaign:sale:shard-3",)
        assert possible_ids(f"sequence:story:{phone(1)}") == (f"sequence:story:{phone(1)}",)
    finally:
        use_keys(None)


async def test_the_codec_hides_all_and_reads_what_older_keys_and_nobody_encrypted(file: Path) -> None:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=phone(1).encode())
    (old,) = await Codec(read_keys(file)).encode([payload])
    with pytest.raises(Conflict, match="key add"):
        rotate(file)
    added = add_key(file)
    (still,) = await Codec(read_keys(file)).encode([payload])
    assert still.metadata["encryption-key-id"] == old.metadata["encryption-key-id"]
    assert rotate(file) == added
    codec = Codec(read_keys(file))
    (new,) = await codec.encode([payload])
    assert (await codec.encode([payload]))[0].data != new.data
    assert old.metadata["encryption-key-id"] != new.metadata["encryption-key-id"]
    for sealed in (old, new):
        assert sealed.metadata["encoding"] == ENCODING
        assert phone(1).encode() not in sealed.SerializeToString()
    assert await codec.decode([old, new, payload]) == [payload] * 3


async def test_what_cannot_be_decrypted_is_said_in_one_line(file: Path, tmp_path: Path) -> None:
    new_keys(tmp_path / "other")
    (sealed,) = await Codec(read_keys(file)).encode([Payload(data=b"x")])
    with pytest.raises(InvalidInput, match="which DRUMBEAT_PRIVATE_KEYS does not have"):
        await Codec(read_keys(tmp_path / "other")).decode([sealed])
    changed = Payload(metadata=sealed.metadata, data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    for broken in (changed, Payload(metadata=sealed.metadata, data=b"short")):
        with pytest.raises(InvalidInput, match="cannot be decrypted"):
            await Codec(read_keys(file)).decode([broken])


async def test_failures_are_encrypted_too(file: Path) -> None:
    from temporalio.api.failure.v1 import Failure
    from temporalio.exceptions import ApplicationError

    converter, failure = private_data_converter(read_keys(file)), Failure()
    await converter.encode_failure(ApplicationError(f"no {phone(1)}", phone(2)), failure)
    assert phone(1).encode() not in failure.SerializeToString()
    assert phone(2).encode() not in failure.SerializeToString()
    assert str(await converter.decode_failure(failure)) == f"no {phone(1)}"
