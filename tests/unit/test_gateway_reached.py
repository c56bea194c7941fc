"""Adding a device says whether its gateway's address answers."""

import asyncio

from operations.devices import warn_if_unreachable
from tests.support.ports import free_port


async def test_an_address_at_which_nothing_answers_is_a_warning() -> None:
    port = free_port()
    (line,) = await warn_if_unreachable({"url": f"http://127.0.0.1:{port}/api"})
    assert line.startswith(f"warning: option url: nothing answers at 127.0.0.1:{port} from here (")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with server:
        assert await warn_if_unreachable({"url": f"http://127.0.0.1:{port}/api"}) == ()
    assert await warn_if_unreachable({"phone_number_id": "1"}) == ()
