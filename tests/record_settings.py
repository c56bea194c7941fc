"""Writes docs/settings.md, the table of all settings, from runtime/settings.py: ``make settings``."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Le, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from runtime.settings import CHECKOUT, Ports, Settings, variable_of

__all__ = ["PAGE", "settings_page"]

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEADER = """\
# Settings

All settings are variables of the environment, read when a process starts. A value that cannot be used, and a variable with the prefix `DRUMBEAT_`
that is none of these, is refused in one line; so a misspelled one is not overlooked. (A variable that holds a device's credential may have the prefix if
its name ends in `TOKEN`, `SECRET`, `PASSWORD`, `KEY`, `USERNAME` or `_FILE`.)

Temporal's own, `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS…` and `TEMPORAL_PROFILE`, are
[those of its tools](https://docs.temporal.io/develop/environment-configuration). PostgreSQL's, such as `PGPASSWORD`, complete the URL.
If `DRUMBEAT_DEBUG` is set, unexpected errors come with a traceback.

This table is written by `make settings`, from `runtime/settings.py`.

| Variable | Value | Without it | Meaning |
| --- | --- | --- | --- |
"""


def settings_page() -> str:
    """What docs/settings.md is to hold."""
    return HEADER + "".join(_line(*one) for one in (*_fields(Settings), *_fields(Ports)))


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo, str]]:
    """Each field with its variable and its docstring; one without has that of the field before it."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    meanings: dict[str, str] = {}
    name = ""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            meanings[name] = " ".join(str(node.value.value).split())
    return [
        (variable_of(name, field), field, meanings.get(name, ""))
        for name, field in model.model_fields.items()
        if name != "ports"
    ]


def _line(variable: str, field: FieldInfo, meaning: str) -> str:
    text = meaning.replace("``", "`").replace("|", "\\\\|")
    return f"| `{variable}` | {_values(field)} | {_default(field.default)} | {text} |\n"


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    kinds = [one for one in get_args(kind) if one is not type(None)] or [kind]
    if all(isinstance(one, str) for one in kinds):
        return ", ".join(f"`{one}`" for one in kinds)
    if kinds == [int]:
        least = next((one.ge for one in field.metadata if isinstance(one, Ge)), None)
        most = next((one.le for one in field.metadata if isinstance(one, Le)), None)
        return f"{least} to {most}" if most is not None else f"from {least}"
    if kinds == [Path]:
        return "a path"
    return "a text" if not any(isinstance(one, MinLen) for one in field.metadata) else "a text, not empty"


def _default(value: Any) -> str:
    if isinstance(value, Path):
        return f"`{value.relative_to(CHECKOUT)}`"
    return "(none)" if value in (None, "") else f"`{re.sub('[|]', '/', str(value))}`"


if __name__ == "__main__":
    PAGE.write_text(settings_page())
    print(f"Wrote {PAGE.relative_to(Path.cwd())}")  # noqa: T201
