"""People who are none: phone numbers that belong to nobody."""

__all__ = ["MOST_PHONES", "phone"]

MOST_PHONES = 79_900
"""There are so many numbers of the form +1 NPA 555-01xx, with area codes from 201 to 999."""


def phone(index: int) -> str:
    """One of MOST_PHONES fictional numbers. Their area codes rise: a hundred numbers have 201, the next hundred 202."""
    assert 0 <= index < MOST_PHONES, "there are no more fictional numbers"
    return f"+1{201 + index // 100}555{100 + index % 100:04d}"
