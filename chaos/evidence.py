"""The evidence of a run: the gateway's log, the ledger, Temporal, and the result of the audit."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic import Field
from temporalio.client import WorkflowExecutionStatus

from chaos.plan import Leave, Plan, Reply
from chaos.topology import (
    CAMPAIGN,
    CAMPAIGN_TEXT,
    DEVICES,
    LAST_STEP,
    REPLIES,
    SEQUENCE,
    STEPS,
    Traits,
    device_of,
)
from messaging.common.values import Value
from operations.audit import audit
from operations.connection import Drumbeat
from rig import gateway_control
from rig.people import phone
from rig.waiting import insist
from temporal.watched import SEQUENCE_WORKFLOW

__all__ = [
    "Answer",
    "Delivery",
    "Evidence",
    "Expected",
    "Inbound",
    "LedgerRow",
    "Open",
    "expected_of",
    "fetch",
    "look",
]


class Expected(Value):
    """The expected result of a run. ``steps``: the text of each step by its name in the ledger."""

    contacts: tuple[str, ...]
    leads: tuple[str, ...]
    steps: dict[str, str]
    campaign: str
    campaign_text: str
    device_of: dict[str, str]
    """By phone."""
    devices: dict[str, Traits]
    leavers: tuple[str, ...] = ()
    """Phones that opted out, were stopped, skipped a step, gave a reply that ends the sequence, or whose workflow was
    terminated.
    """
    cancelled: bool = False
    """True if the campaign was cancelled."""
    removed: tuple[str, ...] = ()
    """Steps."""


class Delivery(Value):
    """A message that the gateway accepted: what the recipient has seen."""

    phone: str
    text: str
    device: str
    key: str | None
    """The idempotency key, which is the message's ID in the ledger."""
    message_id: str
    """The gateway's own ID."""
    received_at: datetime


class Inbound(Value):
    """What a person wrote, by the gateway's log. ``recorded``: how often Drumbeat has it."""

    id: str
    phone: str
    device: str
    text: str
    written_at: datetime
    acknowledged_at: datetime | None = None
    recorded: int = 1


class LedgerRow(Value):
    """One message of the ledger. ``what``: the step (``story/one``), or the campaign."""

    id: str
    phone: str
    device: str
    what: str
    status: str
    attempts: int = 0
    reason: str | None = None
    gateway_message_id: str | None = None
    too_late: bool = False
    """True if it had expired when it was settled."""


class Open(Value):
    """What is not finished, one line each."""

    messages: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    """Workflows that run, or that did not complete by themselves."""
    enrollments: tuple[str, ...] = ()
    """Active enrollments, and the campaign if it is not over."""
    replies: tuple[str, ...] = ()
    """Replies that nobody has acknowledged."""

    @property
    def nothing(self) -> bool:
        """True if everything is settled."""
        return not (self.messages or self.workflows or self.enrollments or self.replies)


class Answer(Value):
    """A command answered ``at`` that moment that nothing more is sent: of a campaign or sequence, to a phone, or by a
    device.

    ``until``: when that was taken back. ``named``: the messages that the answer named as under way.
    """

    at: datetime
    words: str
    phone: str | None = None
    device: str | None = None
    sequence: bool = True
    campaign: bool = True
    until: datetime | None = None
    named: tuple[str, ...] = ()


class Evidence(Value):
    """All evidence of a run."""

    answers: tuple[Answer, ...] = ()

    deliveries: tuple[Delivery, ...] = ()
    replies: tuple[Inbound, ...] = ()
    outcomes: dict[str, int] = Field(default_factory=dict)
    """The outcomes of send requests by the gateway's log, with their counts."""
    rows: tuple[LedgerRow, ...] = ()
    enrolled: dict[str, str] = Field(default_factory=dict)
    """The phones in the sequence, with the status of each."""
    audience: int = 0
    """Leads in the campaign's frozen audience."""
    open: Open = Open()
    broken: tuple[str, ...] = ()
    """Promises that are broken, by the audit."""
    promises: int = 0


def expected_of(plan: Plan) -> Expected:
    """The expected result of a plan, whatever goes wrong."""
    retracted = {action.do for action in plan.actions}
    everybody = range(max(plan.contacts, plan.leads))
    return Expected(
        contacts=tuple(phone(index) for index in range(plan.contacts)),
        leads=tuple(phone(index) for index in range(plan.leads)),
        steps={f"{SEQUENCE}/{step}": text for step, text in STEPS.items()},
        campaign=CAMPAIGN,
        campaign_text=CAMPAIGN_TEXT,
        device_of={phone(index): device_of(index) for index in everybody},
        devices=DEVICES,
        leavers=tuple(
            sorted(
                {
                    phone(action.person)
                    for action in plan.actions
                    if isinstance(action, Leave)
                    or (isinstance(action, Reply) and REPLIES[action.says] != "continues")
                }
            )
        ),
        cancelled="cancel-campaign" in retracted,
        removed=(f"{SEQUENCE}/{LAST_STEP}",) if "remove-step" in retracted else (),
    )


_ROWS = """
select m.id::text, m.recipient_phone as phone, m.device_id as device, m.status, m.attempts, m.reason,
       m.gateway_message_id, coalesce(m.expires_at <= m.updated_at, false) as too_late, coalesce(k.name, s.name || '/' || t.key, m.purpose) as what
  from broadcast_messages m
  left join campaigns k on k.id = m.campaign_id
  left join sequence_steps t on t.id = m.sequence_stepid
  left join sequences s on s.id = t.sequence_id
 order by m.created_at, m.id
"""
_UNSETTLED = f"""
select r.what || ' to ' || r.phone || ' is ' || r.status || ' after ' || r.attempts || ' attempts'
       || coalesce(': ' || r.reason, '') as line
  from ({_ROWS}) r where is_unsettled(r.status)
"""  # noqa: S608 - constants of this module
_ENROLLMENTS = """
select s.name || ' of ' || c.phone || ' is active' as line
  from sequence_contacts c join sequences s on s.id = c.sequence_id where c.status = 'active' order by c.phone
"""
_CAMPAIGNS = """
select 'campaign ' || name || ' is ' || status || coalesce(': ' || reason, '') as line
  from campaigns where ended_at is null order by name
"""

_INBOUND = "select gateway_message_id from inbound_messages"

_OURS = ("sequence:", "campaign:", "message:")
_STILL = {WorkflowExecutionStatus.RUNNING: "runs"}
_FINE = {WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.CONTINUED_AS_NEW}


async def look(connection: Drumbeat, gateway: str, terminated: Collection[str] = ()) -> Open:
    """What is not settled yet. ``gateway``: its control address; ``terminated``: workflows that the plan terminated. Raises errors of servers that are
    down.
    """
    pool = await connection.pool()
    messages = await pool.fetch(_UNSETTLED)
    enrollments = [*await pool.fetch(_ENROLLMENTS), *await pool.fetch(_CAMPAIGNS)]
    return Open(
        messages=tuple(row["line"] for row in messages),
        workflows=await _workflows(connection, terminated),
        enrollments=tuple(row["line"] for row in enrollments),
        replies=tuple(
            f"{one['text']!r} of {one['phone']} was not acknowledged"
            for one in await gateway_control.written(gateway)
            if one["acknowledged_at"] is None
        ),
    )


async def _workflows(connection: Drumbeat, terminated: Collection[str]) -> tuple[str, ...]:
    found = []
    # Those of devices and sequences run for ever.
    query = "ExecutionStatus != 'Completed' and WorkflowType not in ('DeviceWorkflow', 'SequenceWorkflow')"
    async for one in connection.temporal.list_workflows(query, page_size=1000):
        if one.id in terminated and one.status is WorkflowExecutionStatus.TERMINATED:
            continue
        if one.workflow_type == SEQUENCE_WORKFLOW:
            continue  # it shows the sequence, for as long as there is one
        if one.id.startswith(_OURS) and one.status is not None and one.status not in _FINE:
            state = _STILL.get(one.status, f"ended as {one.status.name}")
            found.append(f"{one.id} {state}")
    return tuple(sorted(found))


async def fetch(
    connection: Drumbeat, gateway: str, answers: Sequence[Answer] = (), terminated: Collection[str] = ()
) -> Evidence:
    """Collects everything after the end. ``gateway``: its control address; ``answers``: the answers of commands during
    the run. Raises NeverHappened.
    """
    log = await gateway_control.requests_log(gateway)
    accepted = await gateway_control.accepted(gateway)
    written = await gateway_control.written(gateway)

    async def read() -> Evidence:
        pool = await connection.pool()
        rows = await pool.fetch(_ROWS)
        recorded = Counter(row["gateway_message_id"] for row in await pool.fetch(_INBOUND))
        report = await audit(connection)
        return Evidence(
            answers=tuple(answers),
            deliveries=tuple(
                Delivery(
                    key=one["idempotency_key"],
                    **{name: one[name] for name in ("phone", "text", "device", "message_id", "received_at")},
                )
                for one in accepted
            ),
            replies=tuple(
                Inbound(
                    id=one["message_id"],
                    recorded=recorded[one["message_id"]],
                    **{
                        name: one[name]
                        for name in ("phone", "device", "text", "written_at", "acknowledged_at")
                    },
                )
                for one in written
            ),
            outcomes=Counter(one["outcome"] for one in log if one["method"] == "POST" and one["device"]),
            rows=tuple(LedgerRow(**dict(row)) for row in rows),
            enrolled={
                row["phone"]: row["status"]
                for row in await pool.fetch("select phone, status from sequence_contacts order by phone")
            },
            audience=await pool.fetchval(
                "select coalesce(sum(leads::integer), 0)::integer"
                " from campaigns c, jsonb_each_text(c.audience) a (device, leads)"
            ),
            open=await look(connection, gateway, terminated),
            broken=tuple(
                f"{check.promise}: {example}" for check in report.checks for example in check.broken
            ),
            promises=len(report.checks),
        )

    return await insist("ledger and Temporal can be read", read)
