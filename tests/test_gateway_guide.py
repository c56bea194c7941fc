"""The example in docs/gateways.md is a gateway that works: it is taken out of the document, and conforms."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from messaging.gateways import KINDS
from tests import test_gateway_conformance as conformance
from tests.gateways.case import GatewayCase

GUIDE = Path(__file__).parent.parent / "docs" / "gateways.md"
NAME = "acme"


def blocks() -> dict[str, str]:
    """The document's Python, by the file that each block says it is of."""
    found = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> GatewayCase:
    """What a reader does: writes the two modules and the line."""
    code = blocks()
    for path in (f"messaging/gateways/{NAME}.py", f"tests/gateways/{NAME}.py"):
        module = ModuleType(path.removesuffix(".py").replace("/", "."))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(code[path], f"{GUIDE.name}: {path}", "exec"), vars(module))
    own = vars(sys.modules[f"messaging.gateways.{NAME}"])
    for name, kind in eval("{" + code["messaging/gateways/__init__.py"] + "}", dict(own)).items():
        monkeypatch.setitem(KINDS, name, kind)
    return conformance.case_of(NAME)


case = conformance.case

for _name, _function in vars(conformance).items():
    if _name.startswith("test_") and "case" in inspect.signature(_function).parameters:
        globals()[_name] = _function


def test_it_is_as_short_as_the_guide_says() -> None:
    code = blocks()
    assert set(code) == {
        f"messaging/gateways/{NAME}.py",
        "messaging/gateways/__init__.py",
        f"tests/gateways/{NAME}.py",
    }
    assert sum(len(block.splitlines()) for block in code.values()) < 100
