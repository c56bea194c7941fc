"""The file of a campaign: each way to get it wrong, and the line that says so."""

from datetime import datetime

import pytest

from messaging.campaigns.file import CampaignFile, TargetFile, read_campaign

HEAD = "campaign: launch\ntarget: {status: all}\n"
"""What a file needs beside its text; the next field stands on line 3."""


def lines_of(source: str) -> list[str]:
    """The problems of a file as they are shown."""
    draft = read_campaign(source, "launch.yaml")
    assert (draft.campaign is None) == bool(draft.document.problems)
    return [str(problem) for problem in sorted(draft.document.problems)]


def read(source: str) -> CampaignFile:
    """A file that can be used."""
    draft = read_campaign(source, "launch.yaml")
    assert draft.document.problems == []
    assert draft.campaign is not None
    return draft.campaign


def of(*fields: str) -> str:
    """A file with these fields from line 3 on, and a text after them."""
    return HEAD + "".join(f"{field}\n" for field in fields) + "text: Hello\n"


def of_target(target: str) -> str:
    """A file with this target on line 2."""
    return f"campaign: launch\ntarget: {target}\ntext: Hello\n"


EVERYBODY = "write 'target: {status: all}' if every lead is meant"
FIELDS = f"known are {', '.join(CampaignFile.model_fields)}"
NOT_A_NAME = (
    "cannot be a name: use 1 to 64 letters, digits, '.', '-' and '_', beginning with a letter or digit"
)
NO_TIME = "is not a date with a time, write e.g. 2035-11-23 10:00"
OFFSET = "has an offset, write the local time alone, and whose it is as 'timezone'"
NO_NUMBER = "is not a number of seconds, write e.g. 5 or 2.5"
NO_IMAGE = "is not the address of an image, write one that begins with https://"
ZONE = "timezone: UTC"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", "launch.yaml:1: holds no fields, write them as 'name: value' lines"),
        ("- a\n", "launch.yaml:1: holds no fields, write them as 'name: value' lines"),
        ("target: {status: all}\ntext: x\n", "launch.yaml:1: campaign: is missing"),
        (
            "campaign: the launch\ntarget: {status: all}\ntext: x\n",
            f"launch.yaml:1: campaign: 'the launch' {NOT_A_NAME}",
        ),
        (
            "campaign: 7\ntarget: {status: all}\ntext: x\n",
            'launch.yaml:1: campaign: 7 is not a text, put it in quotes: "7"',
        ),
        (of("titel: x"), "launch.yaml:3: titel: is no field here; did you mean 'title'?"),
        (of("1: x"), f"launch.yaml:3: 1: is no field here; {FIELDS}"),
        (of("title: 5"), 'launch.yaml:3: title: 5 is not a text, put it in quotes: "5"'),
        (of("campaign: again"), "launch.yaml:3: campaign: is given twice, first on line 1"),
        # whom it goes to
        ("campaign: launch\ntext: x\n", f"launch.yaml:1: target: is missing, {EVERYBODY}"),
        (of_target(""), f"launch.yaml:2: target: is missing, {EVERYBODY}"),
        (of_target("{}"), f"launch.yaml:2: target: says nothing, {EVERYBODY}"),
        (of_target("{niche: }"), f"launch.yaml:2: target: says nothing, {EVERYBODY}"),
        (of_target("all"), "launch.yaml:2: target: holds no fields, write them as 'name: value' lines"),
        (
            of_target("{nich: VITAC}"),
            "launch.yaml:2: target.nich: is no field here; did you mean 'niche'?",
        ),
        (
            of_target("{trigger: VITAC}"),
            "launch.yaml:2: target.trigger: is no field here; known are niche, status, devices",
        ),
        (
            of_target("{niche: 'A, B'}"),
            "launch.yaml:2: target.niche: 'A, B' is not a niche, write one word without commas, e.g. VITAMINS",
        ),
        (
            of_target("{niche: ' '}"),
            "launch.yaml:2: target.niche: ' ' is not a niche, write one word without commas, e.g. VITAMINS",
        ),
        (
            of_target("{status: prospects}"),
            "launch.yaml:2: target.status: 'prospects' is no status of leads, write prospect, customer or all",
        ),
        (
            of_target("{devices: kl-1}"),
            "launch.yaml:2: target.devices: is not a list, write each item on a line that begins with '- '",
        ),
        (
            of_target("{devices: []}"),
            "launch.yaml:2: target.devices: names no device, leave it out if every device is meant",
        ),
        (of_target("{devices: [kl 1]}"), f"launch.yaml:2: target.devices[0]: 'kl 1' {NOT_A_NAME}"),
        (
            of_target("{devices: [1]}"),
            'launch.yaml:2: target.devices[0]: 1 is not a text, put it in quotes: "1"',
        ),
        (
            of_target("\n  devices:\n    - kl-1\n    - kl-2\n    - kl-1"),
            "launch.yaml:6: target.devices[2]: 'kl-1' stands here twice, once is enough",
        ),
        # when
        (
            of("scheduled_at: 2026-11-27T10:00Z", ZONE),
            f"launch.yaml:3: scheduled_at: '2026-11-27T10:00Z' {OFFSET}",
        ),
        (
            of("scheduled_at: 2026-11-27T10:00:00+08:00", ZONE),
            f"launch.yaml:3: scheduled_at: '2026-11-27T10:00:00+08:00' {OFFSET}",
        ),
        (
            of("scheduled_at: 2026-11-27 10:00 -3", ZONE),
            f"launch.yaml:3: scheduled_at: '2026-11-27 10:00 -3' {OFFSET}",
        ),
        (
            of("scheduled_at: 2026-11-27 10:00 utc", ZONE),
            f"launch.yaml:3: scheduled_at: '2026-11-27 10:00 utc' {OFFSET}",
        ),
        (
            of("scheduled_at: 2026-02-30 10:00", ZONE),
            "launch.yaml:3: scheduled_at: 2026-02-30 is a day that does not exist",
        ),
        (
            of("scheduled_at: 2026-13-01 10:00", ZONE),
            "launch.yaml:3: scheduled_at: 2026-13-01 is a day that does not exist",
        ),
        (
            of("scheduled_at: 2026-11-27 24:00", ZONE),
            "launch.yaml:3: scheduled_at: '24:00' is not a time of day, write HH:MM, e.g. \"10:00\"",
        ),
        (
            of("scheduled_at: 0001-01-01 00:00", ZONE),
            "launch.yaml:3: scheduled_at: 0001 is no year for a campaign, write one such as 2035",
        ),
        (
            of("scheduled_at: 9999-12-31 23:59", ZONE),
            "launch.yaml:3: scheduled_at: 9999 is no year for a campaign, write one such as 2035",
        ),
        (of("scheduled_at: 2026-11-27", ZONE), f"launch.yaml:3: scheduled_at: '2026-11-27' {NO_TIME}"),
        (of("scheduled_at: tomorrow", ZONE), f"launch.yaml:3: scheduled_at: 'tomorrow' {NO_TIME}"),
        (of("scheduled_at: 20261127", ZONE), f"launch.yaml:3: scheduled_at: 20261127 {NO_TIME}"),
        (
            of("scheduled_at: 2026-11-27 10:00"),
            (
                "launch.yaml:1: timezone: is missing, and scheduled_at is a local time:"
                " give a zone such as Asia/Kuala_Lumpur, or recipient"
            ),
        ),
        (
            of("timezone: Asia/Kuala_Lumpr"),
            "launch.yaml:3: timezone: 'Asia/Kuala_Lumpr' is not an IANA time zone, did you mean 'Asia/Kuala_Lumpur'?",
        ),
        (
            of("timezone: UTC+8"),
            "launch.yaml:3: timezone: 'UTC+8' is not an IANA time zone, write a place, e.g. Asia/Singapore, Asia/Kuala_Lumpur or Asia/Manila",
        ),
        (
            of("timezone: Recipients"),
            "launch.yaml:3: timezone: 'Recipients' is not a time zone, did you mean 'recipient'?",
        ),
        # how fast
        (of("min_delay: 5"), "launch.yaml:1: max_delay: is missing, min_delay needs it beside"),
        (of("max_delay: 5"), "launch.yaml:1: min_delay: is missing, max_delay needs it beside"),
        (
            of("min_delay: 2.5", "max_delay: 2.4"),
            "launch.yaml:4: max_delay: 2.4 s is less than min_delay, which is 2.5 s",
        ),
        (of("min_delay: 5s", "max_delay: 9"), f"launch.yaml:3: min_delay: '5s' {NO_NUMBER}"),
        (of("min_delay: true", "max_delay: 9"), f"launch.yaml:3: min_delay: True {NO_NUMBER}"),
        (of("min_delay: 1", "max_delay: inf"), f"launch.yaml:4: max_delay: 'inf' {NO_NUMBER}"),
        (of("min_delay: 1", "max_delay: .nan"), f"launch.yaml:4: max_delay: '.nan' {NO_NUMBER}"),
        (of("min_delay: 1", "max_delay: 1e3"), f"launch.yaml:4: max_delay: '1e3' {NO_NUMBER}"),
        (
            of("min_delay: -1", "max_delay: 9"),
            "launch.yaml:3: min_delay: -1 is no number of seconds from 0 to 86,400",
        ),
        (
            of("min_delay: -0.5", "max_delay: 9"),
            "launch.yaml:3: min_delay: -0.5 is no number of seconds from 0 to 86,400",
        ),
        (
            of("min_delay: 1", "max_delay: 86400.5"),
            "launch.yaml:4: max_delay: 86400.5 is no number of seconds from 0 to 86,400",
        ),
        (
            of("min_delay: 1", f"max_delay: 1{'0' * 300}"),
            f"launch.yaml:4: max_delay: 1{'0' * 300} is no number of seconds from 0 to 86,400",
        ),
        (
            of("fan_out: child"),
            "launch.yaml:3: fan_out: 'child' is not known here; did you mean 'children'?",
        ),
        (of("fan_out: fast"), "launch.yaml:3: fan_out: 'fast' is not known here; known are children, eager"),
        (
            of("if_passed: 2", "timezone: recipient", "scheduled_at: 2035-11-23 10:00"),
            "launch.yaml:3: if_passed: 2 is not known here; known are next_day, leave_out, send",
        ),
        (
            of("fan_out: [eager]"),
            "launch.yaml:3: fan_out: ['eager'] is not known here; known are children, eager",
        ),
        (of("fan_out: 2"), "launch.yaml:3: fan_out: 2 is not known here; known are children, eager"),
        # what
        (HEAD, "launch.yaml:1: text: is empty, write what is to be sent, or give an 'image'"),
        (f"{HEAD}text: ' '\n", "launch.yaml:3: text: is empty, write what is to be sent, or give an 'image'"),
        (f"{HEAD}text:\n", "launch.yaml:3: text: is empty, write what is to be sent, or give an 'image'"),
        (f"{HEAD}text: 5\n", 'launch.yaml:3: text: 5 is not a text, put it in quotes: "5"'),
        (
            f"{HEAD}text: {'x' * 4097}\n",
            "launch.yaml:3: text: has 4,097 characters, WhatsApp takes 4,096",
        ),
        (
            f"{HEAD}text: {'x' * 1025}\nimage: https://example.com/a.jpg\n",
            "launch.yaml:3: text: has 1,025 characters, WhatsApp takes 1,024 below an image",
        ),
        (of("image: a.jpg"), f"launch.yaml:3: image: 'a.jpg' {NO_IMAGE}"),
        (of("image: ftp://example.com/a.jpg"), f"launch.yaml:3: image: 'ftp://example.com/a.jpg' {NO_IMAGE}"),
    ],
)
def test_says_what_is_wrong(source: str, line: str) -> None:
    assert lines_of(source) == [line]


def test_tells_everything_at_once_and_in_order() -> None:
    source = (
        "campaign: the launch\n"
        "titel: X\n"
        "target:\n"
        "  nich: VITAC\n"
        "  devices: [a, a]\n"
        "scheduled_at: 2026-02-30 10:00\n"
        "min_delay: -1\n"
        "image: nowhere\n"
    )
    assert [tuple(line.split(": ")[:2]) for line in lines_of(source)] == [
        ("launch.yaml:1", "campaign"),
        ("launch.yaml:1", "max_delay"),
        ("launch.yaml:1", "timezone"),
        ("launch.yaml:2", "titel"),
        ("launch.yaml:4", "target.nich"),
        ("launch.yaml:5", "target.devices[1]"),
        ("launch.yaml:6", "scheduled_at"),
        ("launch.yaml:7", "min_delay"),
        ("launch.yaml:8", "image"),
    ]


def test_a_whole_file() -> None:
    source = (
        "campaign: vitac-launch\ntitle: The launch of Vita C\n"
        "target:\n  niche: ' vita  c '\n  status: Customer\n  devices: [kl-1, kl-2]\n"
        "scheduled_at: 2026-11-27T10:00\ntimezone: recipient\nmin_delay: 2.5\nmax_delay: 10\n"
        "image: https://example.com/a.jpg\ntext: |\n  Hi\n\n  https://example.com/?a=1&b=2\n"
    )
    assert read(source).model_dump() == {
        "campaign": "vitac-launch",
        "title": "The launch of Vita C",
        "target": {"niche": "VITA C", "status": "customer", "devices": ["kl-1", "kl-2"]},
        "scheduled_at": datetime(2026, 11, 27, 10),  # noqa: DTZ001 - a local time has no zone
        "timezone": "recipient",
        "until": None,
        "if_passed": "next_day",
        "min_delay": 2.5,
        "max_delay": 10.0,
        "fan_out": "children",
        "category": "marketing",
        "require_consent": False,
        "outside_window": "fail",
        "text": "Hi\n\nhttps://example.com/?a=1&b=2\n",
        "image": "https://example.com/a.jpg",
        "template": None,
    }


def test_what_is_not_said() -> None:
    campaign = read(HEAD + "title:\nimage: https://example.com/a.jpg\n")
    assert (campaign.title, campaign.text, campaign.timezone) == ("", "", "UTC")
    assert (campaign.scheduled_at, campaign.min_delay, campaign.max_delay) == (None, None, None)
    assert campaign.fan_out == "children"
    assert campaign.target == TargetFile(niche=None, status="all", devices=None)


@pytest.mark.parametrize("target", ["{niche: VITAC}", "{devices: [kl-1]}", "{status: all}"])
def test_one_word_on_whom_it_goes_to_is_enough(target: str) -> None:
    assert read(of_target(target)).target.status == "all"


def test_a_time_zone_alone_is_useless_but_allowed() -> None:
    assert read(of("timezone: Asia/Kuala_Lumpur")).timezone == "Asia/Kuala_Lumpur"


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("2026-11-27T10:00", (2026, 11, 27, 10, 0)),
        ("2026-11-27 10:00", (2026, 11, 27, 10, 0)),
        ('"2026-11-27 10:00"', (2026, 11, 27, 10, 0)),
        ("2026-11-27 9:05:30", (2026, 11, 27, 9, 5, 30)),
        ("2026-11-27t00:00:00", (2026, 11, 27, 0, 0)),
        ("2028-02-29 23:59", (2028, 2, 29, 23, 59)),
    ],
)
@pytest.mark.parametrize("directive", ["", "%YAML 1.1\n---\n"])
def test_local_times(directive: str, written: str, local: tuple[int, ...]) -> None:
    campaign = read(directive + of(f"scheduled_at: {written}", ZONE))
    assert campaign.scheduled_at is not None
    assert (campaign.scheduled_at.timetuple()[: len(local)], campaign.scheduled_at.tzinfo) == (local, None)


@pytest.mark.parametrize(
    ("least", "most", "delays"),
    [
        ("0", "0", (0.0, 0.0)),
        ("2.5", "2.5", (2.5, 2.5)),
        ('"2"', "10.25", (2.0, 10.25)),
        ("0.0", "86400", (0.0, 86_400.0)),
    ],
)
def test_delays(least: str, most: str, delays: tuple[float, float]) -> None:
    campaign = read(of(f"min_delay: {least}", f"max_delay: {most}"))
    assert (campaign.min_delay, campaign.max_delay) == delays
