"""Carries out what operators ask workflows to do by updates, with the operations of the command line."""

from activities.steering import Act
from messaging.common.errors import InvalidInput
from messaging.sending.under_way import format_under_way
from operations import campaigns, contacts, devices, opt_outs, sequences, signals
from operations.connection import Drumbeat
from operations.sentences import campaign_said, contact_said, device_said, sequence_said

__all__ = ["carry_out"]


async def carry_out(drumbeat: Drumbeat, act: Act) -> str:
    """Does it, and answers in one line, as the Web UI shows a result. Raises DrumbeatError, with the sentence that refuses
    it.
    """
    if act.campaign:
        said = await _campaign(drumbeat, act)
    elif act.device:
        said = await _device(drumbeat, act)
    elif act.phone:
        said = await _contact(drumbeat, act)
    else:
        said = await _sequence(drumbeat, act)
    return "; ".join(line.strip() for line in said.splitlines())


async def _contact(drumbeat: Drumbeat, act: Act) -> str:
    who = act.sequence, act.phone
    match act.command:
        case "pause":
            done = await contacts.pause(drumbeat, *who, act.reason)
        case "resume":
            done = await contacts.resume(drumbeat, *who)
        case "stop":
            done = await contacts.stop(drumbeat, *who, act.reason)
        case "skip":
            done = await contacts.skip(drumbeat, *who, act.step)
        case "opt_out":
            out = await opt_outs.opt_out(drumbeat, act.phone, act.reason or "opted out")
            words = "opted out" if out.changed else "had opted out already"
            return f"{out.phone} {words}, and gets nothing more{format_under_way(out.under_way)}"
        case _:
            raise InvalidInput(f"a contact cannot {act.command.replace('_', ' ')}")
    return contact_said(done)


async def _device(drumbeat: Drumbeat, act: Act) -> str:
    match act.command:
        case "pause":
            done = await devices.pause(drumbeat, act.device, act.reason or None)
        case "resume":
            done = await devices.resume(drumbeat, act.device)
        case _:
            raise InvalidInput(f"a device cannot {act.command.replace('_', ' ')}")
    await signals.show_states(drumbeat)
    return device_said(done)


async def _sequence(drumbeat: Drumbeat, act: Act) -> str:
    match act.command:
        case "pause":
            done = await sequences.pause(drumbeat, act.sequence)
        case "resume":
            done = await sequences.resume(drumbeat, act.sequence)
        case _:
            raise InvalidInput(f"a sequence cannot {act.command.replace('_', ' ')}")
    await signals.show_states(drumbeat)
    return sequence_said(done)


async def _campaign(drumbeat: Drumbeat, act: Act) -> str:
    name = act.campaign
    match act.command:
        case "start" | "start_now":
            done = await campaigns.start(drumbeat, name, now=act.command == "start_now")
        case "move_time":
            done = await campaigns.move(drumbeat, name, act.time)
        case "pause":
            done = await campaigns.pause(drumbeat, name, act.reason)
        case "resume":
            done = await campaigns.resume(drumbeat, name)
        case "cancel":
            done = await campaigns.cancel(drumbeat, name)
        case "retry_failed":
            done = await campaigns.retry_failed(drumbeat, name)
        case _:
            raise InvalidInput(f"a campaign cannot {act.command.replace('_', ' ')}")
    return campaign_said(done)
