"""Every command with the role that may only read: what looks works, what changes something says so in one line."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import typer

from cli.app import app
from rig.people import phone
from tests.support.campaigns import CAMPAIGN
from tests.support.live import Live

SEQUENCE = "{sequence: intro, trigger: COLD, steps: [{id: hello, day: 1, text: Hi}, {id: story, day: 2, text: Once}]}"
ONE, OTHER = phone(1), phone(2)

READS: Mapping[str, str] = {
    "status": "",
    "why": f"{ONE} intro",
    "contact show": ONE,
    "contact export": ONE,
    "messages": "",
    "message list": "",
    "events": "",
    "audit": "",
    "inbox": "",
    "audience": "sale",
    "preview": "sale",
    "report campaign": "sale",
    "report sequence": "intro",
    "report device": "{device}",
    "report week": "",
    "campaign list": "",
    "campaign status": "sale",
    "sequence list": "",
    "sequence show": "intro",
    "lead export": "{folder}/out.csv",
    "lead show": ONE,
    "lead list": "--where replied",
    "device list": "",
    "alert list": "",
    "alert kinds": "",
    "alert undelivered": "boss",
    "alert secret": "",
    "upgrade check": "",
    "completion": "bash",
}
CHANGES: Mapping[str, str] = {
    "pause": f"intro {ONE}",
    "resume": f"intro {ONE}",
    "stop": f"intro {ONE}",
    "skip": f"intro {ONE} hello",
    "move": f"intro {ONE} --to other",
    "opt-out": ONE,
    "contact forget": f"{ONE} --yes",
    "test-send": f"sale --to {ONE}",
    "inbox done": "1",
    "campaign apply": "{folder}/new.yaml",
    "campaign start": "sale --yes",
    "campaign move": "sale 2036-01-01T10:00",
    "campaign pause": "sale",
    "campaign resume": "sale",
    "campaign cancel": "sale",
    "campaign retry-failed": "sale",
    "sequence apply": "{folder}/intro.yaml",
    "sequence pause": "intro",
    "sequence resume": "intro",
    "lead import": "{folder}/leads.csv --device {device}",
    "lead rename-phone": f"{ONE} {phone(9)}",
    "lead set": f"{ONE} city=KL",
    "lead move": f"{ONE} --to other",
    "device add": "new --gateway simulated",
    "device pause": "{device}",
    "device resume": "{device}",
    "device replace": "{device} other",
    "message resolve": "{message} --sent",
    "alert add": "new --webhook http://127.0.0.1:9/ --secret-file {folder}/secret",
    "alert remove": "boss",
    "alert retry": "boss",
}
ELSEWHERE = {
    "demo": "on servers of its own",
    "key new": "in a file",
    "key add": "in a file",
    "key rotate": "in a file",
    "key serve": "without a database",
    "enroll": "through Temporal, which has rights of its own",
    "alert test": "through Temporal, too",
    "upgrade switch": "in Temporal",
    "upgrade back": "in Temporal",
}


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            if command.invoke_without_command:
                yield " ".join((*path, name))
            yield from _commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


def test_each_command_has_its_place() -> None:
    placed = [*READS, *CHANGES, *ELSEWHERE]
    assert sorted(placed) == sorted(set(_commands(typer.main.get_command(app))))


@pytest.mark.long  # starts each command
async def test_a_role_that_may_only_read_reads_all_and_changes_nothing(live: Live, tmp_path: Path) -> None:
    role, device = f"reader_{live.connection.settings.task_queue[-12:]}", live.scenario.device
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    await live.scenario.apply(SEQUENCE.replace("intro", "other").replace("COLD", "WARM"))
    await live.scenario.add_leads(3)
    await live.scenario.enroll("intro", ONE)
    await live.scenario.apply_campaign(CAMPAIGN.format(name="sale", more=""))
    (tmp_path / "secret").write_text("whsec_" + "QUFB" * 11)
    (tmp_path / "secret").chmod(0o600)
    for words in (
        "device add other --gateway simulated",
        f"alert add boss --webhook http://127.0.0.1:9/ --secret-file {tmp_path / 'secret'}",
    ):
        code, _, told = await live.run("starter.py", *words.split())
        assert code == 0, told
    (tmp_path / "intro.yaml").write_text(SEQUENCE.replace("Once", "Twice"))
    (tmp_path / "new.yaml").write_text(CAMPAIGN.format(name="new", more=""))
    (tmp_path / "leads.csv").write_text(f"phone,name\n{phone(7)},Aisha\n")

    owner = await asyncpg.connect(live.database_url)
    name = await owner.fetchval("select current_database()")
    await owner.execute(f"""
        create role {role} login password 'reader';
        alter role {role} set default_transaction_read_only = on;
        grant connect on database {name} to {role};
        grant usage on schema public to {role};
        grant select on all tables in schema public to {role};
    """)
    url = urlsplit(live.database_url)
    reader = urlunsplit(url._replace(netloc=f"{role}:reader@{url.hostname}:{url.port}"))
    try:

        async def run(command: str, arguments: str) -> tuple[str, int, str]:
            words = arguments.format(device=device, folder=tmp_path, message=f"{0:032x}").split()
            code, _, told = await live.run("starter.py", *command.split(), *words, DATABASE_URL=reader)
            return command, code, told

        gate = asyncio.Semaphore(3)

        async def one(command: str, arguments: str) -> tuple[str, int, str]:
            async with gate:
                return await run(command, arguments)

        read = await asyncio.gather(*(one(*each) for each in READS.items()))
        # The audit finds that no workflow runs for the enrollment.
        assert [each for each in read if each[1] != (each[0] == "audit") or "PostgreSQL" in each[2]] == []
        changed = await asyncio.gather(*(one(*each) for each in CHANGES.items()))
        assert [
            each
            for each in changed
            if each[1] != 1 or each[2].count("\n") != 1 or "This needs a role that may write" not in each[2]
        ] == []
        # A worker would try each message in vain, and webhooks would take none.
        for option, why in (
            ("--roles=sends", "may only read"),
            ("--webhooks-only", "may not read and write all"),
        ):
            code, _, said = await live.run(
                "worker.py", option, DATABASE_URL=reader, DRUMBEAT_WEBHOOKS_PORT="8060"
            )
            assert code == 1
            assert said.splitlines()[-1].startswith(f"drumbeat: the role {role} of DATABASE_URL {why}")
            await owner.execute(f"alter role {role} reset default_transaction_read_only")
    finally:
        await owner.execute(f"drop owned by {role}; drop role {role}")
        await owner.close()
