"""The example in docs/gateways.md is short. That it works is tried with the other gateways: test_gateway_conformance.py."""

from tests.gateways.guide import NAME, blocks


def test_it_is_as_short_as_the_guide_says() -> None:
    code = blocks()
    assert set(code) == {
        f"messaging/gateways/{NAME}.py",
        "messaging/gateways/__init__.py",
        f"tests/gateways/{NAME}.py",
    }
    assert sum(len(block.splitlines()) for block in code.values()) < 100
