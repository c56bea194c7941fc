"""What came of sent messages, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messaging.common.counts import count_of

if TYPE_CHECKING:
    from messaging.sending.results import Results

__all__ = ["results_line"]


def results_line(results: Results) -> str:
    """One line: of the messages, how many arrived and were read; then how many people replied and opted out."""
    return (
        f"{results.delivered:,} delivered, {results.read:,} read;"
        f" {count_of(results.replied, 'person', 'people')} replied, {results.opted_out:,} opted out"
    )
