"""``lead`` on the command line. Errors and exit codes are the console's, for all commands alike."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest
from temporalio.client import Client
from typer.testing import CliRunner

import cli.app
import cli.enroll
import cli.lead
import cli.lead_changes
import cli.selection
from operations.connection import Drumbeat
from runtime.servers import Addresses
from runtime.settings import Settings
from tests.support.lead_tables import write

EXAMPLE = Path(__file__).parents[2] / "examples" / "leads.csv"

Lead = Callable[..., str]


@pytest.fixture
def lead(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Lead:
    """The command, on the test's database. It has no Temporal: leads need none."""
    addresses = Addresses(
        database_url=database_url,
        temporal_address="",
        namespace="default",
        ui_url=None,
        simulator_url=None,
        embedded=False,
    )

    def run(work: Callable[[Drumbeat], Awaitable[Any]], *, temporal: bool = True, **_: Any) -> Any:
        async def connected() -> Any:
            connection = Drumbeat(Settings(), addresses, cast("Client", None))
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())

    async def add_device() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "insert into devices (id, gateway) values ('d1', 'simulated'), ('d2', 'simulated')"
        )
        await connection.close()

    asyncio.run(add_device())
    for module in (cli.enroll, cli.lead, cli.lead_changes, cli.selection):
        monkeypatch.setattr(module, "run", run)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(cli.lead.app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        return result.stdout

    return invoke


def test_import_show_and_export(lead: Lead, tmp_path: Path) -> None:
    rejects = tmp_path / "r.csv"
    arguments = (
        "import",
        str(EXAMPLE),
        "--device",
        "d1",
        "--default-region",
        "US",
        "--rejects",
        str(rejects),
    )
    text = lead(*arguments)
    assert "61 rows = 55 new leads + 0 updated + 0 unchanged + 3 repeats + 3 rejected" in text
    assert f"rejected rows with the reasons: {rejects}" in text
    summary = json.loads(lead(*arguments, "--json"))
    assert (summary["rows"], summary["unchanged"], summary["rejected"]) == (61, 55, 3)

    shown = lead("show", "(312) 555-0102", "--default-region", "US")
    assert "name: Tom Whitfield\n" in shown
    assert "company: Whitfield & Sons, Inc.\n" in shown
    assert json.loads(lead("show", "+13125550102", "--json"))["triggers"] == ["COLDVITAC", "EXSTART"]

    assert lead("export", str(tmp_path / "out.csv")).strip().endswith("out.csv: 55 leads")
    assert json.loads(lead("export", str(tmp_path / "out.csv"), "--json"))["leads"] == 55
    written = (tmp_path / "out.csv").read_bytes().decode("utf-8-sig")
    assert lead("export", "-") == written.replace("\r\n", "\n")  # as the runner shows it


def test_many_leads_are_changed_by_a_filter(lead: Lead, tmp_path: Path) -> None:
    rows = [f"+1201555010{index},{'KL' if index < 3 else 'Ipoh'},VIP" for index in range(5)]
    lead("import", str(write(tmp_path / "a.csv", "phone,city,tags", *rows)), "--device", "d1")
    lead("set", "+12015550100", "tag+=new")
    preview = lead("set", "--where", "city = KL", "tag+=new", "--dry-run")
    assert preview.splitlines()[0] == "set tag+=new for 3 leads:"
    assert preview.splitlines()[-1] == "nothing was changed"
    changed = lead("set", "--where", "city = KL", "tag+=new", "score=7", "--yes")
    assert changed == "3 leads changed\nno lead had a column 'score' before\n"
    again = lead("set", "--where", "city = KL", "tag+=new", "--yes")
    assert again == "0 leads changed; 3 had nothing to change\n"
    assert json.loads(lead("list", "--where", "tag = new", "--json"))["total"] == 3
    assert "VIP, NEW" in lead("list", "--where", "tag = new")
    for wrong in (["set", "tag+=x"], ["set", "+12015550100", "tag+=x", "--yes"]):
        assert CliRunner().invoke(cli.lead.app, wrong).exit_code == 2


def test_an_import_of_which_nothing_is_left_fails(lead: Lead, tmp_path: Path) -> None:
    del lead
    for rows, code in ((("12",), 1), (("12", "+12015550101"), 0), ((), 0)):
        file = write(tmp_path / "a.csv", "phone", *rows)
        result = CliRunner().invoke(cli.lead.app, ["import", str(file)])
        assert (result.exit_code, "rejected" in result.stdout) == (code, True), result.output


def test_names_are_printed_as_they_are(lead: Lead, tmp_path: Path) -> None:
    lead("import", str(write(tmp_path / "a.csv", "phone,name", "+12015550101,[red]:smile: {{ name }}")))
    assert "name: [red]:smile: {{ name }}\n" in lead("show", "+12015550101")


def test_an_export_to_standard_output_has_no_room_for_json(lead: Lead) -> None:
    assert CliRunner().invoke(cli.lead.app, ["export", "-", "--json"]).exit_code == 2


def test_leads_are_listed_changed_and_moved(
    lead: Lead, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert lead("list") == "there is no lead yet: import some with 'lead import FILE.csv'\n"
    file = write(
        tmp_path / "a.csv", "phone,name,city,niche", "+12015550101,Aisha,KL,VITAC", "+12015550102,Ben,Ipoh,SKIN",
        "+12015550103,Carl,KL,",
    )  # fmt: skip
    lead("import", str(file), "--device", "d1")
    assert lead("list", "--where", "city = KL", "--sort", "-name").splitlines() == [
        "PHONE         NAME   NICHES  STATUS    DEVICE",
        "+12015550103  Carl           prospect  d1",
        "+12015550101  Aisha  VITAC   prospect  d1",
        "1 to 2 of 2 leads",
    ]
    assert lead("list", "--limit", "1", "--page", "2").splitlines()[1:] == [
        "+12015550102  Ben   SKIN    prospect  d1",
        "2 to 2 of 3 leads; --page for more, --csv for all",
    ]
    assert lead("list", "--where", "city = Ipo") == "no lead matches city = Ipo: did you mean 'Ipoh'?\n"
    assert lead("list", "--where", "city = KL and city = Ipoh") == "no lead matches\n"
    assert lead("list", "--page", "2") == "no lead on this page; there are 3\n"
    listed = json.loads(lead("list", "--where", "city = Ipoh", "--json"))
    assert (listed["total"], [one["attributes"] for one in listed["leads"]]) == (1, [{"city": "Ipoh"}])
    written = lead("list", "--where", "city = Ipoh", "--limit", "1", "--csv").splitlines()
    assert [line.split(",")[0] for line in written] == ["phone", "+12015550102"]
    lead("export", str(tmp_path / "out.csv"), "--where", "niche has VITAC")
    assert (tmp_path / "out.csv").read_text().count("+1201") == 1

    assert lead("set", "+1 201 555 0102", "city=KL", "niche+=VITAC", "name=") == (
        "+12015550102: name: Ben → (empty)\n+12015550102: niches: SKIN → SKIN, VITAC\n+12015550102: city: Ipoh → KL\n"
    )
    assert lead("set", "+12015550102", "city=KL") == "+12015550102: nothing had to change\n"
    assert lead("set", "+12015550102", "ctiy=KL") == (
        "+12015550102: ctiy: (empty) → KL\nno lead had a column 'ctiy' before: did you mean 'city'?\n"
    )
    assert lead("set", "+12015550102", "ctiy=") == "+12015550102: ctiy: KL → (empty)\n"
    assert lead("list", "--where", "city = KL").splitlines()[-1] == "1 to 3 of 3 leads"

    asked = CliRunner().invoke(cli.lead.app, ["list", "--csv", "--json"])
    assert asked.exit_code == 2
    one = ["move", "+12015550102", "--to", "d2"]
    for arguments in (
        ["move", "--to", "d1"],
        [*one, "--where", "city = KL"],
        [*one, "--dry-run"],
        [*one, "--yes"],
    ):
        assert CliRunner().invoke(cli.lead.app, arguments).exit_code == 2, arguments
    assert json.loads(lead("show", "+12015550102", "--json"))["device_id"] == "d1"
    for option in ("--dry-run", "--yes"):
        refused = CliRunner().invoke(cli.app.app, ["opt-out", "+12015550102", option])
        assert (refused.exit_code, f"{option} is for many leads" in refused.output) == (2, True)
    asked = CliRunner().invoke(cli.lead.app, ["move", "--where", "city = Ipoh", "--to", "d2"])
    assert asked.exit_code == 1
    assert str(asked.exception) == "no lead matches city = Ipoh: known are KL"
    asked = CliRunner().invoke(cli.lead.app, ["move", "--where", "city = KL", "--to", "d1", "--dry-run"])
    assert (
        asked.output.splitlines()[0]
        == "move 0 leads to device d1: 3 leads match, all belong to that device already"
    )
    found = json.loads(lead("move", "--where", "city = KL", "--to", "d2", "--dry-run", "--json"))
    assert (found["count"], found["examples"][0]["phone"]) == (3, "+12015550101")
    assert lead("move", "--where", "name is empty", "--to", "d2", "--yes") == (
        "moved 1 lead, 0 contacts under way, 0 waiting messages\n"
    )
    assert lead("list", "--device", "d2").splitlines()[1].startswith("+12015550102")
    asyncio.run(_add_campaign(database_url))
    pauses = ["pause", "--where", "city = KL"]
    held = "campaigns are not held: 3 messages of campaign sale wait for these people; 'campaign pause sale' holds it"
    asked = CliRunner().invoke(cli.app.app, [*pauses, "--dry-run"])
    assert asked.output.splitlines() == [
        "pause 0 contacts: 3 leads match, none is in a sequence now", held, "nothing was changed",
    ]  # fmt: skip
    asked = CliRunner().invoke(cli.app.app, [*pauses, "--yes"])
    assert (asked.exit_code, asked.output.splitlines()) == (
        0, ["0 contacts paused", "3 leads match, none is in a sequence now", held],
    )  # fmt: skip


async def _add_campaign(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "with k as (insert into campaigns (name, text, status) values ('sale', 'x', 'running') returning id)"
        " insert into broadcast_messages (id, campaign_id, lead_id, recipient_phone, device_id, due_at, campaign_shard,"
        " campaign_position) select gen_random_uuid(), k.id, l.id, l.phone, l.device_id, now(), 0, l.id from k, leads l"
    )
    await connection.close()
