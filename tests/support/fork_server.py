"""A process that has imported Drumbeat and its libraries, and forks for each program that is asked for.

``python -m tests.support.fork_server DESCRIPTOR``: a listening socket. Each connection asks for one program, as
:mod:`tests.support.forked` does, and hears its number, and later how it ended.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import traceback
import types
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PROGRAMS = ("starter", "worker")
PACKAGES = ("cli", "messaging", "operations", "runtime", "temporal", "webhooks")
"""Everything in them, as commands import some of it only when they need it."""

LARGEST_REQUEST = 200_000
"""Bytes: the arguments and the environment."""


def serve(listener: socket.socket) -> None:
    """Forks for each connection, until standard input ends: its parent is gone then, and so are its children."""
    children: dict[int, socket.socket] = {}
    ended, end = os.pipe()
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([0, listener.fileno(), ended], [], [])
        if 0 in ready:
            break
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            message, files, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 2)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for target, file in enumerate(files, start=1):
                    os.dup2(file, target)
                for file in (*files, ended, end):
                    os.close(file)
                for one in (listener, connection, *children.values()):
                    one.close()
                become(**json.loads(message))
            for file in files:
                os.close(file)
            children[child] = connection
            connection.send(str(child).encode())
        if ended in ready:
            os.read(ended, 1000)
            while children and (over := os.waitpid(-1, os.WNOHANG))[0]:
                with children.pop(over[0]) as connection:
                    send(connection, str(os.waitstatus_to_exitcode(over[1])))
    for child in children:
        os.kill(child, signal.SIGKILL)


def send(connection: socket.socket, words: str) -> None:
    """Who asked may have stopped listening."""
    with suppress(OSError):
        connection.send(words.encode())


def become(arguments: Sequence[str], environment: dict[str, str], directory: str) -> NoReturn:
    """Runs the program as ``python ARGUMENTS`` would, and ends as that does."""
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    code: Any = 0
    try:
        what, *_ = arguments
        if what == "-c":
            sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
            sys.modules["__main__"] = main = types.ModuleType("__main__")
            exec(compile(arguments[1], "<string>", "exec"), vars(main))
        else:
            sys.argv, sys.path[0] = list(arguments), str(Path(what).resolve().parent)
            runpy.run_path(what, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def import_everything() -> None:
    """What takes a program most of a second."""
    for name in (*PROGRAMS, *PACKAGES):
        importlib.import_module(name)
    for name in PACKAGES:
        for module in pkgutil.walk_packages(sys.modules[name].__path__, f"{name}."):
            importlib.import_module(module.name)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a thread would be missing in the children"
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    import_everything()
    serve(socket.socket(fileno=int(sys.argv[1])))
