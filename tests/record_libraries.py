"""Writes docs/licences.md and docs/sbom.cdx.json from the lock files and the installed libraries' metadata: ``make licences``.

The second one is a software bill of materials of the worker's image (CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/). Both
are the same for the same lock files: no times, no random numbers, no places that files came from.
"""

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runtime.version import VERSION

__all__ = ["LICENCES", "LINUX", "SBOM", "licences", "pins", "sbom"]

ROOT = Path(__file__).parents[1]
LICENCES = ROOT / "docs" / "licences.md"
SBOM = ROOT / "docs" / "sbom.cdx.json"

LOCKS = {
    "run": "workers, webhooks and commands (the image `worker`)",
    "simulator": "the simulated gateway (the image `simulator`)",
    "reports": "plots of reports",
    "embedded": "servers for those who have none",
    "dev": "development",
}
"""Lock files, each with what the libraries are for that it adds to those before it."""

LINUX = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "extra": "",
}
"""The environment whose libraries are listed: the oldest Python, which needs the most."""

HEADER = """\
# Licences

The licences of all libraries that the lock files name, as their authors declare them. None is part of this repository: `pip` installs them, with the hashes of
`requirements/*.lock`. [sbom.cdx.json](sbom.cdx.json) lists those of the worker's image for programs (CycloneDX), and [dependencies.md](dependencies.md) says what each is for.

This page is written by `make licences`; a test compares it with the lock files.
"""

CLASSIFIER = "License :: OSI Approved :: "
SPDX = {
    "MIT License": "MIT",
    "MIT": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
    "3-Clause BSD License": "BSD-3-Clause",
}
"""Names that authors use, and those of the SPDX list (https://spdx.org/licenses/)."""

ASKED = {"matplotlib": "LicenseRef-Matplotlib"}
"""Libraries whose metadata holds a licence's text instead of its name."""


def pins(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Version and SHA-256 hashes of each library in a lock file, for Linux."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in re.split(r"\n(?=\w)", (ROOT / "requirements" / f"{lock}.lock").read_text()):
        requirement = Requirement(entry.split("\n")[0].removesuffix("\\").strip())
        if requirement.marker is None or requirement.marker.evaluate(LINUX):
            (version,) = (one.version for one in requirement.specifier)
            found[canonicalize_name(requirement.name)] = (version, sorted(re.findall(r"sha256:(\w+)", entry)))
    return found


def _licence(name: str) -> str:
    if name in ASKED:
        return ASKED[name]
    metadata = importlib.metadata.metadata(name).json
    if expression := metadata.get("license_expression"):
        return str(expression)
    declared = str(metadata.get("license") or "").strip()
    classified = [
        one.removeprefix(CLASSIFIER) for one in metadata.get("classifier") or [] if one.startswith(CLASSIFIER)
    ]
    for one in (declared, *classified):
        if one in SPDX:
            return SPDX[one]
    if declared and "\n" not in declared and len(declared) < 60:
        return declared
    return " and ".join(classified) or "not declared"


def licences() -> str:
    """What docs/licences.md is to hold."""
    text, seen = [HEADER], set[str]()
    for lock, what in LOCKS.items():
        added = {name: version for name, (version, _) in pins(lock).items() if name not in seen}
        seen |= set(added)
        text.append(
            f"\n## {what[0].upper()}{what[1:]}\n\n| Library | Version | Licence |\n| --- | --- | --- |\n"
        )
        text += [f"| {name} | {version} | {_licence(name)} |\n" for name, version in sorted(added.items())]
    return "".join(text)


def sbom() -> str:
    """What docs/sbom.cdx.json is to hold."""
    run = pins("run")
    needs = {name: sorted(_needed(name) & set(run)) for name in run}
    own = f"pkg:generic/drumbeat@{VERSION}"
    references = {name: f"pkg:pypi/{name}@{version}" for name, (version, _) in run.items()}
    components = [
        {
            "type": "library",
            "bom-ref": references[name],
            "name": name,
            "version": version,
            "purl": references[name],
            "licenses": [_choice(_licence(name))],
            "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
        }
        for name, (version, hashes) in sorted(run.items())
    ]
    dependencies = [
        {"ref": references[name], "dependsOn": [references[one] for one in needs[name]]}
        for name in sorted(run)
    ]
    listed = json.dumps([references[name] for name in sorted(run)])
    head = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{own} {listed}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "drumbeat",
                "version": VERSION,
                "purl": own,
            }
        },
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    direct = {"ref": own, "dependsOn": sorted(references[name] for name in _direct() & set(run))}
    lines.append(f'"components": [\n{_lines(components)}\n]')
    lines.append(f'"dependencies": [\n{_lines([direct, *dependencies])}\n]')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _choice(licence: str) -> dict[str, Any]:
    if " " in licence and not re.search(r" (AND|OR|WITH) ", licence):
        return {"license": {"name": licence}}
    return {"expression": licence}


def _lines(items: list[dict[str, Any]]) -> str:
    return ",\n".join(json.dumps(item) for item in items)


def _direct() -> set[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


def _needed(name: str) -> set[str]:
    found = set[str]()
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        extra = "pydantic" if name == "temporalio" else ""
        if requirement.marker is None or requirement.marker.evaluate({**LINUX, "extra": extra}):
            found.add(canonicalize_name(requirement.name))
    return found


if __name__ == "__main__":
    LICENCES.write_text(licences())
    SBOM.write_text(sbom())
    print(f"Wrote {LICENCES.relative_to(ROOT)} and {SBOM.relative_to(ROOT)}")  # noqa: T201
