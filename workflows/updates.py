"""What the updates of all workflows share: they read what an operator has typed, and have it carried out.

A change is written into the ledger by an activity, with the code of the command line; the workflow itself decides nothing.
A validator refuses what cannot be, in a sentence, before anything is in the history. What only the ledger knows is refused
by the update itself: it fails with the sentence, and the workflow goes on.
"""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows.options import ACT, RETRY

with workflow.unsafe.imports_passed_through():
    from activities.steering import Act, SteeringActivities
    from messaging.common.storable import LONGEST_REASON

__all__ = ["carry_out", "no_input", "refuse", "typed"]

_SHOWN = 60
"""Characters of an input that a refusal repeats."""


def refuse(sentence: str) -> ApplicationError:
    """The error that refuses an update; to be raised."""
    return ApplicationError(sentence, non_retryable=True)


def typed(given: Any, name: str, example: str) -> str:
    """The text that an operator has typed as an update's input, alone or as the field ``name`` of an object; empty if there
    is none.

    Raises ApplicationError with a sentence for anything else.
    """
    if isinstance(given, dict):
        others = [key for key in given if key != name]
        if others:
            raise refuse(
                f'The input has no field "{others[0]}": give the {name} alone, in quotes, such as "{example}".'
            )
        given = given.get(name)
    if given is None:
        return ""
    if not isinstance(given, str):
        shown = repr(given)[:_SHOWN]
        raise refuse(f'The input is {shown}: give the {name} as text in quotes, such as "{example}".')
    if len(given) > LONGEST_REASON:
        raise refuse(f"The {name} has {len(given):,} characters: up to {LONGEST_REASON:,} are kept.")
    return given.strip()


def no_input(given: Any) -> None:
    """Raises ApplicationError with a sentence if an operator has typed something where nothing is to be typed."""
    if given not in (None, "", {}):
        raise refuse("It takes no input: leave the field empty.")


async def carry_out(act: Act) -> str:
    """Has an act carried out, and answers what was done, in a sentence. Raises ApplicationError if it is refused."""
    said = act.reason or act.step or act.time
    try:
        return await workflow.execute_activity_method(
            SteeringActivities.carry_out,
            act,
            start_to_close_timeout=ACT,
            retry_policy=RETRY,
            summary=act.command.replace("_", " ") + (f": {said}" if said else ""),
        )
    except ActivityError as error:
        if isinstance(error.cause, ApplicationError):
            raise refuse(error.cause.message) from error
        raise
