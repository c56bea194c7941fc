"""Which leads or contacts a command is for: a filter, a sequence, a campaign, a device."""

from messaging.campaigns.store import require_campaign
from messaging.common.database import Connection
from messaging.common.errors import InvalidInput
from messaging.common.values import Value
from messaging.leads.device_moves import check_device
from messaging.selection.compile import condition_on_contacts, condition_on_leads
from messaging.selection.fields import Arguments
from messaging.selection.names import check_names
from messaging.selection.syntax import Filter, parse_filter
from messaging.sequences.store import find_sequence, no_such_sequence

__all__ = ["Selection", "require_some", "selected_contacts", "selected_leads"]

# {} is the parameter. l is the lead; c is the contact, s its sequence.
IN_CAMPAIGN = """exists (select from broadcast_messages m
                       join campaigns k on k.id = m.campaign_id
                      where m.recipient_phone = l.phone and k.name = {})"""
IN_SEQUENCE = """exists (select from sequence_contacts c
                       join sequences s on s.id = c.sequence_id
                      where c.phone = l.phone and c.status = 'active' and s.name = {})"""
OF_LEADS = {"sequence": IN_SEQUENCE, "campaign": IN_CAMPAIGN, "device": "l.device_id = device_in_use({})"}
OF_CONTACTS = {
    "sequence": "s.name = {}",
    "campaign": IN_CAMPAIGN,
    "device": "c.device_id = device_in_use({})",
}


class Selection(Value):
    """Leads or contacts for which all of this is true. What is not given limits nothing."""

    where: str = ""
    """A filter: see messaging.selection.syntax and docs/leads.md."""
    sequence: str | None = None
    campaign: str | None = None
    """Those that this campaign has a message for."""
    device: str | None = None

    @property
    def words(self) -> dict[str, str]:
        """What limits it, for the list of events."""
        return {name: value for name, value in self.model_dump().items() if value}

    @property
    def everything(self) -> bool:
        """True if nothing is limited."""
        return not self.where.strip() and self.sequence is self.campaign is self.device is None


async def selected_leads(connection: Connection, selection: Selection, arguments: Arguments) -> str:
    """The condition on a lead l. Raises FilterError, and NotFound for a sequence, campaign or device."""
    filter_ = await _checked(connection, selection)
    parts = [condition_on_leads(filter_, arguments)] if filter_ is not None else []
    return _all(parts, selection, OF_LEADS, arguments)


async def selected_contacts(connection: Connection, selection: Selection, arguments: Arguments) -> str:
    """The condition on a contact c of the sequence s, with the next step t, and on its lead l. Raises FilterError, and
    NotFound for a sequence, campaign or device.
    """
    filter_ = await _checked(connection, selection)
    parts = [condition_on_contacts(filter_, arguments)] if filter_ is not None else []
    return _all(parts, selection, OF_CONTACTS, arguments)


def require_some(selection: Selection) -> None:
    """Raises InvalidInput for a selection that limits nothing: that is more likely a mistake than a wish."""
    if selection.everything:
        raise InvalidInput("say which ones: a filter, a sequence, a campaign or a device")


async def _checked(connection: Connection, selection: Selection) -> Filter | None:
    if selection.sequence is not None and await find_sequence(connection, selection.sequence) is None:
        raise await no_such_sequence(connection, selection.sequence)
    if selection.campaign is not None:
        await require_campaign(connection, selection.campaign)
    if selection.device is not None:
        await check_device(connection, selection.device)
    if not selection.where.strip():
        return None
    filter_ = parse_filter(selection.where)
    await check_names(connection, filter_)
    return filter_


def _all(parts: list[str], selection: Selection, templates: dict[str, str], arguments: Arguments) -> str:
    for name, template in templates.items():
        wanted = getattr(selection, name)
        if wanted is not None:
            parts.append(template.format(arguments.add(wanted, "text")))
    return " and ".join(parts) or "true"
