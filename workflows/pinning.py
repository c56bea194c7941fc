"""Which workflows stay with the version of the code that they began with, where workers have versions.

A workflow that may wait for days goes over to the current version by itself (auto-upgrade): its history is replayed by the new
code, which tests prove. One that is over in a moment stays with the version that it began with (pinned).

It is not said in ``workflow.defn``, as Temporal refuses what a worker without a version says about it.
"""

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.common import VersioningBehavior
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails

from workflows.message import MessageWorkflow
from workflows.outbox import ReceiverTestWorkflow
from workflows.wrapping import WrappedInstance, WrappedRunner

__all__ = ["PINNED", "PinningRunner"]

PINNED = frozenset({MessageWorkflow.__name__, ReceiverTestWorkflow.__name__})
"""None that a schedule starts: one that stayed with a version whose workers are gone would keep the next ones from starting."""


class PinningRunner(WrappedRunner):
    """Says of these workflows, with each of their tasks, that they are pinned."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """One run of a workflow."""
        instance = super().create_instance(det)
        return _Pinned(instance) if det.defn.name in PINNED else instance


class _Pinned(WrappedInstance):
    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """As the other run does it."""
        completion = super().activate(act)
        if completion.HasField("successful"):
            completion.successful.versioning_behavior = VersioningBehavior.PINNED.value
        return completion
