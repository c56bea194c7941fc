"""The example gateway of docs/gateways.md, taken out of the document as a reader would."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from messaging.gateways import KINDS

__all__ = ["NAME", "blocks", "write"]

GUIDE = Path(__file__).parents[2] / "docs" / "gateways.md"
NAME = "acme"


def blocks() -> dict[str, str]:
    """The document's Python, by the file that each block says it is of."""
    found = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


def write(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader does: writes the two modules and the line."""
    code = blocks()
    for path in (f"messaging/gateways/{NAME}.py", f"tests/gateways/{NAME}.py"):
        module = ModuleType(path.removesuffix(".py").replace("/", "."))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(code[path], f"{GUIDE.name}: {path}", "exec"), vars(module))
    own = vars(sys.modules[f"messaging.gateways.{NAME}"])
    for name, kind in eval("{" + code["messaging/gateways/__init__.py"] + "}", dict(own)).items():
        monkeypatch.setitem(KINDS, name, kind)
