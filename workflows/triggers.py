"""The trigger sweep: enrolls every lead whose trigger matches an active sequence. Started by a Temporal Schedule."""

from datetime import timedelta

from temporalio import workflow

from workflows.options import RETRY

with workflow.unsafe.imports_passed_through():
    from activities.triggers import TriggerActivities
    from messaging.sequences.contract import SweepCursor, SweepTotals

__all__ = ["TriggerEnrollmentWorkflow"]

PAGE_TIMEOUT = timedelta(minutes=2)


@workflow.defn
class TriggerEnrollmentWorkflow:
    """Goes through the leads page by page; one page is one activity."""

    @workflow.run
    async def run(self, start: SweepCursor) -> SweepTotals:
        """Returns how many contacts were enrolled, and how many had been before."""
        totals = SweepTotals()
        cursor: SweepCursor | None = start
        while cursor is not None:
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
                f" Left out: {totals.opted_out} opted out, {totals.without_device} without a device."
            )
            cursor = page.next
            if cursor is not None and workflow.info().is_continue_as_new_suggested():
                # The next minute's sweep begins again, and what is enrolled by now is not found a second time.
                return totals
        return totals
