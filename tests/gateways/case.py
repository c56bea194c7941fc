"""What the conformance suite has to know of a gateway, and the messages that it sends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from messaging.gateways.base import GatewayError, Images, OutgoingMessage, Picture, Recovery
from tests.support.wire import Reply, Request

__all__ = [
    "CAPTION",
    "DEVICE",
    "IMAGE_URL",
    "OURS",
    "PHONE",
    "PICTURE",
    "TEXT",
    "GatewayCase",
    "Question",
    "image_message",
    "text_message",
]

OURS = UUID("0191f3a4-5b6c-7d8e-9f01-23456789abcd")
DEVICE = "branch-1"
PHONE = "+12015550123"
TEXT = "Hi  Aisyah 😊\r\n\nhttps://example.com/?a=1&b=%20 \u2018Ni\u2019 \u200d+ \"x\" = 'y';"
"""What forms, JSON and query strings may spoil."""
CAPTION = "Look: 50% & more 😊\n\u2013 <b>now</b>"
IMAGE_URL = "https://example.com/a%20b.jpg?size=1&x=2"
PICTURE = Picture(content=b"\x89PNG\r\n\x1a\n--\r\n" + bytes(range(256)) * 64, media_type="image/png")


def text_message() -> OutgoingMessage:
    """The text that ``check_text`` gets to see."""
    return OutgoingMessage(message_id=OURS, device_id=DEVICE, phone=PHONE, text=TEXT)


def image_message(images: Images) -> OutgoingMessage:
    """The image that ``check_image`` gets to see, as the worker hands it to a gateway that takes images so."""
    picture = PICTURE if images is Images.UPLOAD else None
    return OutgoingMessage(
        message_id=OURS, device_id=DEVICE, phone=PHONE, text=CAPTION, image_url=IMAGE_URL, picture=picture
    )


@dataclass(frozen=True)
class Question:
    """How a gateway that can be asked answers; only for one whose capabilities say so."""

    recovery: tuple[tuple[Reply, Recovery], ...]
    """What it answers when asked how to find out, and what that means. All that occur."""
    found: Reply | None = None
    """Its answer to a look-up of a message that it has; the ID in it is the case's ``gateway_message_id``."""
    unknown: Reply | None = None
    """Its answer to a look-up of a message that it never got."""


@dataclass(frozen=True)
class GatewayCase:
    """A gateway, as the conformance suite gets to know it."""

    name: str
    """Its key in ``KINDS``."""
    options: Callable[[str], dict[str, str]]
    """A device's options, from the base URL of a server on this machine. All credentials are in it, as
    ``…_env``."""
    environment: Mapping[str, str]
    """The credentials: the environment variables that the options name."""
    secrets: tuple[str, ...]
    """What must never be seen in an error: the credentials, and what is made of them."""
    accepted: Reply
    """A yes."""
    gateway_message_id: str
    """The ID in it."""
    refusals: tuple[tuple[str, Reply, type[GatewayError]], ...]
    """The gateway's own ways to say no, each with a label and the very class of the error. One of them with status
    200, where it does that."""
    check_text: Callable[[Request], None]
    """Asserts that this request sends ``text_message()``."""
    check_image: Callable[[Request], None] | None = None
    """Asserts that this request sends ``image_message()``. None for a gateway that takes no images."""
    statuses: Mapping[int, type[GatewayError]] = field(default_factory=dict)
    """What a bare status means that this gateway uses otherwise than most. With a reason, as a comment."""
    question: Question | None = None
    """For a gateway that can be asked."""
