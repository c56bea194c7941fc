"""Sets up the embedded simulated gateway's webhook to a worker, so that an answer in its inbox arrives at once."""

import asyncio
import logging
import os
import secrets
from pathlib import Path

import aiohttp

from runtime.listener import Listener

__all__ = ["hear_simulator", "secret_file"]

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two checks whether some worker acknowledges the webhooks."""
PATIENCE = aiohttp.ClientTimeout(total=5)


def secret_file(home: Path) -> Path:
    """The file with the secret that all workers of these servers share with the gateway; created if it does not
    exist.
    """
    path = home / "simulator" / "webhook-secret"
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(draft, path)  # complete, or another worker's file
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path


async def hear_simulator(simulator_url: str, listener: Listener, secret: Path) -> None:
    """Points the gateway's webhook at this worker, and again whenever nobody acknowledges, as another worker may have
    ended. Runs until cancelled.
    """
    begun = False
    async with aiohttp.ClientSession(timeout=PATIENCE) as http:
        while True:
            if listener.port is not None:
                own = {
                    "url": f"http://127.0.0.1:{listener.port}/webhooks",
                    "secret": secret.read_text("utf-8"),
                }
                try:
                    async with http.get(f"{simulator_url}/v1/webhook") as answer:
                        webhook = await answer.json()
                    if not begun or (webhook["waiting"] and webhook["url"] != own["url"]):
                        async with http.put(f"{simulator_url}/v1/webhook", json=own) as answer:
                            begun = answer.status == 200
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
                    logger.debug("the simulated gateway cannot be given the address for replies: %s", error)
            await asyncio.sleep(LOOK_EVERY)
