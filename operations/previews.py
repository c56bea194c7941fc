"""Previews: what people would get of a sequence or a campaign."""

from collections.abc import Callable, Sequence

from messaging.common.phones import parse_phone
from messaging.gateways.images import ImageStore
from messaging.gateways.networks import parse_networks
from messaging.reporting.preview.make import make_preview
from messaging.reporting.preview.report import Preview
from operations.connection import Drumbeat

__all__ = ["preview"]


async def preview(
    drumbeat: Drumbeat,
    name: str,
    phones: Sequence[str] = (),
    *,
    sample: int = 5,
    check_all: bool = True,
    default_region: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Preview:
    """What people would get of the sequence or campaign of that name, by the code that sends; nothing is sent.

    ``phones``: only these people, in any format; else a ``sample`` is shown, and everybody is rendered to find what would
    fail (unless ``check_all`` is False). Images are fetched as a worker would, once each. Raises NotFound, InvalidInput and
    InvalidPhone.
    """
    pool = await drumbeat.pool()
    wanted = [parse_phone(phone, default_region) for phone in phones]
    images = ImageStore(allowed=parse_networks(drumbeat.settings.image_networks))
    try:
        return await make_preview(
            pool, images, name, wanted, sample=sample, check_all=check_all, progress=progress
        )
    finally:
        await images.close()
