"""The trigger sweep: enrolls every lead whose trigger matches an active sequence. Started by a Temporal Schedule."""

from datetime import timedelta

from temporalio import workflow

from workflows.options import RETRY

with workflow.unsafe.imports_passed_through():
    from activities.triggers import TriggerActivities
    from messaging.events.acting import acting
    from messaging.sequences.contract import SweepCursor, SweepTotals
    from temporal.actors import starter_of_this_run

__all__ = ["TriggerEnrollmentWorkflow"]

PAGE_TIMEOUT = timedelta(minutes=2)


@workflow.defn
class TriggerEnrollmentWorkflow:
    """Goes through the leads page by page, with one activity for each page."""

    @workflow.run
    async def run(self, start: SweepCursor) -> SweepTotals:
        """Returns how many contacts were enrolled, how many had been before, and how many were left out."""
        totals = SweepTotals()
        cursor: SweepCursor | None = start
        while cursor is not None:
            # Who has all enrolled that is due does not say so of each.
            with acting(starter_of_this_run() if start.trigger is not None else None):
                page = await workflow.execute_activity_method(
                    TriggerActivities.enroll_page,
                    cursor,
                    start_to_close_timeout=PAGE_TIMEOUT,
                    retry_policy=RETRY,
                    summary=f"leads after {cursor.lead_id}",
                )
            totals = totals.plus(page)
            workflow.set_current_details(
                f"Enrolled: {totals.enrolled}. Before: {totals.already_enrolled}."
                f" Left out: {totals.opted_out} opted out, {totals.without_consent} without consent,"
                f" {totals.without_device} without a device."
            )
            cursor = page.next
            if cursor is not None and workflow.info().is_continue_as_new_suggested():
                # The next sweep, a minute later, starts from the beginning. It does not find leads that are enrolled by
                # now.
                return totals
        return totals
