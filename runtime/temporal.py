"""The client of Temporal: address, TLS and credentials as Temporal's own tools take them (``TEMPORAL_*``, profiles)."""

import asyncio
from collections.abc import Sequence

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig, ClientConfigProfile
from temporalio.service import RPCError, RPCStatusCode

from messaging.errors import Unavailable

__all__ = ["configured_address", "connect", "ensure_search_attributes"]

PATIENCE = 20.0
"""Seconds for which a server that is still starting is tried."""


def configured_address() -> str | None:
    """Temporal's address as the environment or its configuration file has it; None where neither names one."""
    try:
        return ClientConfigProfile.load().address
    except (ValueError, RuntimeError) as error:
        raise Unavailable(f"Temporal's configuration cannot be used: {error}") from error


async def connect(address: str, namespace: str | None = None, *, embedded: bool = False) -> Client:
    """A client that speaks pydantic. ``embedded``: pass over the environment's settings for another server.

    Raises Unavailable in one line.
    """
    config = {} if embedded else dict(ClientConfig.load_client_connect_config())
    config["target_host"] = address
    if namespace is not None:
        config["namespace"] = namespace
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            client = await Client.connect(**config, data_converter=pydantic_data_converter)  # type: ignore[arg-type]
            await client.count_workflows("WorkflowId = 'is-the-namespace-ready'")
        except (RuntimeError, RPCError) as error:
            settled = isinstance(error, RPCError) and error.status in {
                RPCStatusCode.PERMISSION_DENIED,
                RPCStatusCode.UNAUTHENTICATED,
            }
            if settled or asyncio.get_running_loop().time() > deadline:
                raise Unavailable(
                    f"Temporal at {address} cannot be used: {_first_line(error)}; check TEMPORAL_ADDRESS and "
                    "TEMPORAL_NAMESPACE, and that the server runs"
                ) from error
            await asyncio.sleep(0.2)
        else:
            return client


async def ensure_search_attributes(client: Client, keys: Sequence[SearchAttributeKey]) -> None:  # type: ignore[type-arg]
    """Registers the attributes that the namespace lacks: a workflow that sets an unknown one would never get on.

    Raises Unavailable, saying what to register by hand, where we may not.
    """
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        missing = {
            key.name: key.indexed_value_type
            for key in keys
            if key.name not in known.custom_attributes and key.name not in known.system_attributes
        }
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace,
                    search_attributes={
                        name: IndexedValueType.ValueType(kind) for name, kind in missing.items()
                    },
                )
            )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return
        arguments = " ".join(
            f"--name {key.name} --type {key.indexed_value_type.name.title()}" for key in keys
        )
        raise Unavailable(
            f"the search attributes cannot be registered ({error.message}): give 'temporal operator "
            f"search-attribute create --namespace {client.namespace} {arguments}'"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
