"""The Temporal client: address, TLS and credentials are configured as for Temporal's own tools (``TEMPORAL_*``,
profiles).
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client, Interceptor
from temporalio.common import HeaderCodecBehavior, SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError, RPCStatusCode

from messaging.common.errors import InvalidInput, Unavailable
from runtime.temporal_tls import check_connection, find_tls_problem, variables

__all__ = ["configured_address", "connect", "ensure_search_attributes"]

PATIENCE = 20.0
"""Seconds to keep trying a server that is still starting."""

SPREADING = 90.0
"""Seconds until a new search attribute is known everywhere: a server refreshes them once a minute."""

HOPELESS = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED})
FORBIDDEN = HOPELESS | {RPCStatusCode.UNIMPLEMENTED}

Key = SearchAttributeKey[Any]


def configured_address() -> str:
    """Temporal's address from the profile that the environment names.

    Raises InvalidInput if the configuration cannot be used.
    """
    address = _profile().address
    if not address:
        raise InvalidInput("Temporal's configuration names no address: set TEMPORAL_ADDRESS")
    return address


async def connect(
    address: str,
    namespace: str | None = None,
    *,
    embedded: bool = False,
    patience: float = PATIENCE,
    tell: Callable[[str], None] = lambda _: None,
    interceptors: Sequence[Interceptor] = (),
    data_converter: DataConverter = pydantic_data_converter,
) -> Client:
    """A client whose headers are encoded, too, if ``data_converter`` has a codec. ``embedded``: ignore settings of the environment for another server.

    Keeps trying a server that does not answer yet for ``patience`` seconds, and calls ``tell`` then. Raises Unavailable
    and InvalidInput.
    """
    config = {} if embedded else _connection()
    check_connection(config)
    config["target_host"] = address
    if namespace is not None:
        config["namespace"] = namespace
    clock = asyncio.get_running_loop().time
    started = clock()
    announced = False
    while True:
        try:
            client = await Client.connect(
                **config,
                data_converter=data_converter,
                header_codec_behavior=HeaderCodecBehavior.CODEC,
                interceptors=interceptors,
            )
            # A server can answer before its namespaces do.
            await client.count_workflows("WorkflowId = 'is-the-namespace-ready'")
        except (RuntimeError, RPCError, ValueError) as error:
            refused = isinstance(error, RPCError) and error.status in HOPELESS
            # A certificate does not become another one while we wait.
            tls = None if embedded or refused else await find_tls_problem(address, config)
            if tls is not None:
                raise Unavailable(f"Temporal at {address} cannot be used: {tls}") from error
            if refused or isinstance(error, ValueError) or clock() - started > patience:
                raise Unavailable(
                    f"Temporal at {address} cannot be used: {_format_error(error)}; {_advice(config, embedded, refused)}"
                ) from error
            if not announced and clock() - started > 1:
                tell(f"waiting for Temporal at {address}: {_format_error(error)}")
                announced = True
            await asyncio.sleep(0.2)
        else:
            return client


def _advice(config: Mapping[str, Any], embedded: bool, refused: bool) -> str:
    if embedded:
        return "its log is below DRUMBEAT_HOME, in logs"
    if refused and not config.get("api_key"):
        return "is a TEMPORAL_API_KEY needed, or a client certificate, which may use the namespace?"
    if refused:
        return (
            "check TEMPORAL_API_KEY, and that it may use the namespace"
            f" {config.get('namespace', 'default')!r} (TEMPORAL_NAMESPACE; in Temporal Cloud NAME.ACCOUNT)"
        )
    return "check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, and that the server runs"


async def ensure_search_attributes(client: Client, keys: Sequence[Key]) -> None:
    """Registers missing search attributes: a workflow that sets an unknown one would never make progress.

    Returns when they can be used. Raises Unavailable if one has another type, or if one is missing and we may not
    register it.
    """
    missing = await _missing(client, keys)
    if missing:
        await _register(client, missing)
    deadline = asyncio.get_running_loop().time() + SPREADING
    while not await _searchable(client, keys):
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable("Temporal does not know the search attributes that are registered with it")
        await asyncio.sleep(0.5)


async def _register(client: Client, missing: Sequence[Key]) -> None:
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes={key.name: _type(key) for key in missing},
            )
        )
    except RPCError as error:
        # Another process may have registered them just before.
        if error.status is RPCStatusCode.ALREADY_EXISTS and not await _missing(client, missing):
            return
        arguments = " ".join(
            f"--name {key.name} --type {key.indexed_value_type.name.title()}" for key in missing
        )
        raise Unavailable(
            f"search attributes are missing in namespace {client.namespace} and cannot be registered from here "
            f"({_format_error(error)}): run 'temporal operator search-attribute create --namespace {client.namespace} "
            f"{arguments}', or add them in Temporal Cloud's settings of the namespace"
        ) from error


async def _missing(client: Client, keys: Sequence[Key]) -> list[Key]:
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        if error.status not in FORBIDDEN:
            raise Unavailable(
                f"Temporal does not list its search attributes: {_format_error(error)}"
            ) from error
        return [key for key in keys if not await _searchable(client, [key])]
    for key in keys:
        kind = known.custom_attributes.get(key.name)
        if kind is not None and kind != _type(key):
            raise Unavailable(
                f"the search attribute {key.name} of namespace {client.namespace} is not of type "
                f"{key.indexed_value_type.name.title()}: remove it there, or use another namespace"
            )
    return [key for key in keys if key.name not in known.custom_attributes]


async def _searchable(client: Client, keys: Sequence[Key]) -> bool:
    """True if a query may name the attributes: this shows that they exist, even without administrative rights."""
    try:
        await client.count_workflows(" AND ".join(f"{key.name} IS NULL" for key in keys))
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            return False
        raise Unavailable(f"Temporal cannot be searched: {_format_error(error)}") from error
    return True


def _type(key: Key) -> IndexedValueType.ValueType:
    return IndexedValueType.ValueType(key.indexed_value_type)


def _profile() -> ClientConfigProfile:
    try:
        return ClientConfigProfile.load(override_env_vars=variables())
    except (ValueError, RuntimeError, OSError) as error:
        raise InvalidInput(f"Temporal's configuration cannot be used: {_format_error(error)}") from error


def _connection() -> dict[str, Any]:
    profile = _profile()
    try:
        return dict(profile.to_client_connect_config())
    except OSError as error:
        raise InvalidInput(
            f"Temporal's configuration names a file that cannot be read: {error.filename}: {error.strerror}"
        ) from error


def _format_error(error: Exception) -> str:
    """The error in one line. Transport errors contain their reason somewhere inside."""
    text = " ".join(str(error).split()) or type(error).__name__
    inner = re.findall(r'(?:message|error): "([^"]+)"', text)
    return (str(inner[-1]) if inner else text).rstrip(".")
