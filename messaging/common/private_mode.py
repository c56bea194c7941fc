"""What the ledger knows of private mode: whether it is on, and which key makes its pseudonyms."""

from messaging.common.database import Pool
from messaging.common.errors import InvalidInput
from messaging.common.private_keys import present_keys

__all__ = ["begin_private_mode", "require_its_keys"]

NEED = "set DRUMBEAT_PRIVATE_KEYS to the file of its keys, as for its workers"


async def require_its_keys(pool: Pool) -> None:
    """Raises InvalidInput if the ledger is in private mode and this process has no keys for it, or others."""
    check, keys = await pool.fetchval("select ids_check from private_mode"), present_keys()
    if check is None:
        return
    if keys is None:
        raise InvalidInput(f"this ledger is in private mode: {NEED}")
    if keys.check() != check:
        raise InvalidInput(f"'ids' of the private keys is not that of this ledger: {NEED}")


async def begin_private_mode(pool: Pool) -> bool:
    """Switches private mode on if this process has keys; answers whether it was off before. Raises InvalidInput."""
    keys = present_keys()
    if keys is None:
        return False
    begun = await pool.fetchval(
        "insert into private_mode (ids_check) values ($1) on conflict (single) do nothing returning true",
        keys.check(),
    )
    await require_its_keys(pool)
    return bool(begun)
