"""The whole benchmark, with a handful of everything."""

import json
from pathlib import Path

import pytest

from benchmarks import compare_contacts
from benchmarks.__main__ import main


def test_every_figure_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare_contacts, "SETTLE", 0.1)
    monkeypatch.setattr(compare_contacts, "A_LOOK", 1.0)
    monkeypatch.setattr(compare_contacts, "A_MINUTE", 3)
    with pytest.raises(SystemExit) as ended:
        main(["--leads", "8", "--rounds", "1", "--contacts", "4", "--asleep", "4", "8"])
    assert ended.value.code == 0
    found = {
        figure["what"]: figure for figure in json.loads(Path("bench-results.json").read_text())["figures"]
    }
    for what in (
        "campaign, 8 leads, 1 worker process",
        "campaign, 2 leads, 2 worker processes",
        "claim and settle",
        "enrollment of 4 by trigger",
        "their bytes in Temporal, each",
        "8 contacts asleep, CPU",
        "enrollment of 4 by a service",
        "4 contacts due at one moment, lateness",
        "4 contacts due over a minute, lateness",
    ):
        assert found[what]["ratio"] > 0, what
    assert "4 more by trigger" in found


@pytest.mark.parametrize(
    ("asked", "told"), [("--leads 0", "give numbers from 1 on"), ("--full --leads 9999", "give smaller ones")]
)
def test_what_cannot_be_measured_is_said(asked: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(asked.split())
    assert told in capsys.readouterr().err
