"""Fictional people: phone numbers that belong to nobody."""

__all__ = ["MOST_PHONES", "phone"]

MOST_PHONES = 79_900
"""How many numbers of the form +1 NPA 555-01xx there are, with area codes from 201 to 999."""


def phone(index: int) -> str:
    """One of MOST_PHONES fictional numbers. The first hundred numbers have the area code 201, the next hundred 202, and
    so on.
    """
    assert 0 <= index < MOST_PHONES, "there are no more fictional numbers"
    return f"+1{201 + index // 100}555{100 + index % 100:04d}"
