"""The command line of ``worker.py``: it has few options, and everything else is an error."""

import argparse

from runtime.version import VERSION

__all__ = ["read_arguments"]

_ENDING = """\
It runs until Ctrl-C or SIGTERM: what is being sent is finished, what sleeps goes on sleeping in Temporal. Where its
servers are, and all else, is said by the environment, e.g. DATABASE_URL and TEMPORAL_ADDRESS (see README.md); with neither
of the two set it brings up servers of its own first. The commands are those of starter.py."""


def read_arguments() -> argparse.Namespace:
    """Answers --help and --version; ends the process with 2 for what it does not know.

    ``migrate_only``: bring the schema up to date, and end. ``webhooks_only``: listen for webhooks, and run no workflow and no activity.
    """
    parser = argparse.ArgumentParser(
        prog="worker.py",
        description="Runs Drumbeat's workflows and activities.",
        epilog=_ENDING,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"drumbeat {VERSION}", help="print the version"
    )
    parser.add_argument(
        "--migrate-only",
        action="store_true",
        help="bring the database's schema up to date, and end: for a role that workers do not have",
    )
    parser.add_argument(
        "--webhooks-only",
        action="store_true",
        help="listen for webhooks on DRUMBEAT_WEBHOOKS_PORT, and send nothing: other workers do that",
    )
    return parser.parse_args()
