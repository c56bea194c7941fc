"""People for benchmarks: fictional numbers, no two alike."""

import itertools

from benchmarks.stage import Stage

__all__ = ["MOST", "add_leads", "phone", "some_phones"]

MOST = 79_900
"""So many numbers of the form +1 NPA 555-01xx are there."""

_taken = itertools.count()


def phone(index: int) -> str:
    """A fictional number."""
    assert 0 <= index < MOST
    return f"+1{201 + index // 100}555{100 + index % 100:04d}"


def some_phones(count: int) -> list[str]:
    """Numbers that nobody had before in this process."""
    return [phone(next(_taken)) for _ in range(count)]


async def add_leads(
    here: Stage, count: int, *, niche: str = "", trigger: str = "", devices: int = 1
) -> list[str]:
    """So many new leads, spread over the devices ``bench-0`` and so on; their phones."""
    phones = some_phones(count)
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
