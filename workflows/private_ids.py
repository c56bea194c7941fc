"""Whether the workflows that this one starts are named by pseudonyms."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from messaging.common.private_keys import present_keys

__all__ = ["PRIVATE_IDS", "private_ids"]

PRIVATE_IDS = "private-ids"
"""The patch by which a run that began before private mode was switched on keeps the IDs that are in its history."""


def private_ids() -> bool:
    """True if they are. Outside of private mode no patch is recorded, so nothing changes for a history."""
    return present_keys() is not None and workflow.patched(PRIVATE_IDS)
