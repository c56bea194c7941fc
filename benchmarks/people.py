"""People for benchmarks: fictional numbers, no two alike."""

import itertools
from functools import cache

import phonenumbers

from benchmarks.stage import Stage

__all__ = ["MOST", "add_leads", "most_enrolled", "some_phones"]

MOST = 79_900
"""So many numbers of the form +1 NPA 555-01xx are there."""

_leads = itertools.count()
_services = itertools.count(1)


@cache
def _area_codes() -> list[int]:
    """Those that are none, before those that are: what is stored directly does not ask, what a service enrolls does."""
    return sorted(range(201, 1000), key=_is_valid)


def most_enrolled() -> int:
    """So many of them may a service enroll."""
    return 100 * sum(_is_valid(code) for code in _area_codes())


def _is_valid(code: int) -> bool:
    return phonenumbers.is_valid_number(phonenumbers.parse(f"+1{code}5550100"))


def _phone(index: int) -> str:
    assert 0 <= index < MOST, "there are no more fictional numbers"
    return f"+1{_area_codes()[index // 100]}555{100 + index % 100:04d}"


def some_phones(count: int) -> list[str]:
    """Numbers that nobody had before in this process, and that a service may enroll."""
    return [_phone(MOST - next(_services)) for _ in range(count)]


async def add_leads(
    here: Stage, count: int, *, niche: str = "", trigger: str = "", devices: int = 1
) -> list[str]:
    """So many new leads, spread over the devices ``bench-0`` and so on; their phones."""
    phones = [_phone(next(_leads)) for _ in range(count)]
    pool = await here.connection.pool()
    await pool.execute(
        "insert into leads (phone, name, niches, triggers, device_id)"
        " select p, 'Lead ' || n, array_remove(array[upper($2)], ''), array_remove(array[upper($3)], ''),"
        " 'bench-' || n % $4 from unnest($1::text[]) with ordinality as u (p, n)",
        phones,
        niche,
        trigger,
        devices,
    )
    return phones
