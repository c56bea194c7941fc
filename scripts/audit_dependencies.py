"""Compares the lock files with the known weaknesses of libraries, by pip-audit: ``make audit-dependencies``.

Exit code 0: none is known; 1: some are, listed; 2: nothing could be compared, with the reason in one line.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements/dev.lock", "benchmarks/extra/peer.lock")
"""Together they hold the libraries of all the others."""


def _end(line: str, code: int = 2) -> None:
    sys.stderr.write(f"drumbeat: {line}\n")
    sys.exit(code)


def _audit(program: str, lock: str, service: str) -> tuple[list[dict[str, object]], str]:
    """What pip-audit says of each library; nothing, and why, if it cannot ask."""
    options = ("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")
    done = subprocess.run(  # noqa: S603 - what is run is what make was asked for
        [program, "--requirement", lock, "--vulnerability-service", service, *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except ValueError:
        return [], (done.stderr.strip().splitlines() or ["it does not say why"])[-1]


def main() -> None:
    """Audits all lock files."""
    program = shutil.which("pip-audit", path=str(Path(sys.executable).parent)) or shutil.which("pip-audit")
    if program is None:
        _end("pip-audit is needed: install it, e.g. with 'pipx install pip-audit', then run this again")
        return
    for lock in LOCKS:
        for service in ("pypi", "osv"):
            found, why = _audit(program, lock, service)
            known = [one for one in found if "vulns" in one]
            if known:
                break
        else:
            why = why or str(found[0].get("skip_reason")) if found else why
            _end(f"no advisory can be fetched from here, and nothing was compared: {why}")
            return
        weak = [one for one in known if one["vulns"]]
        for one in weak:
            for weakness in one["vulns"]:  # type: ignore[attr-defined]
                mended = ", ".join(weakness["fix_versions"]) or "no version yet"
                sys.stdout.write(f"{one['name']} {one['version']}: {weakness['id']}, mended in {mended}\n")
        left = len(found) - len(known)
        sys.stdout.write(f"{lock}: {len(known)} libraries compared, {len(weak)} with known weaknesses")
        sys.stdout.write(f", {left} unknown to the service\n" if left else "\n")
        sys.stdout.flush()
        if weak:
            _end(
                "raise the ranges in pyproject.toml if need be, then: make lock ARGS='--upgrade-package NAME'",
                1,
            )


if __name__ == "__main__":
    main()
