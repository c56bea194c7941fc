"""Files that an operator names, as text."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from messaging.yaml_files import Document

__all__ = ["read_draft"]

Draft = TypeVar("Draft")


def read_draft(
    file: Path, read: Callable[[str, str], Draft], unreadable: Callable[[Document], Draft]
) -> Draft:
    """Reads one file; where that cannot be done, the reason is a problem noted in a document like all others."""
    document = Document(str(file))
    try:
        return read(file.read_text(encoding="utf-8-sig"), str(file))
    except OSError as error:
        document.note((), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        document.note((), f"is not UTF-8 in its byte {error.start:,}, save it as UTF-8")
    return unreadable(document)
