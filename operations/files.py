"""Reads the files that an operator names."""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from messaging.files.yaml import MAX_FILE, Document, FileProblems, read_yaml

__all__ = ["check_readable", "read_draft"]

Draft = TypeVar("Draft")

_MAX_BYTES = 4 * MAX_FILE

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_draft(
    file: Path, read: Callable[[str, str], Draft], unreadable: Callable[[Document], Draft]
) -> Draft:
    """Reads one file. If that fails, the reason is noted in the document like any other problem."""
    document = Document(str(file))
    try:
        content = _content(file)
        if content.startswith(_UTF_16):
            document.note((), "is UTF-16, save it as UTF-8")
        elif len(content) > _MAX_BYTES:
            document.note((), f"has more than {_MAX_BYTES:,} bytes")
        else:
            return read(content.decode("utf-8-sig"), str(file))
    except OSError as error:
        document.note_file(f"cannot be read: {error.strerror}")
    except ValueError as error:
        where = f" in its byte {error.start:,}" if isinstance(error, UnicodeDecodeError) else ""
        document.note((), f"is not UTF-8{where}, save it as UTF-8" if where else f"cannot be read: {error}")
    return unreadable(document)


def check_readable(files: Sequence[Path]) -> None:
    """Raises FileProblems if a file cannot be read at all. It needs no server."""
    documents = [read_draft(file, read_yaml, lambda document: document) for file in files]
    problems = [problem for document in documents if not document.data for problem in document.problems]
    if problems:
        raise FileProblems(problems)


def _content(file: Path) -> bytes:
    """The contents of the file, up to a little over the limit. It never blocks: a pipe is refused."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no file but a pipe or a device")
        return opened.read(_MAX_BYTES + 1)
