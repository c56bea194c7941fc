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

import cli.lead
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

    def run(work: Callable[[Drumbeat], Awaitable[Any]], *, temporal: bool = True) -> Any:
        async def connected() -> Any:
            connection = Drumbeat(Settings(), addresses, cast("Client", None))
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())

    async def add_device() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("insert into devices (id, gateway) values ('d1', 'simulated')")
        await connection.close()

    asyncio.run(add_device())
    monkeypatch.setattr(cli.lead, "run", run)

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


def test_names_are_printed_as_they_are(lead: Lead, tmp_path: Path) -> None:
    lead("import", str(write(tmp_path / "a.csv", "phone,name", "+12015550101,[red]:smile: {{ name }}")))
    assert "name: [red]:smile: {{ name }}\n" in lead("show", "+12015550101")


def test_an_export_to_standard_output_has_no_room_for_json(lead: Lead) -> None:
    assert CliRunner().invoke(cli.lead.app, ["export", "-", "--json"]).exit_code == 2
