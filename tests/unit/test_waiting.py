"""The line that says that a command is still at work."""

import asyncio
import io

import pytest

from cli import waiting
from cli.waiting import bar_of_its_own, still_at_work
from rig.waiting import until
from runtime import process
from runtime.process import tell


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AFTER", 0.0)
    monkeypatch.setattr(waiting, "EVERY", 0.01)


async def test_it_stands_alone_on_a_terminal_and_is_cleared_for_other_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)

    async def said() -> bool:
        return bool(process.unfinished_line)

    async with still_at_work():
        await until(said, 5)
        tell("something")
        await until(said, 5)
    text = stream.getvalue()
    assert "working, 0 s …\r\x1b[Kdrumbeat: something\n\r\x1b[Kworking" in text
    assert text.endswith("…\r\x1b[K"), "nothing of it is left"
    assert process.unfinished_line == ""


async def test_nothing_beside_a_bar_or_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        async with still_at_work():
            if stream.isatty():
                with bar_of_its_own():
                    await asyncio.sleep(0.05)
            else:
                await asyncio.sleep(0.05)
        assert stream.getvalue() == ""
