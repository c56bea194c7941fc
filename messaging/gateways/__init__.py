"""The gateways that Drumbeat knows. A new gateway is a module here and a line in ``KINDS``."""

import json
from collections.abc import Container, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from messaging.common.errors import InvalidInput
from messaging.gateways.base import Capabilities, Gateway
from messaging.gateways.options import Options, check_credentials, named

if TYPE_CHECKING:
    from pathlib import Path

    from messaging.gateways.networks import Network

__all__ = [
    "NAMES",
    "Gateways",
    "capabilities_of",
    "has_service_window",
    "has_webhooks",
    "kind_of",
    "open_gateway",
    "slow_gateways",
    "validate_options",
]


class _Kind(Protocol):
    """A gateway's class: made from its options, which it can check without being made."""

    capabilities: Capabilities

    def __call__(self, options: Mapping[str, Any]) -> Gateway: ...

    def check(self, options: Mapping[str, Any]) -> object: ...


KINDS: dict[str, str | _Kind] = {
    "simulated": "simulated.SimulatedGateway",
    "cloud-api": "cloud_api.CloudApiGateway",
    "gowa": "gowa.GowaGateway",
    "wablas": "wablas.WablasGateway",
    "whacenter": "whacenter.WhacenterGateway",
}
"""Each gateway's module and class, or the class itself. A module is imported only when it is used: so a command that
sends nothing starts in half the time.
"""

NAMES: tuple[str, ...] = tuple(KINDS)
"""What a device's gateway may be."""


def validate_options(
    name: str, options: Mapping[str, Any], *, credentials: Container[str] = ()
) -> tuple[str, ...]:
    """Raises InvalidInput if there is no gateway of that name, or if it cannot use the options.

    ``credentials``: options of credentials that are to be checked too, as far as they can be read here; answers a
    sentence for each one that is missing here (:func:`messaging.gateways.options.check_credentials`).
    """
    understood = kind_of(name).check(options)
    return check_credentials(understood, credentials) if isinstance(understood, Options) else ()


def has_webhooks(name: str, options: Mapping[str, Any]) -> bool:
    """True if the options name a credential by which webhooks are verified. Raises InvalidInput."""
    understood = kind_of(name).check(options)
    return isinstance(understood, Options) and any(named(understood, proof) for proof in understood.proofs)


def capabilities_of(name: str) -> Capabilities:
    """The capabilities of that gateway. Raises InvalidInput if there is none of that name."""
    return kind_of(name).capabilities


def has_service_window(name: str, options: Mapping[str, Any]) -> bool:
    """True if a device with these options takes free text only within 24 hours of a person's last message to it: that of
    every device of the Cloud API, and of a simulated one with the option ``service_window``. Raises InvalidInput.
    """
    kind = kind_of(name)
    return kind.capabilities.service_window or bool(getattr(kind.check(options), "service_window", False))


def slow_gateways() -> dict[str, float]:
    """The gateways whose answers may take longer than usual, and how many seconds."""
    usual = Capabilities().answers_within
    return {
        name: capabilities_of(name).answers_within
        for name in KINDS
        if capabilities_of(name).answers_within > usual
    }


def open_gateway(name: str, options: Mapping[str, Any]) -> Gateway:
    """A client of that gateway, for the running event loop. Raises InvalidInput. To be closed by the caller."""
    return kind_of(name)(options)


def kind_of(name: str) -> _Kind:
    """The class of that gateway. Raises InvalidInput if there is none of that name."""
    kind = KINDS.get(name)
    if kind is None:
        raise InvalidInput(f"there is no gateway {name!r}: choose one of {', '.join(NAMES)}")
    if isinstance(kind, str):
        module, _, found = kind.partition(".")
        loaded: _Kind = getattr(import_module(f"messaging.gateways.{module}"), found)
        return loaded
    return kind


class Gateways:
    """A worker's open gateway clients, shared by devices with the same gateway and options; and the images for them.

    To be made inside a running event loop.
    """

    def __init__(
        self,
        simulator_url: str | None = None,
        image_networks: "tuple[Network, ...]" = (),
        *,
        simulator_secret: "Path | None" = None,
    ) -> None:
        """``simulator_url``: the address for devices of the simulated gateway without a ``url``.
        ``simulator_secret``: the file with the secret of its webhooks, for devices without their own.

        ``image_networks``: private networks from which images may be fetched.
        """
        from messaging.gateways.images import ImageStore

        self.images = ImageStore(allowed=image_networks)
        self._defaults: dict[str, dict[str, str]] = {"simulated": {}}
        if simulator_url is not None:
            self._defaults["simulated"]["url"] = simulator_url
        if simulator_secret is not None:
            self._defaults["simulated"]["webhook_secret_file"] = str(simulator_secret)
        self._open: dict[tuple[str, str], Gateway] = {}

    async def of(self, name: str, options: Mapping[str, Any]) -> Gateway:
        """The gateway, opened if it is not yet. Raises InvalidInput."""
        complete = {**self._defaults.get(name, {}), **options}
        if options.get("webhook_secret_env") and "webhook_secret_file" not in options:
            complete.pop("webhook_secret_file", None)  # one in place of the other
        key = (name, json.dumps(complete, sort_keys=True, default=str))
        if key not in self._open:
            self._open[key] = open_gateway(name, complete)
        return self._open[key]

    async def close(self) -> None:
        """Closes all of them."""
        await self.images.close()
        while self._open:
            _, gateway = self._open.popitem()
            await gateway.close()
