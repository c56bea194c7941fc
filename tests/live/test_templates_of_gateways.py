"""Templates that a gateway knows: from the file, by the ledger, to the request; and texts that it would refuse."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from messaging.campaigns.apply import apply_campaigns
from messaging.campaigns.file import read_campaign
from messaging.common.database import Pool
from messaging.devices.device import DeviceSettings
from messaging.devices.store import add_device
from messaging.files.approved_template import TemplateFile
from messaging.sequences.apply import apply_sequences
from messaging.sequences.file import read_sequence
from messaging.texts.approved import render_template
from messaging.texts.liquid import TemplateProblem
from operations import campaigns
from rig.people import phone
from rig.waiting import until
from tests.support.campaigns import finished
from tests.support.live import Live

HEAD = "campaign: sale\ntarget: {status: all}\ntext: Hi\n"
TEMPLATE = """template:
  name: half_price
  language: en_US
  parameters: ["{{ name | default: 'there' }}", "50 %"]
"""
STEPS = "sequence: story\nsteps:\n  - id: a\n    day: 1\n    text: Hi\n"


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (
            "template: half_price\n",
            "sale.yaml:4: template: holds no fields, write them as 'name: value' lines",
        ),
        ("template: {name: a}\n", "sale.yaml:4: template.language: is missing"),
        (
            "template: {name: Half Price, language: en}\n",
            "sale.yaml:4: template.name: 'Half Price' is not a template's name: it has small letters, digits and _ only",
        ),
        (
            "template: {name: a, language: english}\n",
            "sale.yaml:4: template.language: 'english' is not a template's language, write one such as en or en_US",
        ),
        (
            "template: {name: a, language: en, parameter: [x]}\n",
            "sale.yaml:4: template.parameter: is no field here; did you mean 'parameters'?",
        ),
        (
            'template: {name: a, language: en, parameters: ["{{ name"]}\n',
            "sale.yaml:4: template.parameters[0]: the template does not work: ",
        ),
        (
            f"template: {{name: a, language: en, parameters: [{'x, ' * 101}]}}\n",
            "sale.yaml:4: template.parameters: has more than 100 items, or more than 4,096 characters in all of them",
        ),
        (
            'template: {name: a, language: en, parameters: ["{{ nmae }}"]}\n',
            "sale.yaml:4: template.parameters[0]: ",
        ),
    ],
)
async def test_says_what_is_wrong_with_a_template(pool: Pool, template: str, line: str) -> None:
    draft = read_campaign(HEAD + template, "sale.yaml")
    async with pool.acquire() as connection:
        with pytest.raises(Exception) as raised:
            await apply_campaigns(connection, [draft])
    (found,) = str(raised.value).splitlines()
    assert found.startswith(line)


async def test_a_template_is_stored_compared_and_edited(pool: Pool) -> None:
    async with pool.acquire() as connection:

        async def apply(source: str) -> tuple[str, tuple[str, ...]]:
            (applied,) = await apply_campaigns(connection, [read_campaign(HEAD + source, "sale.yaml")])
            return applied.result, applied.changes

        assert (await apply(TEMPLATE))[0] == "created"
        assert await apply(TEMPLATE) == ("unchanged", ())
        assert await apply("") == ("changed", ("template: half_price (en_US) → none",))
        assert await apply(TEMPLATE) == ("changed", ("template: none → half_price (en_US)",))

        async def step(source: str) -> tuple[str, tuple[str, ...]]:
            (applied,) = await apply_sequences(connection, [read_sequence(STEPS + source, "story.yaml")])
            return applied.result, applied.changes

        indented = "".join(f"    {line}\n" for line in TEMPLATE.splitlines())
        assert (await step(""))[0] == "created"
        assert await step(indented) == ("changed", ("template of step 'a': none → half_price (en_US)",))
        assert await step(indented) == ("unchanged", ())


async def test_warns_of_free_text_that_most_will_not_get(pool: Pool) -> None:
    options = {"phone_number_id": "1", "token_env": "TOKEN"}
    async with pool.acquire() as connection:
        await add_device(connection, DeviceSettings(id="sim", gateway="simulated"))
        await add_device(connection, DeviceSettings(id="meta", gateway="cloud-api", options=options))

        async def warnings(source: str) -> list[str]:
            (applied,) = await apply_campaigns(connection, [read_campaign(source, "sale.yaml")])
            return [line for line in applied.warnings if "24 hours" in line]

        (line,) = await warnings(HEAD)
        assert line.startswith(
            "sale.yaml:1: template: warning: is missing, and by device meta a text reaches only"
        )
        assert await warnings(HEAD + TEMPLATE) == []
        assert await warnings("campaign: sim\ntarget: {devices: [sim]}\ntext: Hi\n") == []
        (applied,) = await apply_sequences(connection, [read_sequence(STEPS, "story.yaml")])
        (line,) = [line for line in applied.warnings if "24 hours" in line]
        assert line.startswith("story.yaml:3: steps[0].template: warning: is missing, and by device meta")
        longer = STEPS + "  - {id: b, after: 1h, text: Hi}\n  - {id: c, after: 1h, text: Hi}\n"
        (applied,) = await apply_sequences(connection, [read_sequence(longer, "story.yaml")])
        (line,) = [line for line in applied.warnings if "24 hours" in line]
        assert "template: warning: is missing in 3 steps (a, b, c), and by device meta" in line


def test_a_parameter_is_one_line_and_never_empty() -> None:
    template = TemplateFile(name="a", language="en", parameters=["{{ name }}"])
    assert render_template(template, {"name": " Aisha\n\tbinti  Ali "}).parameters == ("Aisha binti Ali",)
    with pytest.raises(TemplateProblem, match="parameter 1 of the template a is empty for this lead"):
        render_template(template, {"name": " "})


@dataclass
class Meta:
    """A server that speaks as Meta's does, as far as these tests go."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        if self.error is not None:
            return web.json_response({"error": self.error}, status=404)
        return web.json_response(
            {"messaging_product": "whatsapp", "messages": [{"id": f"wamid.{len(self.bodies)}"}]}
        )


@asynccontextmanager
async def meta_server() -> AsyncIterator[Meta]:
    meta = Meta()
    application = web.Application()
    application.router.add_post("/v23.0/{id}/messages", meta.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    meta.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield meta
    finally:
        await runner.cleanup()


async def test_a_campaign_whose_template_is_wrong_waits_for_everybody_and_goes_on(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_TOKEN", "secret-token")
    async with meta_server() as meta:
        options = {"phone_number_id": "1", "token_env": "META_TOKEN", "url": meta.url}
        settings = DeviceSettings(
            id=live.scenario.device, gateway="cloud-api", options=options, min_delay=0.1, max_delay=0.2
        )
        async with live.scenario.pool.acquire() as connection:
            await add_device(connection, settings)
        await live.scenario.add_leads(6)
        await live.scenario.apply_campaign(HEAD + TEMPLATE)
        meta.error = {
            "message": "(#132001) Template name does not exist",
            "type": "OAuthException",
            "code": 132001,
        }
        await live.start_worker()
        await campaigns.start(live.connection, "sale")

        async def held() -> bool:
            return (await campaigns.campaign_status(live.connection, "sale")).status == "paused"

        await until(held)
        code, out, _ = await live.run("starter.py", "status", COLUMNS="500")
        assert code == 0
        (line,) = [line for line in out.splitlines() if line.startswith("! campaign sale is paused: ")]
        assert "132001" in line
        status = await campaigns.campaign_status(live.connection, "sale")
        assert (status.messages.unsettled, status.messages.failed) == (6, 0), "nobody was refused one by one"
        assert len(meta.bodies) < 6
        meta.error = None
        meta.bodies.clear()
        await campaigns.resume(live.connection, "sale")
        assert (await finished(live)).messages.sent == 6
        assert sorted(body["to"] for body in meta.bodies) == sorted(phone(index) for index in range(6))
        body = meta.bodies[0]
        assert (body["type"], body["template"]["name"]) == ("template", "half_price")
        texts = [one["text"] for one in body["template"]["components"][0]["parameters"]]
        assert texts in [[f"Lead {index}", "50 %"] for index in range(6)]
        (row, *_) = await live.scenario.messages()
        assert row["content"].startswith("[half_price en_US] Lead ")
        history = await live.connection.temporal.get_workflow_handle(
            f"campaign:sale:{phone(0)}"
        ).fetch_history()
        assert "secret-token" not in json.dumps(history.to_json_dict())
        assert "secret-token" not in live.log.read_text()
