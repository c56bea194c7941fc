"""A service that enrolls: ``python examples/enroll_service.py cold-vitac '+1 201 555 0123' Aisha``.

Where there are several devices, the one that is to write to a new lead comes last: ``… Aisha kl-1``.
It needs to reach Temporal only. Run from the checkout; a worker stores the lead and sends the messages.
"""

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import starter


async def main(sequence: str, phone: str, name: str = "", device: str | None = None) -> int:
    """Enrolls one lead; harmless to repeat."""
    try:
        async with starter.connect() as drumbeat:
            done = await starter.enroll(drumbeat, sequence, phone, name=name, device=device)
    except starter.DrumbeatError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{done.phone}: {done.result} in {done.sequence} ({done.workflow_id})\n")
    return 0


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.stderr.write("usage: python examples/enroll_service.py SEQUENCE PHONE [NAME [DEVICE]]\n")
        sys.exit(2)
    code = asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    # A process that held a Temporal client can, rarely, abort while Python shuts down. By now all is done and closed.
    os._exit(code)
