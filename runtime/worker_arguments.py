"""The command line of ``worker.py``: it has few options, and everything else is an error."""

import argparse

from messaging.common.errors import InvalidInput
from messaging.common.roles import ROLES, Role, parse_roles
from runtime.version import VERSION

__all__ = ["read_arguments"]

_ENDING = """\
It runs until Ctrl-C or SIGTERM: what is being sent is finished, what sleeps goes on sleeping in Temporal. Where its
servers are, and all else, is said by the environment, e.g. DATABASE_URL and TEMPORAL_ADDRESS (see README.md); with neither
of the two set it brings up servers of its own first. The commands are those of starter.py."""


def _roles(text: str) -> tuple[Role, ...]:
    try:
        return parse_roles(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_arguments() -> argparse.Namespace:
    """Answers --help and --version; ends the process with 2 for what it does not know.

    ``migrate_only``: bring the schema up to date, and end. ``webhooks_only``: listen for webhooks, and run no workflow and no activity.
    ``roles``: what the worker takes on; empty if the environment says it.
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
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--roles",
        type=_roles,
        default=(),
        metavar="ROLES",
        help=f"what it takes on, separated by commas: {', '.join(ROLES)} (DRUMBEAT_ROLES, or all)",
    )
    what.add_argument(
        "--webhooks-only",
        action="store_true",
        help="listen for webhooks on DRUMBEAT_WEBHOOKS_PORT, and send nothing: other workers do that",
    )
    return parser.parse_args()
