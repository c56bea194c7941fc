"""The table of leads, as tests compare it."""

import csv
from pathlib import Path
from typing import Any

from messaging.common.database import Pool

__all__ = ["add_devices", "everything", "known", "put_aside", "write"]

KNOWN = "phone, name, niches, triggers, target_status, device_id, time_zone, attributes"


async def everything(pool: Pool) -> list[dict[str, Any]]:
    """All columns, ``updated_at`` and the row's own version included: equal only if nothing was written."""
    return [dict(row) for row in await pool.fetch("select xmin::text, * from leads order by id")]


async def known(pool: Pool) -> list[dict[str, Any]]:
    """What is known about the leads, by phone."""
    return [dict(row) for row in await pool.fetch(f"select {KNOWN} from leads order by phone")]


async def add_devices(pool: Pool, *ids: str) -> None:
    """Devices with nothing but an ID."""
    await pool.executemany(
        "insert into devices (id, gateway) values ($1, 'simulated')", [(name,) for name in ids]
    )


def write(path: Path, *lines: str) -> Path:
    """A file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def put_aside(path: Path) -> list[dict[str, str]]:
    """The rows of a file of rejects."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
