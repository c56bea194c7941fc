"""The peer: the same campaign on DBOS Transact, which keeps durable workflows in PostgreSQL and has no server of its own.

A workflow for each lead sends its message to the same simulated gateway, by the same code as Drumbeat's own activity
(``Sender.send_stored``), which claims it, hands it over and settles it in the ledger. DBOS keeps its state in the same
PostgreSQL, as durably as the embedded Temporal keeps its own: it survives a kill of any process, but not necessarily a
power cut. The ledger survives both.

``python -m benchmarks.extra.peer HOME CAMPAIGN_ID`` sends what is pending of a campaign whose audience is frozen.

How DBOS is set up was chosen by measuring: 800 leads on two cores, medians of six rounds that alternated.

- Leads are enqueued a hundred to a transaction: 219 a second. A transaction for each: 203. Workflows that are started
  directly, a hundred at a time: 206.
- Its calls to the database block, and run in threads: four. As many as it likes, which is its default, keep each other
  from running: 181. Two to eight are about as fast as four.
- Connections are not tried out before each use (``pool_pre_ping``), which is a round trip less. With that: 208.
- So many leads at a time as it likes: at most 50, 100 or 200 made no difference, and nothing was ever put off.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

from benchmarks.campaign import Run
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import begin_campaign, finish_campaign
from messaging.common.database import Pool
from messaging.common.errors import Unavailable
from messaging.gateways import Gateways
from messaging.sending.outcomes import Deferred, Settled
from messaging.sending.send import Sender
from rig.processes import usage
from rig.stage import Stage
from rig.waiting import NeverHappened
from runtime.database import open_pool
from runtime.embedded.processes import dying_with_parent
from runtime.embedded.state import Running, read_running
from runtime.settings import CHECKOUT

__all__ = ["MISSING", "peer_rate"]

MISSING = "DBOS is not installed: run .venv/bin/python -m pip install --require-hashes -r benchmarks/extra/peer.lock"

APPLICATION = "drumbeat-peer"
DATABASE = "peer"
"""Its own, so that the size of the ledger's stays what it is."""

QUEUE = "leads"
WORKFLOW = "send_message"
A_TRANSACTION = 100
"""Leads that are enqueued together."""

THREADS = 4
CONNECTIONS = 10
"""More than there are threads: DBOS looks for work and listens besides."""

LEDGER_CONNECTIONS = 20
"""As many as a worker of Drumbeat has."""

WITHIN = 1800.0
"""Seconds for a campaign, on however slow a machine."""

SERVERS = ("postgres", "simulator")
"""Those that the peer uses. Temporal is up as well, and has nothing to do."""


async def peer_rate(here: Stage, campaign: str, *, step: bool = True) -> Run:
    """Sends a drafted campaign on DBOS, in a process of its own. Raises NeverHappened, and Unavailable where DBOS is not installed.

    Neither the start of the process nor the freezing of the audience counts. ``step``: whether the sending is a step,
    the outcome of which DBOS records. That is what DBOS asks for, and what Temporal does with an activity. Here it
    could be left out, as the ledger makes it safe to send again.
    """
    if find_spec("dbos") is None:
        raise Unavailable(MISSING)
    pool = await here.connection.pool()
    async with pool.acquire() as connection:
        _, plan = await begin_campaign(connection, campaign, start_now=True)
        frozen = await freeze_audience(connection, plan.campaign_id, now=None)
    command = ["-m", "benchmarks.extra.peer", str(here.home), str(plan.campaign_id), "--driven"]
    peer = await asyncio.create_subprocess_exec(
        *dying_with_parent(signal.SIGKILL),
        *(sys.executable, *command, *([] if step else ["--no-step"])),
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, who end it
    )
    assert peer.stdin is not None
    assert peer.stdout is not None
    try:
        async with asyncio.timeout(WITHIN):
            if await peer.stdout.readline() != b"ready\n":
                raise NeverHappened("the peer does not start")
            servers, own = here.usage(), usage({"peer": peer.pid})
            peer.stdin.write(b"go\n")
            if not (line := await peer.stdout.readline()):
                raise NeverHappened("the peer ended before it was through")
            told = json.loads(line)
            # It waits for us to look: a process that has ended has no CPU time.
            spent = here.usage().since(servers)
            taken = usage({"peer": peer.pid}).since(own)["peer"]
            peer.stdin.close()
            await peer.wait()
    except TimeoutError:
        raise NeverHappened(f"the peer is not through within {WITHIN:.0f} s") from None
    finally:
        if peer.returncode is None:
            peer.kill()
            await peer.wait()
    await _check(pool, plan.campaign_id, frozen.leads, told["messages"])
    leads = frozen.leads
    cpu = {"peer": taken, **{name: spent[name] for name in SERVERS}}
    return Run(leads / told["seconds"], {name: 1000 * seconds / leads for name, seconds in cpu.items()})


async def _check(pool: Pool, campaign_id: int, leads: int, told: int) -> None:
    """Everything must have been sent, or the figure means nothing."""
    sent = await pool.fetchval(
        "select count(*) from broadcast_messages where campaign_id = $1 and status = 'sent'", campaign_id
    )
    if not sent == told == leads:
        raise NeverHappened(f"the peer sent {sent} of {leads}")
    async with pool.acquire() as connection:
        await finish_campaign(connection, campaign_id)


async def _send(message_id: str, sender: Sender) -> float | None:
    """Seconds after which it is to be tried again; None if it is settled."""
    outcome = await sender.send_stored(UUID(message_id))
    match outcome:
        case Settled():
            return None
        case Deferred():
            return max(0.0, (outcome.until - datetime.now(UTC)).total_seconds())
        case _:
            raise RuntimeError(f"nothing holds a benchmark up, but this: {outcome}")


async def _nothing() -> None:
    """A workflow that shows that the queue is looked after."""


class _Peer:
    """DBOS in this process, with its workflows."""

    def __init__(self, running: Running, send: Callable[[str], Awaitable[float | None]], step: bool) -> None:
        """To be made in a running event loop: workflows run on it."""
        # Not at the top: the driver and the type checker do without DBOS.
        import sqlalchemy
        from dbos import DBOS, DBOSClient

        self._dbos = DBOS
        url = sqlalchemy.make_url(running.database_url)
        url = url.set(drivername="postgresql+psycopg", database=DATABASE)
        url = url.update_query_dict({"options": "-c synchronous_commit=off"})
        DBOS(
            config={
                "name": APPLICATION,
                "application_version": "1",
                "system_database_url": url.render_as_string(hide_password=False),
                "sys_db_pool_size": CONNECTIONS,
                "db_engine_kwargs": {"pool_pre_ping": False},
                "max_executor_threads": THREADS,
                "log_level": "WARNING",
                "enable_otlp": False,
            }
        )
        do_send = DBOS.step(name="send")(send) if step else send

        self._left = 0
        self._sent = asyncio.Event()

        async def send_message(message_id: str) -> None:
            try:
                while (seconds := await do_send(message_id)) is not None:
                    await DBOS.sleep_async(seconds)
            finally:
                self._left -= 1
                if self._left == 0:
                    self._sent.set()

        DBOS.workflow(name=WORKFLOW)(send_message)
        self._nothing = DBOS.workflow(name="nothing")(_nothing)
        DBOS.launch()
        self._engine = sqlalchemy.create_engine(url)
        self._client = DBOSClient(system_database_engine=self._engine, application_name=APPLICATION)

    async def ready(self) -> None:
        """Waits until the queue is looked after, which takes DBOS up to a second."""
        await self._dbos.register_queue_async(QUEUE, polling_interval_sec=0.05)
        handle = await self._dbos.enqueue_workflow_async(QUEUE, self._nothing)
        await handle.get_result()

    async def send(self, messages: list[str]) -> None:
        """Runs a workflow for each message to its recorded end."""
        if not messages:
            return
        self._left = len(messages)
        await asyncio.to_thread(self._enqueue, messages)
        # DBOS is asked only when there can be little left: to ask takes its time.
        await self._sent.wait()
        while await self._dbos.list_queued_workflows_async(queue_name=QUEUE, limit=1, load_input=False):
            await asyncio.sleep(0.02)

    def _enqueue(self, messages: list[str]) -> None:
        """Enqueues a workflow for each message, under the message's own ID. Blocks."""
        for first in range(0, len(messages), A_TRANSACTION):
            with self._engine.begin() as connection:
                for message_id in messages[first : first + A_TRANSACTION]:
                    self._client.enqueue_in_transaction(
                        connection,
                        {"queue_name": QUEUE, "workflow_name": WORKFLOW, "workflow_id": message_id},
                        message_id,
                    )

    def close(self) -> None:
        """Ends DBOS. Blocks for a second."""
        self._client.destroy()
        self._engine.dispose()
        self._dbos.destroy()


async def _run(home: Path, campaign_id: int, *, driven: bool, step: bool) -> None:
    running = read_running(home)
    assert running is not None, "the servers run"
    pool = await open_pool(running.database_url, size=LEDGER_CONNECTIONS)
    gateways = Gateways(running.simulator_url)
    sender = Sender(pool, gateways)

    async def send(message_id: str) -> float | None:
        return await _send(message_id, sender)

    peer = _Peer(running, send, step)
    await peer.ready()
    if driven:
        _tell("ready")
        await asyncio.to_thread(sys.stdin.readline)
    began = time.monotonic()
    rows = await pool.fetch(
        "select id::text from broadcast_messages where campaign_id = $1 and status = 'pending'"
        " order by campaign_position",
        campaign_id,
    )
    await peer.send([row["id"] for row in rows])
    _tell(json.dumps({"seconds": round(time.monotonic() - began, 3), "messages": len(rows)}))
    if driven:
        await asyncio.to_thread(sys.stdin.readline)
    peer.close()
    await gateways.close()
    await pool.close()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Sends one campaign, and prints how long it took as a line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.extra.peer", description="A campaign on DBOS."
    )
    parser.add_argument("home", type=Path, help="of running embedded servers")
    parser.add_argument("campaign", type=int, metavar="CAMPAIGN_ID")
    parser.add_argument("--no-step", action="store_true", help="no record of the sending, only of the whole")
    parser.add_argument("--driven", action="store_true", help="say when ready, then wait for a line")
    arguments = parser.parse_args()
    if find_spec("dbos") is None:
        sys.exit(MISSING)
    asyncio.run(_run(arguments.home, arguments.campaign, driven=arguments.driven, step=not arguments.no_step))


if __name__ == "__main__":
    main()
