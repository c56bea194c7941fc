"""The commands of each workflow's code are those that were last agreed to."""

import shutil
from difflib import unified_diff
from pathlib import Path

import pytest

from tests.record_fingerprints import CODE, FINGERPRINTS, fingerprints
from worker import WORKFLOWS

WHAT_TO_DO = """
The commands of {name} changed (lines with - and + above; {file} has them all). Workflows that are running now will go on with
the new code, and Temporal compares the commands with those that are in their histories. So:

  1. If a run that is under way can meet another command than before, or in another order: put the new way behind
     'if workflow.patched("what-changed")', and keep the old way in the 'else'. If only code was moved or renamed, there is no need.
  2. Record the new way beside the old ones: add a story to tests/record_histories.py, then 'make histories ARGS="LABEL STORY"'.
     Never record an old history anew.
  3. 'make fingerprints' writes {file} again. Commit it with the change: its lines are what a reviewer has to look at.
  4. Run tests/unit/test_replay.py: old histories must pass as they are.

CONTRIBUTING.md, "Workflows: determinism and change", says why.
"""


@pytest.mark.parametrize("name", [workflow.__name__ for workflow in WORKFLOWS])
def test_the_commands_of_a_workflow_change_by_intent_only(name: str) -> None:
    file = FINGERPRINTS / f"{name}.txt"
    agreed = file.read_text() if file.exists() else ""
    found = fingerprints()[name]
    if found != agreed:
        lines = unified_diff(
            agreed.splitlines()[2:], found.splitlines()[2:], "agreed to", "now", lineterm="", n=4
        )
        place = f"{FINGERPRINTS.parent.name}/{FINGERPRINTS.name}/{file.name}"
        pytest.fail("\n".join(lines) + "\n" + WHAT_TO_DO.format(name=name, file=place), pytrace=False)


def test_every_workflow_has_a_fingerprint() -> None:
    names = {workflow.__name__ for workflow in WORKFLOWS}
    assert set(fingerprints()) == names == {file.stem for file in FINGERPRINTS.glob("*.txt")}


CONTACT, CAMPAIGN = {"SequenceContactWorkflow"}, {"CampaignWorkflow"}
FEEDING = {"CampaignWorkflow", "CampaignShardWorkflow"}
STEERED = {"SequenceContactWorkflow", "CampaignWorkflow", "DeviceWorkflow", "SequenceWorkflow"}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        # Other commands, or in another order, or under another condition.
        ("sequence.py", "if finished.follow_up is not None:", "if finished.follow_up:", CONTACT),
        ("sequence.py", "        if outcome.duplicate:", "        if False:", CONTACT),
        ("sequence.py", "SequenceActivities.send_step,", "SequenceActivities.replan,", CONTACT),
        ("sequence.py", "id=identity.workflow_id,", "id=request.sequence,", CONTACT),
        ("sequence.py", "await self._advance(self._enrolled, self._due)", "pass", CONTACT),
        ("campaign.py", "if state.shards == 1:", "if state.shards <= 1:", CAMPAIGN),
        (
            "campaign.py",
            "await self._freeze(state)",
            "await self._freeze(state)\n                continue",
            CAMPAIGN,
        ),
        ("feeding.py", "await self._sleep(until, why)", "await workflow.sleep(1)", FEEDING),
        ("campaign_display.py", "if self._listed != state.status:", "if True:", CAMPAIGN),
        (
            "updates.py",
            "await workflow.execute_activity_method(",
            "await workflow.execute_local_activity_method(",
            STEERED,
        ),
        (
            "control.py",
            "condition, timeout=timeout, timeout_summary=summary",
            "condition",
            {*CONTACT, "MessageWorkflow", *FEEDING},
        ),
        # What may change freely.
        ("sequence.py", 'summary="what comes next"', 'summary="next"', set()),
        ("sequence.py", "start_to_close_timeout=SEND_TIMEOUT", "start_to_close_timeout=QUICK", set()),
        ("sequence.py", "self._settled += 1", "self._settled += 2", set()),
        ("options.py", "timedelta(seconds=150)", "timedelta(seconds=160)", set()),
        ("campaign_updates.py", "it cannot be started again", "it can be started once", set()),
    ],
)
def test_a_change_of_commands_is_noticed_and_others_are_not(
    tmp_path: Path, file: str, old: str, new: str, changed: set[str]
) -> None:
    folder = tmp_path / "workflows"
    shutil.copytree(CODE, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    before, after = fingerprints(), fingerprints(folder)
    assert {name for name in after if after[name] != before[name]} == changed
