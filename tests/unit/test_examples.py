"""What README, docs and examples show is true when somebody tries it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from messaging.campaigns.file import read_campaign
from messaging.common.keywords import DEFAULT_KEYWORDS
from messaging.sequences.file import read_sequence

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *EXAMPLES]


def test_the_times_of_campaigns_have_not_passed() -> None:
    times = {
        (file.name, time)
        for file in SHOWN
        for time in re.findall(r"scheduled_at: ([0-9]{4}-[0-9]{2}-[0-9]{2})", file.read_text())
    }
    assert len(times) >= 3
    assert [at for at in times if datetime.fromisoformat(at[1]).replace(tzinfo=UTC) < datetime.now(UTC)] == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_an_example_promises_no_answer_but_a_keyword_that_stops(file: Path) -> None:
    read = read_sequence if file.parent.name == "sequences" else read_campaign
    draft = read(file.read_text(), file.name)
    assert draft.document.problems == []
    assert draft.texts
    for text in draft.texts:
        for words in re.findall(r"(?i:\breply\b)\W+(\w+)", text.text):
            assert DEFAULT_KEYWORDS.meaning(words) == "stop"
        assert not re.search(r"(?i:\b(replies|answer here|answer with|write back)\b)", text.text)
        assert not re.search(r"\b[Aa]nswer [A-Z]{2,}", text.text)
