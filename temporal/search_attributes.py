"""The search attributes of Drumbeat's workflows, which a worker checks when it starts."""

from datetime import datetime

from temporalio.common import SearchAttributeKey

__all__ = ["ALL", "CAMPAIGN", "DEVICE", "DUE_AT", "PHONE", "SEQUENCE", "STATE", "STEP"]

SEQUENCE = SearchAttributeKey.for_keyword("DrumbeatSequence")
CAMPAIGN = SearchAttributeKey.for_keyword("DrumbeatCampaign")
PHONE = SearchAttributeKey.for_keyword("DrumbeatPhone")
DEVICE = SearchAttributeKey.for_keyword("DrumbeatDevice")
STATE = SearchAttributeKey.for_keyword("DrumbeatState")
"""What a workflow waits for if that may take long: scheduled, held or paused; and how it ended after that."""
STEP = SearchAttributeKey.for_keyword("DrumbeatStep")
DUE_AT: SearchAttributeKey[datetime] = SearchAttributeKey.for_datetime("DrumbeatDueAt")

ALL: tuple[SearchAttributeKey[str] | SearchAttributeKey[datetime], ...] = (
    SEQUENCE,
    CAMPAIGN,
    PHONE,
    DEVICE,
    STATE,
    STEP,
    DUE_AT,
)
