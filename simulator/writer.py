"""One thread that writes to SQLite, committing in groups.

A commit costs far more than an insert. So everything that arrives while one commit runs goes into the next one, and
each caller gets its answer only after the commit that contains its work.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Writer"]

T = TypeVar("T")
MAX_GROUP = 500

Work = Callable[[sqlite3.Connection], T]


class _Job(Generic[T]):
    def __init__(self, work: Work[T], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None

    def attempt(self, connection: sqlite3.Connection) -> None:
        self.error = None
        self.result = self.work(connection)

    def answer(self) -> None:
        if self.future.done():  # the caller has gone
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class Writer:
    """Runs functions of a connection in the order of their arrival, each atomic and committed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """The result of ``work(connection)``, once it is committed; its exception, if it was rolled back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job = _Job(work, future)
        self._jobs.put(job)
        return await future

    def close(self) -> None:
        """Finishes pending work, and closes the connection."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        try:
            while (first := self._jobs.get()) is not None:
                group, last = self._take(first)
                self._commit(connection, group)
                with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
                    group[0].future.get_loop().call_soon_threadsafe(_answer, group)
                if last:
                    return
        finally:
            connection.close()

    def _take(self, first: _Job[Any]) -> tuple[list[_Job[Any]], bool]:
        group = [first]
        while len(group) < MAX_GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _commit(self, connection: sqlite3.Connection, group: list[_Job[Any]]) -> None:
        try:
            connection.execute("begin immediate")
            for job in group:
                job.attempt(connection)
            connection.execute("commit")
        except Exception as error:  # noqa: BLE001 - it is raised in the caller
            if connection.in_transaction:
                connection.execute("rollback")
            if len(group) == 1:
                group[0].error = error
            else:  # an error of one must not fail the others
                for job in group:
                    self._commit(connection, [job])


def _answer(group: list[_Job[Any]]) -> None:
    for job in group:
        job.answer()
