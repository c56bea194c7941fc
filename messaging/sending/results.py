"""What came of the messages of a campaign, a sequence or a step: delivered, read, replied, opted out.

Which message an answer or an opt-out counts for is decided by the SQL functions ``answered_messages`` and
``message_before``, also where ``contact`` shows it for one person.
"""

from messaging.common.values import Value

__all__ = ["Results"]


class Results(Value):
    """``delivered`` and ``read`` count messages, as far as the gateway reports it; the others count people."""

    delivered: int
    read: int
    """Those that were read were delivered, too."""
    replied: int
    """People who answered one of the messages, or wrote something in the three days after one; STOP is an answer, too."""
    opted_out: int
    """People who opted out by a reply or in WhatsApp's settings, when one of the messages was the last that they had.
    They count also if they took it back later."""
