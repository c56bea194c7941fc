"""Problems of files, with their lines."""

from typing import NamedTuple

from messaging.common.counts import count_of
from messaging.common.errors import InvalidInput

__all__ = ["MOST_PROBLEMS", "FileProblems", "Problem"]

MOST_PROBLEMS = 50
"""How many problems of a file are shown; if there are more, most are the same one."""


class Problem(NamedTuple):
    """A problem in a file that must be mended, or a warning. ``line``: 0 if it is about the file, as when there is none."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{self.file}{line}: {self.field + ': ' if self.field else ''}{self.message}"


class FileProblems(InvalidInput):
    """Files cannot be used; ``str(error)`` has a line for each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        if len(self.problems) > MOST_PROBLEMS:
            lines.append(
                f"{self.problems[0].file}: and {count_of(len(self.problems) - MOST_PROBLEMS, 'more problem')}"
            )
        super().__init__("\n".join(lines))
