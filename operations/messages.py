"""Operations on unconfirmed messages: ask the gateway, note that one arrived, send one again."""

from typing import Literal
from uuid import UUID

from messaging.common.errors import Conflict, InvalidInput, Unavailable
from messaging.gateways import Gateways
from messaging.gateways.base import MaybeAccepted, NotAccepted, Recovery
from messaging.sending import resolutions
from messaging.sending.resolutions import Resolution
from operations import campaigns
from operations.connection import Drumbeat
from operations.signals import signalled_later
from temporal.messages import start_message

__all__ = ["Way", "resolve"]

Way = Literal["look-up", "sent", "resend"]


async def resolve(drumbeat: Drumbeat, message: UUID | str, way: Way) -> Resolution:
    """Resolves one unconfirmed message, given by its ID.

    ``sent``: an operator knows that it arrived. ``resend``: an operator knows that it did not, and it goes out again
    under the same guarantees. ``look-up``: the gateway is asked. Raises InvalidInput if it is not an ID; NotFound;
    Conflict if the message is not in doubt, or the gateway cannot be asked; Unavailable.
    """
    message_id = _id(message)
    pool = await drumbeat.pool()
    if way == "look-up":
        return await _look_up(drumbeat, message_id)
    async with pool.acquire() as connection:
        if way == "sent":
            return await resolutions.resolve_as_sent(connection, message_id)
        done = await resolutions.send_again(connection, message_id)
    if done.campaign is not None:
        await campaigns.notify_or_start(drumbeat, done.campaign)
    if done.again is not None:
        with signalled_later(drumbeat):
            await start_message(drumbeat.temporal, done.again, task_queue=drumbeat.settings.task_queue)
    return done


def _id(message: UUID | str) -> UUID:
    try:
        return UUID(str(message))
    except ValueError:
        raise InvalidInput(
            f"{message!r} is no message's ID: 'messages' lists them, e.g. 4f0c7b1e-1d1a-5c56-9f3b-0a2b6c1d7e8f"
        ) from None


async def _look_up(drumbeat: Drumbeat, message_id: UUID) -> Resolution:
    pool = await drumbeat.pool()
    async with pool.acquire() as connection:
        doubtful = await resolutions.find_unconfirmed(connection, message_id)
    if isinstance(doubtful, Resolution):
        return doubtful
    gateways = Gateways(drumbeat.addresses.simulator_url)
    accepted = None
    try:
        gateway = await gateways.of(doubtful.gateway, doubtful.options)
        recovery = await gateway.recovery(doubtful.device_id)
        answers = recovery is not Recovery.NONE and gateway.capabilities.look_up
        if answers:
            accepted = await gateway.look_up(doubtful.device_id, message_id)
    except MaybeAccepted:
        answers = False
    except NotAccepted as error:
        raise Unavailable(str(error)) from error
    finally:
        await gateways.close()
    if not answers:
        raise Conflict(
            f"the gateway {doubtful.gateway} cannot be asked about message {message_id}: find out at the recipient's,"
            " then say --sent or --resend"
        )
    async with pool.acquire() as connection:
        if accepted is not None:
            return await resolutions.resolve_as_sent(connection, message_id, accepted.gateway_message_id)
    return Resolution(
        message_id=message_id, phone=doubtful.phone, what=doubtful.what, result="still unconfirmed"
    )
