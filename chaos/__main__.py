"""``python -m chaos``: kills, stops and disturbs everything by a plan, then accounts for every message.

Exit codes: 0 everything holds, 1 something does not, 2 wrong use.
"""

import argparse
import asyncio
import json
import logging
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from chaos.plan import CONTACTS, LEADS, LONGEST, SECONDS, Plan
from chaos.plan_file import read_plan
from chaos.random_plan import make_plan
from chaos.report import Result, result_of, table
from chaos.run import SETTLE_WITHIN, Prepare, run
from chaos.topology import MOST_PEOPLE
from messaging.common.errors import DrumbeatError
from messaging.files.yaml import FileProblems
from rig.waiting import NeverHappened
from runtime.settings import CHECKOUT

__all__ = ["main"]

FOLDER = CHECKOUT / ".tmp" / "chaos"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Kills, stops and disturbs everything by a plan, then accounts for every message.",
        epilog="docs/chaos.md says what a plan file looks like, and what each line of the result means.",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="makes the plan and the load (default: a new one)"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help=f"length of the plan (default: {SECONDS:g})"
    )
    parser.add_argument("--contacts", type=int, metavar="N", help=f"in the sequence (default: {CONTACTS})")
    parser.add_argument("--leads", type=int, metavar="N", help=f"of the campaign (default: {LEADS})")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="a plan of your own, instead of the seed's")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where plan and logs are left (default: below .tmp/chaos)"
    )
    given = parser.parse_args(arguments)
    if given.seconds is not None and not 1 <= given.seconds <= LONGEST:
        parser.error(f"--seconds is from 1 to {LONGEST:,.0f}")
    for name in ("contacts", "leads"):
        if not 0 <= (getattr(given, name) or 0) <= MOST_PEOPLE:
            parser.error(f"--{name} is from 0 to {MOST_PEOPLE:,}")
    return given


def _plan(given: argparse.Namespace) -> Plan:
    chosen = {name: getattr(given, name) for name in ("seed", "seconds", "contacts", "leads")}
    if given.plan is not None:
        return read_plan(given.plan, **chosen)
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    return make_plan(
        seed, **{name: value for name, value in chosen.items() if name != "seed" and value is not None}
    )


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(
    arguments: Sequence[str] | None = None,
    *,
    prepare: Prepare | None = None,
    settle_within: float = SETTLE_WITHIN,
) -> int:
    """The exit code. ``prepare`` and ``settle_within``: see :func:`chaos.run.run`; for tests."""
    given = _arguments(arguments)
    try:
        plan = _plan(given)
    except FileProblems as problems:
        _tell(str(problems))
        return 2
    # The pool logs each lost connection; here they are lost on purpose.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    folder = given.out or FOLDER / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-seed-{plan.seed}"
    _tell(
        f"seed {plan.seed}: {plan.seconds:g} s, {plan.contacts} contacts, {plan.leads} leads; plan and logs: {folder}"
    )
    try:
        ended = asyncio.run(run(plan, folder, _tell, prepare=prepare, settle_within=settle_within))
    except* (NeverHappened, DrumbeatError) as failures:
        for failure in _single(failures):
            _tell(f"chaos: {failure}")
        ended = None
    if ended is None:
        return 1
    result = result_of(plan, ended, folder, given.plan)
    _show(result, given.json)
    return 0 if result.holds else 1


def _single(failures: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for failure in failures.exceptions:
        found += _single(failure) if isinstance(failure, BaseExceptionGroup) else [failure]
    return found


def _show(result: Result, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n")
    else:
        Console(soft_wrap=True, highlight=False).print(table(result), markup=False, emoji=False)


if __name__ == "__main__":
    from runtime.process import leave

    try:
        leave(main())
    except KeyboardInterrupt:
        _tell("chaos: interrupted")
        leave(130)
