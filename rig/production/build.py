"""Builds Temporal's server, its schema tool and its Web UI from their Go modules, in the versions of the images.

Each module is built in its own folder with its own list of requirements, so the programs are what its release has; Go
checks the module's hash against the public checksum database (https://go.dev/ref/mod#authenticating).
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from messaging.common.errors import Unavailable

__all__ = ["MODULES", "build", "built_folder"]

GO = "https://go.dev/dl"
USUAL = "/usr/local/go/bin"
"""Where Go is, after its own instructions, also where the path does not lead there."""


@dataclass(frozen=True)
class Module:
    """A Go module. ``programs``: packages by the name of their program; ``files``: what else the image has of it."""

    path: str
    programs: Mapping[str, str]
    files: Mapping[str, str]
    tags: str = ""


SERVER = Module(
    "go.temporal.io/server",
    # The release is built with this tag, too: see the module's Makefile.
    {"temporal-server": "./cmd/server"},
    {"docker/scripts/sh/entrypoint.sh": "entrypoint.sh"},
    tags="disable_grpc_modules",
)
TOOLS = Module(
    "go.temporal.io/server",
    {"temporal-sql-tool": "./cmd/tools/sql"},
    {"schema": "schema"},
    tags="disable_grpc_modules",
)
UI = Module(
    "github.com/temporalio/ui-server/v2",
    {"ui-server": "./cmd/server"},
    {"docker/start-ui-server.sh": "start-ui-server.sh", "config": "config"},
)
MODULES = {"temporalio/server": SERVER, "temporalio/admin-tools": TOOLS, "temporalio/ui": UI}
"""By the image's name without its tag."""


def built_folder(programs: Path, image: str) -> Path:
    """Where the programs of an image are, once they are built."""
    return programs / image.replace("/", "-").replace(":", "-")


async def build(programs: Path, image: str, tell: Callable[[str], None]) -> Path:
    """Builds the programs of an image such as ``temporalio/server:1.32.0``, once; answers their folder.

    Raises Unavailable, in one line, if Go is missing, if the module cannot be fetched, or if it cannot be built.
    """
    folder = built_folder(programs, image)
    if folder.is_dir():
        return folder
    go = shutil.which("go") or shutil.which("go", path=USUAL)
    if go is None:
        raise Unavailable(f"this builds Temporal's programs from source: install Go ({GO}), then try again")
    name, _, version = image.partition(":")
    module = MODULES[name]
    tell(f"building {', '.join(module.programs)} {version} (minutes on two cores, once)")
    described = await _run(
        go, "mod", "download", "-json", f"{module.path}@v{version}", what=f"{module.path} cannot be fetched"
    )
    source = Path(json.loads(described)["Dir"])
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        for program, package in module.programs.items():
            await _run(
                *(go, "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", f"-tags={module.tags}"),
                *("-o", str(draft / program), package),
                cwd=source,
                what=f"{program} cannot be built",
            )
        for inside, outside in module.files.items():
            _copy(source / inside, draft / outside)
        if module is UI:
            # It would listen on all of the machine's addresses, and has no variable for that.
            with (draft / "config" / "docker.yaml").open("a") as config:
                config.write('\nhost: {{ env "BIND_ON_IP" }}\n')
        if not folder.is_dir():
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _copy(source: Path, target: Path) -> None:
    """A module's files are read-only, and not executable; the copies are."""
    if source.is_dir():
        target.mkdir()
        for one in source.iterdir():
            _copy(one, target / one.name)
    else:
        # Alpine's sh has "pipefail", which that of Debian does not have.
        target.write_bytes(re.sub(rb"^#!/bin/sh\n", b"#!/bin/bash\n", source.read_bytes()))
        target.chmod(0o755)


async def _run(*command: str, what: str, cwd: Path = Path("/")) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines() or output.decode().strip().splitlines()
        raise Unavailable(f"{what}: {lines[-1] if lines else 'it does not say why'}")
    return output.decode()
