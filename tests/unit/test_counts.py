"""Counts as people read them."""

import pytest

from messaging.common.counts import count_of


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 leads"), (1, "1 lead"), (2, "2 leads"), (12_345, "12,345 leads")]
)
def test_one_is_singular(number: int, words: str) -> None:
    assert count_of(number, "lead") == words


def test_a_plural_may_be_given() -> None:
    assert count_of(1, "contact has", "contacts have") == "1 contact has"
    assert count_of(2, "contact has", "contacts have") == "2 contacts have"
