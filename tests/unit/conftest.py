"""What several unit tests begin with."""

from collections.abc import AsyncIterator

import pytest

from messaging.gateways.images import ImageStore
from tests.support.image_servers import LOCAL, Servers


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    """Servers of images."""
    opened = Servers()
    yield opened
    await opened.close()


@pytest.fixture
async def store() -> AsyncIterator[ImageStore]:
    """A store that may fetch from one address of this machine."""
    opened = ImageStore(LOCAL)
    yield opened
    await opened.close()
