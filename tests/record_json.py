"""Writes docs/commands.schema.json, which says what each command prints with --json: ``make schema``."""

import json
import sys
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tests.json_results import RESULTS

__all__ = ["DOCUMENT", "document"]

DOCUMENT = Path(__file__).parents[1] / "docs" / "commands.schema.json"


def document() -> str:
    """All of them in one document: by command below ``properties``, and what they share below ``$defs``."""
    adapters: dict[str, TypeAdapter[Any]] = {
        command: TypeAdapter(reduce(or_, types)) for command, types in sorted(RESULTS.items())
    }
    schemas, shared = TypeAdapter.json_schemas(
        [(command, "serialization", adapter) for command, adapter in adapters.items()]
    )
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What the commands of Drumbeat print with --json",
        "description": "Each property is a command, and its schema that of the document which the command prints. A later version"
        " may add fields; what it takes away or gives another meaning is in CHANGELOG.md.",
        "type": "object",
        "properties": {command: schemas[command, "serialization"] for command in adapters},
        **shared,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    sys.stdout.write(f"Wrote {DOCUMENT.relative_to(Path.cwd())}\n")
