"""The timeouts and the retry policy of all activities."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    pass

__all__ = ["ACT", "DEAD_AFTER", "QUICK", "RETRY", "SEND_TIMEOUT"]


SEND_TIMEOUT = timedelta(seconds=150)
"""Start to close. Longer than a short wait for a slot, the grace before the call and the answer of the slowest gateway
together.
"""


DEAD_AFTER = timedelta(seconds=20)
"""Heartbeat timeout. After this time without a heartbeat the activity's worker counts as gone, and another attempt may
begin.
"""


QUICK = timedelta(seconds=20)
"""Start to close of an activity that only uses the database."""


ACT = timedelta(minutes=2)
"""Start to close of what an operator asked for: a change in the ledger, and the wait until no send can begin any more."""


RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Retries for ever: a failure here means that a worker or a server is away, and both come back. Refusals are results,
not errors.
"""
