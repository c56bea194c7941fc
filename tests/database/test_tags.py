"""Tags of leads: imported, changed, found, exported."""

from pathlib import Path

import pytest

from messaging.common.errors import InvalidInput
from messaging.leads.csv_columns import parse_chosen
from messaging.leads.csv_export import export_file
from messaging.leads.csv_import import ImportOptions, import_file
from messaging.leads.edits import edit_lead, parse_edits
from messaging.replies.renaming import rename_phone
from messaging.selection.leads import list_leads
from messaging.selection.selection import Selection
from rig.people import phone
from tests.support.lead_tables import write
from tests.support.scenario import Scenario


async def tags(scenario: Scenario) -> list[str | None]:
    rows = await scenario.pool.fetch("select attributes ->> 'tags' as tags from leads order by phone")
    return [row["tags"] for row in rows]


async def found(scenario: Scenario, where: str) -> list[str]:
    async with scenario.pool.acquire() as connection:
        page = await list_leads(connection, Selection(where=where), sort="phone")
    return [lead.phone for lead in page.leads]


async def test_tags_of_files_unite_and_come_back_from_an_export(scenario: Scenario, tmp_path: Path) -> None:
    pool, sentence = scenario.pool, "a sentence that somebody has written there " * 2
    file = write(
        tmp_path / "a.csv",
        "phone,Tags,city",
        f"{phone(0)},vip; Fair  2035,KL",
        f"{phone(1)},,KL",
        f"{phone(2)},new,KL",
        f'{phone(2)},"VIP,new",KL',
        f"{phone(3)},{sentence},KL",
    )
    summary = await import_file(pool, file)
    assert (summary.columns["tags"], summary.imported, summary.rejected) == (("Tags",), 4, 0)
    assert summary.notes == (), "no row of the same phone has lost its tags"
    assert await tags(scenario) == ["VIP, FAIR 2035", None, "NEW, VIP", sentence.strip()]
    assert (await import_file(pool, file)).unchanged == 4
    more = write(tmp_path / "b.csv", "phone,Labels,tags", f"{phone(0)},fair 2035,x", f"{phone(1)},gold,y")
    options = ImportOptions(columns=parse_chosen(["tags=Labels"]))
    assert (await import_file(pool, more, options)).updated == 2
    assert (await tags(scenario))[:2] == ["VIP, FAIR 2035", "GOLD"]
    assert (
        await pool.fetchval("select attributes ->> 'tags_2' from leads where phone = $1", phone(0)) == "x"
    ), "a column of that name that is not for them stays a column"
    before = await tags(scenario)
    await export_file(pool, tmp_path / "out.csv")
    assert (await import_file(pool, tmp_path / "out.csv")).updated == 0
    await pool.execute("delete from leads")
    await import_file(pool, tmp_path / "out.csv")
    assert await tags(scenario) == before


async def test_tags_are_changed_and_found(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(3)
    async with scenario.pool.acquire() as connection:

        async def change(number: str, *texts: str) -> dict[str, str]:
            return (await edit_lead(connection, number, parse_edits(texts))).after

        assert await change(phone(0), "tag+=vip, gold") == {"tags": "VIP, GOLD"}
        assert await change(phone(0), "tags+=VIP") == {}
        assert await change(phone(1), "tags=new") == {"tags": "NEW"}
        assert await change(phone(0), "tag-=Gold") == {"tags": "VIP"}
        for wrong in ("attribute.tags+=x", "city+=x"):
            with pytest.raises(InvalidInput, match="only niches, triggers and tags are lists"):
                parse_edits([wrong])
    for where, numbers in (
        ("tag = vip", [0]),
        ("tags has VIP", [0]),
        ("tag in (vip, new)", [0, 1]),
        ("not tag = vip", [1, 2]),
        ("tags is empty", [2]),
        ("tag like 'V*'", [0]),
    ):
        assert await found(scenario, where) == [phone(number) for number in numbers], where
    async with scenario.pool.acquire() as connection:
        await rename_phone(connection, phone(0), phone(1))
        assert (await edit_lead(connection, phone(1), parse_edits(["tags="]))).before == {"tags": "VIP, NEW"}
    assert await tags(scenario) == [None, None]
