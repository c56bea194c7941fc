"""Attempts with a token that names this worker."""

import os
import socket
from uuid import UUID, uuid4

from messaging.sending.dispatch import Attempt

__all__ = ["new_attempt"]


WORKER = f"{socket.gethostname()}:{os.getpid()}"
"""Names the process in the ledger's claims."""


def new_attempt(message_id: UUID) -> Attempt:
    """An attempt with a token of its own, to be made right before its claim."""
    return Attempt(message_id, f"{WORKER}/{uuid4().hex}")
