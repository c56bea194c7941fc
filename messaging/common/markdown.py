"""Text for pages that show Markdown."""

from collections.abc import Iterable, Sequence

__all__ = ["escape_markdown", "markdown_list", "markdown_table"]

GAP = "\N{NO-BREAK SPACE}" * 2


def escape_markdown(text: str) -> str:
    """Text from outside, made safe to put into Markdown: no markup, one line."""
    return "".join(
        f"\\{character}" if character in r"\`*_{}[]<>()#+!|~" else character
        for character in text
        if character >= " "
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers. Cells are Markdown already.

    The Web UI puts no gap between columns, so each has one of its own.
    """
    lines = [f" | {GAP}".join(line) for line in (head, *rows)]
    rule = " | ".join([":--", *("--:" for _ in head[1:])])
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def markdown_list(*lines: str) -> str:
    """A list of the lines that are not empty. (The Web UI doubles a line break, and puts wide gaps between paragraphs.)"""
    return "\n".join(f"- {line}" for line in lines if line)
