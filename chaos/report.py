"""The result of a run, for people and for programs."""

import shlex
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chaos.evidence import expected_of
from chaos.plan import Plan
from chaos.reconcile import Check, reconcile
from chaos.run import PLAN, Ended
from messaging.common.values import Value

__all__ = ["Result", "result_of", "table"]

EXAMPLES = 5


class Result(Value):
    """The result. ``again`` and ``as_it_went``: the commands that repeat the plan, and what was really done."""

    holds: bool
    seed: int
    seconds: float
    contacts: int
    leads: int
    settled_after: float | None
    """Seconds after the end of the plan; None if something was not settled."""
    checks: tuple[Check, ...]
    totals: dict[str, int]
    folder: str
    """The plan as it was carried out, and the logs of all processes."""
    again: str
    as_it_went: str


def result_of(plan: Plan, ended: Ended, folder: Path, source: Path | None) -> Result:
    """Compares the evidence with the expected result. ``source``: the file of the plan, if it is not from a seed."""
    checks = reconcile(expected_of(plan), ended.evidence)
    numbers = f"--seconds {plan.seconds:g} --contacts {plan.contacts} --leads {plan.leads}"
    from_file = "" if source is None else f" --plan {shlex.quote(str(source))}"
    return Result(
        holds=all(check.holds for check in checks),
        seed=plan.seed,
        seconds=plan.seconds,
        contacts=plan.contacts,
        leads=plan.leads,
        settled_after=None if ended.settled_after is None else round(ended.settled_after, 1),
        checks=checks,
        totals=_totals(ended),
        folder=str(folder),
        again=_command(f"--seed {plan.seed} {numbers}{from_file}"),
        as_it_went=_command(f"--plan {shlex.quote(str(folder / PLAN))}"),
    )


def _command(arguments: str) -> str:
    return f"make chaos ARGS={shlex.quote(arguments)}"


def _totals(ended: Ended) -> dict[str, int]:
    evidence = ended.evidence
    status = [row.status for row in evidence.rows]
    arrived = {one.key for one in evidence.deliveries}
    unconfirmed = [row for row in evidence.rows if row.status == "unconfirmed"]
    totals = {
        "messages": len(evidence.rows),
        **{name: status.count(name) for name in sorted(set(status))},
        "unconfirmed that had arrived": sum(row.id in arrived for row in unconfirmed),
        "deliveries": len(evidence.deliveries),
        "requests to send": sum(evidence.outcomes.values()),
        "resent under an honoured key": evidence.outcomes.get("duplicate", 0),
        "delivered again": evidence.outcomes.get("delivered_again", 0),
        "most attempts at a message": max((row.attempts for row in evidence.rows), default=0),
        "workers that ended by themselves": ended.ended_by_themselves,
    }
    for action in ended.done:
        totals[action.do] = totals.get(action.do, 0) + 1
    return totals


def table(result: Result) -> RenderableType:
    """The result as text: a line for each check, its violations, and how to run it again."""
    checks = Table("", "check", "found", "of", box=None)
    checks.columns[2].justify = "right"
    for check in result.checks:
        verdict = Text("holds", style="green") if check.holds else Text("BROKEN", style="bold red")
        checks.add_row(verdict, check.name, f"{len(check.violations):,}", check.of)
    settled = (
        "not everything settled"
        if result.settled_after is None
        else f"all settled {result.settled_after:.0f} s after its end"
    )
    return Group(
        checks,
        *(line for check in result.checks for line in _violations(check)),
        Text(" · ".join(f"{count:,} {name}" for name, count in result.totals.items())),
        Text(
            f"Seed {result.seed}: {result.seconds:g} s, {result.contacts:,} contacts, {result.leads:,} leads;"
            f" {settled}."
        ),
        Text(f"The same again: {result.again}"),
        Text(f"As it went:     {result.as_it_went}"),
        Text(f"Plan and logs:  {result.folder}"),
        Text("Every message is accounted for.", style="green")
        if result.holds
        else Text("Something does not hold.", style="bold red"),
    )


def _violations(check: Check) -> list[Text]:
    lines = [f"{check.name}: {line}" for line in check.violations[:EXAMPLES]]
    if len(check.violations) > EXAMPLES:
        lines.append(f"{check.name}: and {len(check.violations) - EXAMPLES:,} more")
    return [Text(line, style="red") for line in lines]
