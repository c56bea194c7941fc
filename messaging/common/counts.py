"""How counts are written for people."""

__all__ = ["count_of"]


def count_of(number: int, one: str, many: str | None = None) -> str:
    """A count with its noun: ``1 lead``, ``2,000 leads``. ``many``: the plural, if it is not ``one`` with an s."""
    return f"1 {one}" if number == 1 else f"{number:,} {many or one + 's'}"
