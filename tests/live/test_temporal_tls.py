"""Temporal behind mutual TLS, in a namespace with a dot as Temporal Cloud has them; and with an API key."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest

from rig.people import phone
from tests.support.live import Live
from tests.support.tls_server import client_settings, tls_server

NAMESPACE = "shop.a1b2c"
SEQUENCE = """
sequence: short
steps:
  - {id: a, day: 1, text: "One"}
"""

# The letters of HPACK's Huffman code (RFC 7541, appendix B) that the header's value has.
CODES = {
    "0": (0x0, 5),
    "1": (0x1, 5),
    "2": (0x2, 5),
    "a": (0x3, 5),
    "c": (0x4, 5),
    "e": (0x5, 5),
    "s": (0x8, 5),
    "t": (0x9, 5),
}
CODES |= {" ": (0x14, 6), "r": (0x2C, 6), "B": (0x5D, 7)}


def coded(text: str) -> bytes:
    """As HTTP/2 sends a header's value."""
    bits = "".join(f"{CODES[letter][0]:0{CODES[letter][1]}b}" for letter in text)
    bits += "1" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


async def has_namespace(live: Live) -> None:
    service = live.connection.temporal.workflow_service
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    await service.register_namespace(
        RegisterNamespaceRequest(namespace=NAMESPACE, workflow_execution_retention_period=retention)
    )


async def test_worker_and_commands_work_over_mutual_tls_and_with_an_api_key(live: Live) -> None:
    await has_namespace(live)
    await live.scenario.add_device()
    await live.scenario.apply(SEQUENCE)
    upstream = live.connection.addresses.temporal_address.replace("localhost", "127.0.0.1")
    async with (
        tls_server("server", upstream) as mutual,
        tls_server("server", upstream, asks_for_certificates=False) as with_key,
    ):
        settings = {**client_settings(), "TEMPORAL_ADDRESS": mutual.address, "TEMPORAL_NAMESPACE": NAMESPACE}
        await live.start_worker(**settings)
        code, out, error = await live.run(
            "starter.py", "enroll", "short", phone(0), "--device", live.scenario.device, **settings
        )
        assert (code, error) == (0, ""), out
        await live.all_over(1)
        assert len(await live.scenario.accepted()) == 1

        assert coded("Bearer secret012") not in mutual.received
        keyed = {
            "TEMPORAL_ADDRESS": with_key.address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "TEMPORAL_API_KEY": "secret012",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": settings["TEMPORAL_TLS_SERVER_CA_CERT_PATH"],
        }
        code, _, error = await live.run(
            "starter.py", "enroll", "short", phone(1), "--device", live.scenario.device, **keyed
        )
        assert (code, error) == (0, "")
        await live.all_over(2)
        assert coded("Bearer secret012") in with_key.received
