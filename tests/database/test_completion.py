"""The shell's completion, by bash itself: commands, options, and the names that are stored."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.live import ROOT
from tests.support.scenario import Scenario

ASK = """
source <({python} starter.py completion bash)
while read -r line; do
    eval "COMP_WORDS=($line)"
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    COMPREPLY=()
    _drumbeat_complete
    echo "${{COMPREPLY[*]}}"
done
"""


async def complete(*lines: str, **environment: str) -> list[list[str]]:
    """What bash offers for each of these lines, whose last word is not complete."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TEMPORAL_", "DRUMBEAT_", "DATABASE_"))
    }
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", ASK.format(python=sys.executable)),
        cwd=ROOT,
        env={**clean, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate("".join(f"drumbeat {line}\n" for line in lines).encode())
    assert (process.returncode, error) == (0, b"")
    return [line.split() for line in out.decode().splitlines()]


async def test_commands_options_and_stored_names(scenario: Scenario, database_url: str) -> None:
    await scenario.add_device(device="kl-1")
    await scenario.apply(
        "sequence: intro\nsteps:\n  - {id: hello, day: 1, text: Hi}\n  - {id: bye, day: 2, text: Bye}\n"
    )
    await scenario.apply_campaign("campaign: sale\ntarget: {status: all}\ntext: Hello\n")
    lines = {
        "campaign sta": ["start", "status"],
        "campaign start --d": ["--dry-run"],
        "campaign status ''": ["sale"],
        "pause in": ["intro"],
        "pause --device ''": ["kl-1"],
        "test-send intro/": ["intro/hello", "intro/bye"],
        "messages --status su": ["suppressed"],
    }
    servers = {"DATABASE_URL": database_url, "TEMPORAL_ADDRESS": "127.0.0.1:1"}
    assert dict(zip(lines, await complete(*lines, **servers), strict=True)) == lines


async def test_a_database_that_does_not_answer_has_no_names(tmp_path: Path) -> None:
    gone = {"DATABASE_URL": "postgresql://127.0.0.1:1/nothing", "TEMPORAL_ADDRESS": "127.0.0.1:1"}
    assert await complete("pause in", "lead li", **gone) == [[], ["list"]]
    nothing_runs = {"DRUMBEAT_HOME": str(tmp_path / "home")}
    assert await complete("pause in", **nothing_runs) == [[]]
    assert not (tmp_path / "home").exists(), "nothing is started"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_shell_has_a_script(shell: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "starter.py", "completion", shell), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert f"_DRUMBEAT_COMPLETE=complete_{shell} {sys.executable} {ROOT / 'starter.py'}" in out.decode()
