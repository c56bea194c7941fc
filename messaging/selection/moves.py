"""Which leads a move to a device concerns."""

from messaging.selection.fields import Arguments

__all__ = ["elsewhere"]

# {} is the device.
OF_ANOTHER = """(l.device_id is distinct from device_in_use({0})
    or exists (select from sequence_contacts c
                where c.phone = l.phone and c.status = 'active' and c.device_id <> device_in_use({0})))"""


def elsewhere(device: str, arguments: Arguments) -> str:
    """The condition on a lead l that it, or a contact of it, belongs to another device."""
    return OF_ANOTHER.format(arguments.add(device, "text"))
