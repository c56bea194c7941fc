"""Settings: whether the gateway honours idempotency keys, and whether it answers look-ups."""

import sqlite3

from pydantic import BaseModel, ConfigDict

from simulator.store import Store

__all__ = ["Setting", "Settings"]

EVERYWHERE = ""


class Setting(BaseModel):
    """The settings of a device. Unset: those for all devices."""

    model_config = ConfigDict(extra="forbid")

    idempotency: bool | None = None
    lookup: bool | None = None


class Settings:
    """The settings for all devices and for single ones. They survive a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of = {
            str(row["scope"]): Setting.model_validate_json(row["setting"])
            for row in store.read_now("select scope, setting from settings")
        }

    def get(self, device: str | None = None) -> dict[str, bool]:
        """The settings that apply to a device, or to devices without their own."""
        everywhere = self._of.get(EVERYWHERE, Setting())
        own = self._of.get(device or EVERYWHERE, everywhere)

        def value(own: bool | None, general: bool | None) -> bool:
            return own if own is not None else general if general is not None else True

        return {
            "idempotency": value(own.idempotency, everywhere.idempotency),
            "lookup": value(own.lookup, everywhere.lookup),
        }

    def devices(self) -> list[str]:
        """The devices with a setting of their own."""
        return sorted(scope for scope in self._of if scope != EVERYWHERE)

    async def put(self, device: str | None, setting: Setting) -> None:
        """Changes the fields that ``setting`` sets, and keeps the rest."""
        scope = device or EVERYWHERE
        changed = self._of.get(scope, Setting()).model_copy(update=setting.model_dump(exclude_none=True))
        self._of[scope] = changed

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "insert into settings values (?, ?) on conflict (scope) do update set setting = excluded.setting",
                (scope, changed.model_dump_json()),
            )

        await self._store.write(work)
