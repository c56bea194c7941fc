"""Carries out a plan, and records what was really done and when."""

import asyncio
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never
from uuid import uuid4

from temporalio.service import RPCError, RPCStatusCode

from chaos.evidence import Answer
from chaos.load import sequence_file
from chaos.plan import (
    Action,
    Hold,
    KillServer,
    KillWorker,
    Leave,
    Plan,
    Reply,
    Retract,
    SetFaults,
    StopWorker,
)
from chaos.topology import CAMPAIGN, DEVICES, LAST_STEP, SEQUENCE, device_of
from chaos.workers import Workers
from messaging.common.errors import Conflict, DrumbeatError, NotFound, Unavailable
from messaging.sending.under_way import UnderWay
from operations import campaigns, contacts, devices, opt_outs, sequences
from rig import gateway_control
from rig.people import phone
from rig.stage import Stage
from rig.waiting import COMES_BACK_WITHIN, insist, until
from runtime.embedded.processes import ProcessId
from runtime.embedded.state import read_state
from simulator.api import Latency, Terminal
from temporal.ids import campaign_lead_workflow_id, sequence_workflow_id

__all__ = ["Executor"]

NOT_KILLED = ("temporal-ui",)
"""Nothing depends on it."""


class Executor:
    """Killed processes come back while the plan goes on. ``tell`` is called with what was done."""

    def __init__(self, here: Stage, workers: Workers, gateway: str, tell: Callable[[str], None]) -> None:
        self._here = here
        self._workers = workers
        self._gateway = gateway
        self._tell = tell
        # Actions on the same thing keep their order, even while a server is down.
        self._turns: dict[str, asyncio.Lock] = {}
        self._turn_of: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        self._done: list[Action] = []
        self._answers_given: list[Answer] = []
        self._paused: dict[str, Answer] = {}
        self.terminated: set[str] = set()
        """Workflows that the plan terminated."""
        self._to_stop: list[Leave] = []
        """Whose workflows it terminated before they were enrolled."""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Answers of commands that nothing more is sent."""
        return (*self._answers_given, *self._paused.values())

    @property
    def done(self) -> tuple[Action, ...]:
        """The actions so far, at their real times, with notes of their results."""
        return tuple(sorted(self._done, key=lambda action: action.at))

    async def carry_out(self, plan: Plan, elapsed: Callable[[], float]) -> None:
        """Does every action at its time; returns when the plan is over and everything is up again.

        ``elapsed``: seconds since the start. Raises NeverHappened if something does not come back.
        """
        async with asyncio.TaskGroup() as tasks:
            for action in plan.actions:
                await asyncio.sleep(action.at - elapsed())
                tasks.create_task(self._act(action, round(min(elapsed(), plan.seconds), 2)))
            await asyncio.sleep(plan.seconds - elapsed())

    async def end_disturbances(self) -> None:
        """Removes all faults and pauses, and waits until all workers run. Raises NeverHappened."""
        await gateway_control.set_faults(self._gateway)
        await self._workers.all_run()
        connection = self._here.connection
        until = datetime.now(UTC)
        self._answers_given += [one.model_copy(update={"until": until}) for one in self._paused.values()]
        self._paused.clear()
        for device in DEVICES:
            await insist(f"{device} is resumed", lambda device=device: devices.resume(connection, device))  # type: ignore[misc]
        await insist("the sequence is resumed", lambda: sequences.resume(connection, SEQUENCE))
        await insist("the campaign is resumed", self._resume_campaign)

    async def _resume_campaign(self) -> None:
        try:
            await campaigns.resume(self._here.connection, CAMPAIGN)
        except Unavailable:
            raise
        except DrumbeatError:
            return  # there is none, or it is over

    async def _act(self, action: Action, at: float) -> None:
        note = await self._do(action)
        self._tell(f"{at:6.1f} s  {_words(action)}: {note}")
        self._done.append(action.model_copy(update={"at": at, "note": note}))

    async def _do(self, action: Action) -> str:
        match action:
            case KillWorker():
                return await self._workers.kill(action.worker, action.seconds)
            case StopWorker():
                return await self._workers.stop(action.worker, action.seconds)
            case KillServer():
                return await self._kill_server(action.server)
            case SetFaults():
                async with self._turn("faults"):
                    await gateway_control.set_faults(
                        self._gateway,
                        *(fault.model_dump(mode="json", exclude_unset=True) for fault in action.faults),
                    )
                return ", ".join(map(_fault_in_words, action.faults)) or "none"
            case Hold():
                async with self._turn(f"{action.campaign} {action.sequence} {action.device}"):
                    return await self._hold(action)
            case Leave():
                return await self._leave(action)
            case Reply():
                return await self._reply(action)
            case Retract():
                return await self._retract(action)
            case _:
                assert_never(action)

    def _turn(self, what: str) -> asyncio.Lock:
        return self._turns.setdefault(what, asyncio.Lock())

    async def _kill_server(self, name: str) -> str:
        which = self._which(name)
        note = await self._kill_process(which, name)
        return note if which == name else f"{which}, {note}"

    def _which(self, name: str) -> str:
        """The process of a server that is killed; of one that has several, another one each time."""
        state = read_state(self._here.home)
        parts = sorted(
            child
            for child in (state.children if state is not None else ())
            if child.startswith(f"{name}-") and child not in NOT_KILLED
        )
        return name if not parts else [*parts, name][next(self._turn_of[name]) % (len(parts) + 1)]

    async def _kill_process(self, name: str, server: str) -> str:
        before = self._child(name)
        if before is None or not before.runs:
            return "it was down already"
        before.kill()
        clock = asyncio.get_running_loop().time
        killed_at = clock()
        # Until the next one has started, the record is that of the dead process.
        await until(
            lambda: self._child(name) not in (None, before),
            COMES_BACK_WITHIN,
            what=f"{name} is started again",
        )
        await self._answers(server)
        return f"process {before.pid} killed; it answers again after {clock() - killed_at:.1f} s"

    def _child(self, name: str) -> ProcessId | None:
        state = read_state(self._here.home)
        return None if state is None else state.children.get(name)

    async def _answers(self, name: str) -> None:
        connection = self._here.connection
        match name:
            case "postgres":
                pool = await connection.pool()
                await insist("PostgreSQL answers", lambda: pool.fetchval("select 1"))
            case "temporal":
                question = "WorkflowId = 'is-it-there'"
                await insist("Temporal answers", lambda: connection.temporal.count_workflows(question))
            case _:
                await gateway_control.answers(self._gateway)

    async def _leave(self, action: Leave) -> str:
        connection, number = self._here.connection, phone(action.person)

        async def opt_out() -> str:
            done = await opt_outs.opt_out(connection, number)
            self._answered(action, done.under_way, phone=number)
            return f"{done.ended} enrollments ended"

        async def skip() -> str:
            step = await (await connection.pool()).fetchval(
                "select t.key from sequence_contacts c join sequence_steps t on t.id = c.next_step_id where c.phone = $1",
                number,
            )
            return (await contacts.skip(connection, SEQUENCE, number, step or LAST_STEP)).result

        async def terminate() -> str:
            for workflow_id in (
                sequence_workflow_id(SEQUENCE, number),
                campaign_lead_workflow_id(CAMPAIGN, number),
            ):
                self.terminated.add(workflow_id)
                try:
                    await connection.temporal.get_workflow_handle(workflow_id).terminate("chaos")
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
            try:
                return await self._stop(action)
            except NotFound:
                self._to_stop.append(action)
                raise

        work = {"opt-out": opt_out, "stop": lambda: self._stop(action), "skip": skip, "terminate": terminate}[
            action.do
        ]
        try:
            return await insist(_words(action), work)
        except (Conflict, NotFound) as conflict:
            return f"not now: {conflict}"

    async def _stop(self, action: Leave) -> str:
        number = phone(action.person)
        done = await contacts.stop(self._here.connection, SEQUENCE, number)
        self._answered(action, done.under_way, phone=number, campaign=False)
        return done.result

    async def stop_terminated(self) -> None:
        """Stops the contacts that were enrolled after the plan terminated their workflows, as the audit advises.

        A worker that was frozen may write the enrollment long after its workflow was terminated, when ``stop`` has found
        none. Raises errors of servers that are down.
        """
        for action in tuple(self._to_stop):
            with suppress(NotFound):
                await self._stop(action)
                self._to_stop.remove(action)

    async def _reply(self, action: Reply) -> str:
        message = {
            "id": f"reply-{uuid4().hex}",  # the gateway takes it once, however often it is told
            "device": device_of(action.person),
            "from": phone(action.person),
            "text": action.says,
        }
        statuses = await gateway_control.write(self._gateway, message, times=action.times, together=True)
        return f"answered {', '.join(map(str, statuses))}"

    async def _retract(self, action: Retract) -> str:
        connection = self._here.connection

        async def cancel() -> str:
            done = await campaigns.cancel(connection, CAMPAIGN)
            self._answered(action, done.under_way, sequence=False)
            return done.status

        async def remove() -> str:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "sequence.yaml"
                file.write_text(sequence_file(without=LAST_STEP))
                (done,) = await sequences.apply(connection, [file], consent=True)
            return f"{done.contacts_replanned} have something else next"

        try:
            return await insist(_words(action), cancel if action.do == "cancel-campaign" else remove)
        except (Conflict, NotFound) as conflict:
            return f"not now: {conflict}"

    def _answered(self, action: Action, under_way: Sequence[UnderWay], **scope: Any) -> None:
        named = tuple(str(one.message_id) for one in under_way)
        self._answers_given.append(Answer(at=datetime.now(UTC), words=_words(action), named=named, **scope))

    async def _hold(self, action: Hold) -> str:
        connection = self._here.connection
        pausing = action.do == "pause"
        whom = f"{action.campaign or action.sequence or action.device}"
        if not pausing and whom in self._paused:
            # From now on, messages may be sent again.
            ended = self._paused.pop(whom)
            self._answers_given.append(ended.model_copy(update={"until": datetime.now(UTC)}))

        async def change() -> bool:
            if action.device is not None:
                work: Awaitable[object] = (devices.pause if pausing else devices.resume)(
                    connection, action.device
                )
            elif action.sequence is not None:
                work = (sequences.pause if pausing else sequences.resume)(connection, action.sequence)
            else:
                work = (campaigns.pause if pausing else campaigns.resume)(connection, CAMPAIGN)
            done = await work
            if pausing:
                named = tuple(str(one.message_id) for one in getattr(done, "under_way", ()))
                self._paused[whom] = Answer(
                    at=datetime.now(UTC),
                    words=_words(action),
                    device=action.device,
                    sequence=action.campaign is None,
                    campaign=action.sequence is None,
                    named=named,
                )
            return bool(getattr(done, "changed", False))

        try:
            changed = await insist(_words(action), change)
        except Conflict as conflict:
            return f"not now: {conflict}"
        return "done" if changed else "it was so already"


def _fault_in_words(fault: Latency | Terminal) -> str:
    text = fault.described()
    if fault.on != "send" and fault.kind != "offline":
        text += f" on {fault.on}"
    if getattr(fault, "after_accepting", False):
        text += " after accepting"
    return text if fault.probability == 1 else f"{text} at {fault.probability:.0%}"


def _words(action: Action) -> str:
    match action:
        case KillWorker() | StopWorker():
            return f"{action.do} {action.worker}"
        case Leave():
            return f"{action.do} {phone(action.person)}"
        case Reply():
            return f"{phone(action.person)} replies {action.says!r}"
        case Hold():
            return f"{action.do} {action.campaign or action.sequence or action.device}"
        case _:
            return action.do
