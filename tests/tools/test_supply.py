"""Where what runs comes from: licences, the bill of materials, and images that are made from hashes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.record_libraries import LICENCES, LOCKS, SBOM, licences, pins, sbom

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_licences_and_bill_of_materials_are_in_step_with_the_lock_files() -> None:
    text = LICENCES.read_text()
    listed = dict(re.findall(r"^\| ([\w.-]+) \| ([\w.+!-]+) \| .+ \|$", text, re.MULTILINE))
    locked = {name: version for lock in LOCKS for name, (version, _) in pins(lock).items()}
    assert {name: version for name, version in listed.items() if version[0].isdigit()} == locked, (
        "run: make licences"
    )
    assert "not declared" not in text
    found = json.loads(SBOM.read_text())
    assert {one["name"]: one["version"] for one in found["components"]} == {
        name: version for name, (version, _) in pins("run").items()
    }
    for one in found["components"]:
        assert [value["content"] for value in one["hashes"]] == pins("run")[one["name"]][1]
        assert one["purl"] == one["bom-ref"] == f"pkg:pypi/{one['name']}@{one['version']}"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="written with the oldest Python that is supported"
)
def test_both_files_are_what_is_written_now() -> None:
    assert LICENCES.read_text() == licences(), "run: make licences"
    assert SBOM.read_text() == sbom(), "run: make licences"


def test_the_bill_of_materials_is_one_whole() -> None:
    """As CycloneDX 1.6 asks: unique references, and dependencies that are listed."""
    found: dict[str, Any] = json.loads(SBOM.read_text())
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", found["serialNumber"])
    own = found["metadata"]["component"]["bom-ref"]
    references = [own, *(one["bom-ref"] for one in found["components"])]
    assert len(references) == len(set(references))
    assert sorted(one["ref"] for one in found["dependencies"]) == sorted(references)
    needed = {other for one in found["dependencies"] for other in one["dependsOn"]}
    assert needed == set(references) - {own}, "each is needed by something"
    for one in found["components"]:
        assert all(re.fullmatch("[0-9a-f]{64}", value["content"]) for value in one["hashes"])
        assert all(set(choice) <= {"expression", "license"} for choice in one["licenses"])


def test_images_are_made_from_hashes_and_hold_no_tools() -> None:
    installs = re.findall(r"^RUN (.*pip install.*)$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == DOCKERFILE.count("pip install") == 2
    for command in installs:
        assert "--require-hashes --no-deps --only-binary :all: --requirement requirements/" in command
    assert not re.search(r"apt-get|apk |curl|wget|ADD |git clone|gcc", DOCKERFILE)
    # The base image's name is an argument, so that it can be given by hash.
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}", "base", "base"]
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    compose = (ROOT / "docker-compose.yml").read_text()
    assert (
        compose.count(f"PYTHON_IMAGE: ${{DRUMBEAT_PYTHON_IMAGE:-{default}}}")
        == compose.count("target: ")
        == 2
    )
    assert default in (ROOT / "docs" / "production.md").read_text()


def _audit(tmp_path: Path, *answers: str) -> subprocess.CompletedProcess[str]:
    """With a pip-audit that answers so, for one service after the other."""
    program = tmp_path / "pip-audit"
    (tmp_path / "answers").write_text("\n".join(answers) + "\n")
    program.write_text(
        f"#!/bin/sh\nsed -n 1p {tmp_path}/answers; sed -i 1d {tmp_path}/answers; echo 'ERROR: no way' >&2\n"
    )
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-I", "-c", f"import runpy, sys; sys.executable = '{program}'; runpy.run_path('{ROOT}/scripts/audit_dependencies.py', run_name='__main__')"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def test_the_audit_of_libraries_says_what_it_could_not_ask(tmp_path: Path) -> None:
    skipped = '{"dependencies": [{"name": "x", "skip_reason": "not found"}]}'
    done = _audit(tmp_path, skipped, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "drumbeat: no advisory can be fetched from here, and nothing was compared: ERROR: no way\n"
    )
    clean = '{"dependencies": [{"name": "x", "version": "1", "vulns": []}]}'
    done = _audit(tmp_path, clean, clean)
    assert (done.returncode, done.stdout.count("1 libraries compared, 0 with known weaknesses")) == (0, 2)
    weak = (
        '{"dependencies": [{"name": "x", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}'
    )
    done = _audit(tmp_path, skipped, weak)
    assert done.returncode == 1
    assert "x 1: CVE-1, mended in 2\n" in done.stdout
    assert done.stderr.count("\n") == 1
