"""What each command prints with --json, validated against the schema that is documented."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rig.people import phone
from rig.waiting import until
from tests.json_results import RESULTS
from tests.record_json import DOCUMENT
from tests.support.campaigns import CAMPAIGN, finished
from tests.support.live import Live

SCHEMA: dict[str, Any] = json.loads(DOCUMENT.read_text())

INTRO = """
sequence: intro
trigger: COLD
steps:
  - {id: hello, after: 0s, text: "Hi {{ name }}"}
  - {id: story, day: 2, text: Once}
"""

ELSEWHERE = {
    "alert retry",
    "alert secret",
    "alert test",
    "alert undelivered",
    "lead rename-phone",
    "upgrade back",
    "upgrade switch",
}
"""Tried with the alerts, with changed numbers, or with two versions."""


@pytest.mark.long
async def test_every_command_prints_what_the_schema_says(live: Live, tmp_path: Path) -> None:
    tried = set[str]()

    async def ask(command: str, *arguments: str, code: int = 0) -> Any:
        done, out, error = await live.run("starter.py", *command.split(), *arguments, "--json")
        assert done == code, error
        answer = json.loads(out)
        of = {**SCHEMA["properties"][command], "$defs": SCHEMA["$defs"]}
        Draft202012Validator(of).validate(answer)
        tried.add(command)
        return answer

    device = live.scenario.device
    await live.scenario.add_device()
    await live.scenario.add_leads(6)
    await live.scenario.pool.execute("update leads set triggers = '{COLD}' where phone = $1", phone(5))
    await live.start_worker()
    (tmp_path / "intro.yaml").write_text(INTRO)
    (tmp_path / "sale.yaml").write_text(CAMPAIGN.format(name="sale", more=""))
    (tmp_path / "leads.csv").write_text(f"phone,name,city\n{phone(7)},Aisha,KL\nnobody,Ben,KL\n")

    # Before the start.
    await ask("sequence apply", str(tmp_path / "intro.yaml"), "--dry-run")
    await ask("sequence apply", str(tmp_path / "intro.yaml"))
    await ask("campaign apply", str(tmp_path / "sale.yaml"))
    await ask("audience", "sale")
    await ask("preview", "sale")
    await ask("test-send", "intro", "--to", phone(9), "--lead", phone(0))
    await ask("campaign start", "sale", "--dry-run")
    await ask("campaign move", "sale", "2035-11-23 10:00 UTC")
    await ask("campaign status", "sale")

    # Leads and contacts.
    await ask("lead import", str(tmp_path / "leads.csv"), "--device", device)
    await ask("lead export", str(tmp_path / "out.csv"))
    await ask("lead set", phone(7), "city=Ipoh")
    await ask("lead show", phone(7))
    await ask("lead list", "--where", "city = Ipoh")
    assert (await ask("enroll", "intro", phone(0)))["result"] == "enrolled"
    await ask("enroll", "--trigger", "COLD")
    await ask("enroll", "intro", phone(1))

    async def said_hello() -> bool:
        sent = await live.scenario.pool.fetchval(
            "select count(*) from broadcast_messages where sequence_stepid is not null and status = 'sent'"
        )
        return bool(sent == 3)

    await until(said_hello, 30)
    await ask("preview", "intro")
    await ask("pause", "intro", phone(0))
    await ask("pause", "--where", "sequence = intro", "--dry-run")
    await ask("pause", "--where", "sequence = intro", "--yes")
    await ask("resume", "intro", phone(0))
    await ask("skip", "intro", phone(0), "story")
    await ask("stop", "intro", phone(1))
    await ask("opt-out", phone(1))
    await ask("lead move", phone(7), "--to", device)
    (tmp_path / "other.yaml").write_text(INTRO.replace("intro", "other").replace("COLD", "WARM"))
    await ask("sequence apply", str(tmp_path / "other.yaml"))
    await ask("move", "intro", "--where", f"phone = '{phone(5)}'", "--to", "other", "--dry-run")
    await ask("sequence pause", "other")
    await ask("sequence resume", "other")
    await ask("sequence list")
    await ask("sequence show", "intro")

    # The campaign.
    assert (await ask("campaign start", "sale", "--now", "--yes"))["changed"]
    await finished(live)
    await ask("campaign retry-failed", "sale")
    await ask("campaign list")
    await ask("campaign status", "sale")
    await ask("audience", "sale", "--only", "changed")
    (tmp_path / "later.yaml").write_text(
        CAMPAIGN.format(name="later", more="scheduled_at: 2035-01-01 10:00\ntimezone: UTC")
    )
    await ask("campaign apply", str(tmp_path / "later.yaml"))
    await ask("campaign start", "later", "--yes")
    await ask("campaign pause", "later")
    await ask("campaign resume", "later")
    await ask("campaign cancel", "later")

    # What can be seen.
    await ask("status")
    await ask("contact show", phone(0))
    await ask("contact export", phone(0))
    await ask("why", phone(1))
    sent = await ask("messages", "--status", "sent")
    await ask("message list", "--status", "cancelled")
    await ask("message resolve", sent[0]["id"])
    await ask("events")
    await ask("audit")
    await ask("inbox")
    await ask("inbox done", "--all", "--yes")
    for report in (("campaign", "sale"), ("sequence", "intro"), ("device", device), ("week",)):
        await ask(f"report {report[0]}", *report[1:])

    # Devices and alerts.
    await ask("device add", "other", "--gateway", "simulated")
    await ask("device list")
    await ask("device pause", "other")
    await ask("device resume", "other")
    await ask("device replace", "other", device)
    await ask("upgrade check")
    await ask("alert kinds")
    await ask("alert list")
    await ask("contact forget", phone(0), "--yes")
    assert sorted(set(RESULTS) - tried - ELSEWHERE) == ["alert add", "alert remove"]
