"""Reads files with credentials. A person who may set a device's options must not be able to read every file of the
worker.
"""

import os
import stat
from pathlib import Path

__all__ = ["SETTING", "UnusableFile", "parse_directories", "read_secret_file"]

SETTING = "DRUMBEAT_SECRETS_DIRS"
USUAL = Path("/run/secrets")
"""Where Docker and Podman put secrets, often readable by everybody in the container."""
LARGEST = 16 * 1024
"""Bytes."""


class UnusableFile(Exception):
    """Why a file cannot be used, and how to mend it."""


def parse_directories(text: str) -> tuple[Path, ...]:
    """The directories of the setting: absolute paths, colons between. Raises ValueError for anything else."""
    paths = tuple(Path(part.strip()) for part in text.split(":") if part.strip())
    for path in paths:
        if not path.is_absolute():
            raise ValueError(
                f"{path} is no absolute path; write directories like /etc/drumbeat, with colons between"
            )
    return paths


def read_secret_file(path: str) -> str:
    """The words in the file, without blanks around them. Raises UnusableFile.

    A file is used if it belongs to the worker's user (or root) and nobody else can read it, or if it is in
    ``/run/secrets``. If the setting names directories, only files in these are used, whatever their mode. The file that
    was really opened counts, after all links.
    """
    try:
        # Non-blocking: a pipe would block the whole worker until somebody writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise UnusableFile(f"cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise UnusableFile("is no regular file")
        _permit(path, Path(f"/proc/self/fd/{descriptor}").readlink(), about)
        # The kernel's own files, like the environment of a process, have no size. They are refused.
        content = os.read(descriptor, LARGEST + 1) if about.st_size else b""
    except OSError as error:
        raise UnusableFile(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise UnusableFile(f"has more than {LARGEST // 1024} KB, so it is no credential")
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UnusableFile("cannot be read: it is not text") from None


def _permit(path: str, opened: Path, about: os.stat_result) -> None:
    named = parse_directories(os.environ.get(SETTING, ""))
    if any(opened.is_relative_to(os.path.realpath(directory)) for directory in named or (USUAL,)):
        return
    if named:
        raise UnusableFile(
            f"lies outside the directories of {SETTING} ({':'.join(map(str, named))}): move it there, or name its directory"
        )
    if about.st_uid not in (os.geteuid(), 0):
        raise UnusableFile(f"belongs to another user than the worker: chown {os.geteuid()} {path}")
    if about.st_mode & 0o077:
        raise UnusableFile(
            f"can be read by others than its owner: chmod 600 {path}, or name its directory in {SETTING}"
        )
