"""Makes from a claim what the gateway is to send: renders the text, fetches the image, and splits them into parts.

One message of the ledger is one or two requests to the gateway: if the text is too long for a caption, it follows the
image as a second part. The last part has the message's own ID, so a gateway that knows that ID has everything.
"""

from uuid import UUID, uuid5

from messaging.gateways.base import Capabilities, Images, OutgoingMessage, WrongContent
from messaging.gateways.images import ImageStore
from messaging.sending.claim_answers import Claim
from messaging.texts.approved import render_template
from messaging.texts.liquid import MAX_CAPTION, MAX_TEXT, TemplateProblem, lead_variables, render

__all__ = ["compose", "wording"]


async def compose(
    claim: Claim, message_id: UUID, capabilities: Capabilities, images: ImageStore
) -> tuple[OutgoingMessage, ...]:
    """The parts of the message, in order.

    Raises TemplateProblem if the text cannot be rendered for this lead, WrongContent if it cannot be sent to any lead,
    and NotAccepted if the image cannot be fetched just now.
    """
    variables = lead_variables(claim.lead)
    text = render(claim.text, variables, limit=MAX_CAPTION if claim.image_url else MAX_TEXT)
    whole = OutgoingMessage(
        message_id=message_id,
        device_id=claim.device_id,
        phone=claim.lead.phone,
        text=text,
        image_url=claim.image_url,
        template=(
            render_template(claim.approved_template, variables)
            if claim.approved_template and capabilities.templates
            else None
        ),
    )
    if whole.image_url is None and whole.template is None and not text.strip():
        raise TemplateProblem("the text is empty for this lead: give its variables a default")
    if whole.image_url is not None:
        whole = await _with_image(whole, whole.image_url, claim.gateway, capabilities, images)
    if whole.template is None and len(text) > capabilities.text_limit:
        raise WrongContent(
            f"the text has {len(text):,} characters, the gateway {claim.gateway} takes {capabilities.text_limit:,}:"
            " shorten it"
        )
    # If the image has gone out alone, the text follows it, even if an edit has made the text short enough for a
    # caption.
    fits = len(text) <= capabilities.caption_limit and claim.parts_sent == 0
    if whole.image_url is None or whole.template is not None or fits:
        return (whole,)
    return (
        whole.model_copy(update={"text": "", "message_id": uuid5(message_id, "image")}),
        whole.model_copy(update={"image_url": None, "picture": None}),
    )


async def _with_image(
    message: OutgoingMessage, url: str, gateway: str, capabilities: Capabilities, images: ImageStore
) -> OutgoingMessage:
    match capabilities.images:
        case Images.NONE:
            raise WrongContent(
                f"the gateway {gateway} sends no images: send the text alone, or by another device"
            )
        case Images.UNSEEN:
            return message
        case Images.LINK:
            await images.get(url)  # so that an error in the text is known before the image goes out
            return message
        case Images.UPLOAD:
            return message.model_copy(update={"picture": await images.get(url)})


def wording(parts: tuple[OutgoingMessage, ...]) -> str:
    """The text that the recipient gets, for the ledger."""
    last = parts[-1]
    return last.text if last.template is None else last.template.wording
