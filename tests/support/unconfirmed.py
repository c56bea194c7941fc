"""Messages of which nobody knows whether they arrived."""

from typing import Any

from rig.waiting import until
from tests.support.live import Live

__all__ = ["SEQUENCE", "settled_as", "unconfirmed"]

SEQUENCE = """
sequence: story
steps:
  - {id: a, day: 1, text: "One"}
"""


async def unconfirmed(live: Live) -> list[dict[str, Any]]:
    return [row for row in await live.scenario.messages() if row["status"] == "unconfirmed"]


async def settled_as(live: Live, status: str, count: int) -> None:
    async def there() -> bool:
        return [row["status"] for row in await live.scenario.messages()].count(status) == count

    await until(there)
