"""How many leads have no device to write from."""

from messaging.common.database import Connection, Pool

__all__ = ["count_without_device"]


async def count_without_device(connection: Connection | Pool) -> int:
    """The leads with no device of their own, if there are several; 0 if there is only one, which writes to them."""
    count: int = await connection.fetchval(
        "select count(*) from leads where device_id is null and (select only_device()) is null"
    )
    return count
