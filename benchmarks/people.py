"""People for benchmarks, with unique fictional numbers."""

import itertools
from functools import cache

import phonenumbers

from rig.people import MOST_PHONES, phone
from rig.stage import Stage

__all__ = ["add_leads", "most_enrolled", "some_phones"]

_leads = itertools.count()
_services = itertools.count(1)


@cache
def _hundreds() -> list[int]:
    """Where each hundred of numbers begins: those of no area code, before those that are valid.

    What is stored directly does not ask for that, what a service enrolls does.
    """
    return sorted(range(0, MOST_PHONES, 100), key=_is_valid)


def most_enrolled() -> int:
    """How many of the numbers a service may enroll."""
    return 100 * sum(_is_valid(first) for first in _hundreds())


def _is_valid(index: int) -> bool:
    return phonenumbers.is_valid_number(phonenumbers.parse(phone(index)))


def _phone(index: int) -> str:
    return phone(_hundreds()[index // 100] + index % 100)


def some_phones(count: int) -> list[str]:
    """Numbers that were not used before in this process, and that a service may enroll."""
    return [_phone(MOST_PHONES - next(_services)) for _ in range(count)]


async def add_leads(
    here: Stage, count: int, *, niche: str = "", trigger: str = "", devices: int = 1
) -> list[str]:
    """Adds new leads, spread over the devices ``bench-0`` and so on; returns their phones."""
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
