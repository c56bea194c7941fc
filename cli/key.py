"""``key``: the keys of private mode, and the server by which the Temporal Web UI reads what they encrypt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    help="Private mode: its keys, and reading what they encrypt in the Web UI.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the keys.", show_default=False)]


@app.command("new")
def new(file: File) -> None:
    """Write a file with new keys, which only its owner can read.

    DRUMBEAT_PRIVATE_KEYS of all processes names it. Keep copies in a safe place: without it, nothing that Temporal has stored can be
    read, and no contact is found.
    """
    from operations import keys
    from runtime.process import run_plain

    typer.echo(f"{file}: new keys; contents are encrypted with {run_plain(lambda: keys.new(file))}")


@app.command("add")
def add(file: File) -> None:
    """Add a key for contents, by which nothing is encrypted yet. The first step of a rotation.

    Bring the file to all processes and restart them; then 'key rotate'. The key of pseudonyms, 'ids', never changes.
    """
    from operations import keys
    from runtime.process import run_plain

    typer.echo(
        f"{file}: has the new key {run_plain(lambda: keys.add(file))}; bring the file to all processes, restart them, then: key rotate"
    )


@app.command("rotate")
def rotate(file: File) -> None:
    """Encrypt with the newest key from now on. The others stay, to read what they have encrypted.

    After 'key add', when all processes have the file. Bring the file to all processes and restart them again.
    """
    from operations import keys
    from runtime.process import run_plain

    typer.echo(f"{file}: processes that start now encrypt with {run_plain(lambda: keys.rotate(file))}")


@app.command("serve")
def serve(
    origin: Annotated[
        str,
        typer.Option(
            help="The address of the Temporal Web UI, e.g. https://temporal.example.com.", metavar="URL"
        ),
    ],
    password_file: Annotated[
        Path, typer.Option(help="A file with the password, 16 letters or more.", metavar="FILE")
    ],
    port: Annotated[
        int, typer.Option(help="The port to listen on.", min=1, max=65535, metavar="NUMBER")
    ] = 8081,
    host: Annotated[str, typer.Option(help="The address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
) -> None:
    """Decrypt for the Temporal Web UI: its codec server, until Ctrl-C.

    Open its address in the browser once and log in; then the Web UI, whose setting TEMPORAL_CODEC_ENDPOINT is this address, shows
    contents. Programs send the password as 'Authorization: Bearer …'. Behind a proxy with TLS, as the password goes over the network.
    """
    from operations import keys
    from runtime.process import run_plain, tell
    from runtime.settings import load_settings

    run_plain(
        lambda: keys.serve(
            load_settings(), origin=origin, password_file=password_file, host=host, port=port, tell=tell
        )
    )
