"""The command line of ``worker.py``: it has only --help and --version, and everything else is an error."""

import argparse

from runtime.version import VERSION

__all__ = ["read_arguments"]

_ENDING = """\
It runs until Ctrl-C or SIGTERM: what is being sent is finished, what sleeps goes on sleeping in Temporal. Where its
servers are, and all else, is said by the environment, e.g. DATABASE_URL and TEMPORAL_ADDRESS (see README.md); with neither
of the two set it brings up servers of its own first. The commands are those of starter.py."""


def read_arguments() -> None:
    """Answers --help and --version; ends the process with 2 for what it does not know."""
    parser = argparse.ArgumentParser(
        prog="worker.py",
        description="Runs Drumbeat's workflows and activities.",
        epilog=_ENDING,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"drumbeat {VERSION}", help="print the version"
    )
    parser.parse_args()
