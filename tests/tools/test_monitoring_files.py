"""The alert rules and the dashboard: by Prometheus' own tools, by the document, and against a Prometheus that has seen a run."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ruamel.yaml import YAML

from operations import campaigns, enrollment
from rig.people import phone
from rig.waiting import until
from tests.support.campaigns import finished, ready
from tests.support.live import Live
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "drumbeat.rules.yml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "drumbeat.json").read_text())
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()
ALERTS = {rule["alert"]: rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

QUIET = (
    "temporal_request_failure_total",  # nothing failed
    "temporal_workflow_task_execution_failed_total",
    "drumbeat_webhook_",  # no gateway sent a request
    "drumbeat_receipts_",
    "drumbeat_outbox_",  # nobody gets alerts
    "drumbeat_device_daily_limit",  # the device has none
    "drumbeat_campaign_messages_left",  # the campaign is over
)
"""What a run in which nothing goes wrong does not show."""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return subprocess.run(
        [program, *arguments], check=False, cwd=RULES.parent, capture_output=True, text=True, timeout=60
    )


def expressions() -> Iterator[tuple[str, str]]:
    """Each query of the dashboard, as Grafana asks it, with the panel that it is for."""
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"].replace("$device", ".*").replace("$__rate_interval", "1m")
            yield panel["title"], query


def test_the_rules_do_what_their_tests_say_by_promtool() -> None:
    for arguments in (
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "drumbeat.rules.test.yml"),
    ):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_name_metrics_that_exist() -> None:
    known = set(re.findall(r"^\| `(drumbeat_\w+)`", DOCUMENT, re.MULTILINE))
    asked = [*expressions(), *((name, rule["expr"]) for name, rule in ALERTS.items())]
    asked.append(("variable", DASHBOARD["templating"]["list"][1]["definition"]))
    for where, query in asked:
        names = re.findall(r"\b(?:drumbeat|temporal|process)_\w+", query)
        assert names or "up{" in query, where
        for name in names:
            family = re.sub(r"_(?:bucket|count|sum)$", "", name)
            assert family in known or name.startswith(("temporal_", "process_")), f"{where}: {name}"
    # And everything but what nobody needs to look at is on the dashboard.
    shown = " ".join(query for _, query in expressions())
    assert {name for name in known if name not in shown} <= {"drumbeat_info", "drumbeat_workers"}


def test_numbers_of_the_ledger_are_never_added_up_over_workers() -> None:
    of_ledger = set(re.findall(r"^\| `(drumbeat_\w+)` .* yes \|$", DOCUMENT, re.MULTILINE))
    assert len(of_ledger) > 10
    for where, query in [*expressions(), *((name, rule["expr"]) for name, rule in ALERTS.items())]:
        for name in of_ledger:
            for found in re.finditer(rf"\b{name}\b", query):
                before = query[: found.start()].rstrip()
                assert re.search(r"\bmax(?: by \([\w, ]+\))? ?\($", before), f"{where}: {query}"


def test_every_alert_is_in_the_document_with_its_severity() -> None:
    rows = dict(re.findall(r"^\| `(Drumbeat\w+)` \| (\w+) \|", DOCUMENT, re.MULTILINE))
    assert rows == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
    assert all(rule["annotations"]["summary"] for rule in ALERTS.values())


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith((".", "unconfirmed", "inbox"))
        assert panel["datasource"]["uid"] == "${datasource}"
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))


@asynccontextmanager
async def prometheus(folder: Path, worker: int) -> AsyncIterator[str]:
    """A real one, which scrapes that port every second and has our rules; its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    port = free_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
        f"scrape_configs: [{{job_name: drumbeat, static_configs: [{{targets: ['127.0.0.1:{worker}']}}]}}]\n"
    )
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.long  # waits for a Prometheus to scrape
async def test_a_prometheus_that_scraped_a_run_answers_every_query(live: Live, tmp_path: Path) -> None:
    port = free_port()
    await ready(live, 30)
    await live.scenario.apply(
        "{sequence: story, steps: [{id: one, day: 1, text: Hi}, {id: two, after: 1d, text: You}]}"
    )
    await live.start_worker(DRUMBEAT_METRICS_PORT=str(port))
    async with prometheus(tmp_path, port) as address, aiohttp.ClientSession() as http:

        async def ask(query: str) -> list[dict[str, Any]]:
            async with http.get(f"{address}/query", params={"query": query}) as answer:
                body = await answer.json()
            assert body["status"] == "success", f"{query}: {body}"
            found: list[dict[str, Any]] = body["data"]["result"]
            return found

        async def scraped() -> bool:
            try:
                return bool(await ask('up{job="drumbeat"} == 1'))
            except aiohttp.ClientError:
                return False

        await until(scraped)
        await campaigns.start(live.connection, "sale", now=True)
        for index in range(40, 45):
            await enrollment.enroll(live.connection, "story", phone(index), device=live.scenario.device)
        await finished(live)
        sent = await live.scenario.pool.fetchval(
            "select count(*) from broadcast_messages where status = 'sent'"
        )

        async def counted() -> bool:
            found = await ask('sum(drumbeat_messages_total{outcome="sent"})')
            return bool(found) and float(found[0]["value"][1]) == sent == 35

        await until(counted)
        await asyncio.sleep(12)  # until the ledger was read anew, and scraped
        for where, query in expressions():
            if not any(name in query for name in QUIET):
                assert await ask(query), f"{where}: {query}"
            else:
                await ask(query)
        (asleep,) = await ask('max by (sequence) (drumbeat_contacts{state="sleeping"})')
        assert (asleep["metric"], asleep["value"][1]) == ({"sequence": "story"}, "5")
        async with http.get(f"{address}/rules") as answer:
            rules = [rule for group in (await answer.json())["data"]["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(ALERTS)
        assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
        assert [rule["name"] for rule in rules if rule["state"] != "inactive"] == []
