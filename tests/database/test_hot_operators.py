"""The queries of operators' commands and reports."""

from typing import Literal, cast

import pytest

from messaging.campaigns import feed as campaign_feed
from messaging.campaigns.audience import freeze_audience
from messaging.campaigns.lifecycle import retry_failed
from messaging.campaigns.store import list_campaigns
from messaging.common.database import Pool
from messaging.events.read import EventFilter, list_acts
from messaging.replies.inbox import InboxFilter, list_inbox
from messaging.reporting.contact import contact_report
from messaging.reporting.messages import list_messages
from messaging.reporting.report.compute import compute
from messaging.reporting.report.scope import campaign_scope, sequence_scope, week_scope
from messaging.reporting.status import status_report
from messaging.reporting.why.report import why_not
from messaging.sending.message_status import MessageStatus
from messaging.sending.telling import Tell, count_held, page
from messaging.sequences.store import show_sequence
from operations.connection import Drumbeat
from operations.signals import ReplanCounts, plan_changed
from tests.support.big_ledger import NOW, Big
from tests.support.query_costs import Case, Limit, NobodyToTell, needs_its_index, stays_small

pytestmark = pytest.mark.timeout(400)


async def _under_way(pool: Pool, big: Big) -> None:
    assert len(await campaign_feed.phones_under_way(pool, big.campaign)) == 900


def _held(kind: Literal["sequence", "device", "campaign"], name: str) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        await count_held(pool, kind, name)

    return case


def _to_tell(kind: Literal["plans", "device"], name: str) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        await page(pool, Tell(kind=kind, name=name))

    return case


def _messages(*statuses: MessageStatus) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        assert len(await list_messages(pool, statuses, 100)) == 100

    return case


async def _status(pool: Pool, big: Big) -> None:
    assert (await status_report(pool)).leads == big.rows


async def _campaigns(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        (campaign,) = await list_campaigns(connection, "C8")
        assert campaign.results is not None
        assert campaign.results.replied > 0


async def _sequence(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        assert (await show_sequence(connection, "S2")).results.replied > 0


async def _inbox(pool: Pool, big: Big) -> None:
    page = await list_inbox(pool, InboxFilter(device="hot-1"), limit=100)
    assert len(page.messages) == 100


async def _why(pool: Pool, big: Big) -> None:
    assert (await why_not(pool, big.phone, big.phone)).subjects


async def _events(pool: Pool, big: Big) -> None:
    assert len((await list_acts(pool)).acts) == 50


async def _events_of_one(pool: Pool, big: Big) -> None:
    assert len((await list_acts(pool, EventFilter(phones=(big.phone,)))).acts) == 1


async def _contact(pool: Pool, big: Big) -> None:
    assert (await contact_report(pool, big.phone, big.phone)).messages


def _report(kind: Literal["campaign", "sequence", "week"], name: str) -> Case:
    async def case(pool: Pool, big: Big) -> None:
        async with pool.acquire() as connection:
            match kind:
                case "campaign":
                    scope = await campaign_scope(connection, name, None, NOW)
                case "sequence":
                    scope = await sequence_scope(connection, name, None, None, NOW)
                case "week":
                    scope = await week_scope(connection, name, None, NOW)
            report = await compute(connection, scope, NOW)
        assert report.total.messages > big.rows / 20
        assert report.total.replied > 0 or kind == "week"

    return case


async def _plan_changed(pool: Pool, big: Big) -> None:
    # All plan by the present revision, and each was looked at.
    assert (await plan_changed(cast("Drumbeat", NobodyToTell(pool)), "S2")) == ReplanCounts(
        changed=0, to_signal=0
    )


async def _freeze(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        campaign = await connection.fetchval("select id from campaigns where name = 'C9'")
        rare = big.rows / 1_000
        assert 0.9 * rare < (await freeze_audience(connection, campaign, now=NOW)).leads < rare


async def _retry_failed(pool: Pool, big: Big) -> None:
    async with pool.acquire() as connection:
        assert 0.0007 * big.rows < await retry_failed(connection, "C3") < 0.0008 * big.rows


CUSTOM_PLANS = "set local plan_cache_mode = force_custom_plan"
CASES: dict[str, tuple[Case, Limit]] = {
    # Somebody's command, which may read what is not settled (51,200 here), what failed (15,000), or which contacts of a
    # sequence are on their way (50,000).
    "edit of a sequence": (_plan_changed, Limit(rows=51_000, buffers=60_000, grows=True)),
    "phones under way": (_under_way, Limit(rows=52_000, buffers=5_000, grows=True)),
    "held by a campaign": (_held("campaign", "C8"), Limit(rows=52_000, buffers=5_000, grows=True)),
    "held by a device": (_held("device", "hot-2"), Limit(rows=52_000, buffers=5_000, grows=True)),
    "held by a sequence": (_held("sequence", "S2"), Limit(rows=60_000, buffers=6_000, grows=True)),
    "who is woken next": (_to_tell("device", "hot-2"), Limit(rows=52_000, buffers=5_000, grows=True)),
    "who is told next of an edit": (_to_tell("plans", ""), Limit(rows=0, buffers=10)),
    "failed": (_messages(MessageStatus.FAILED), Limit(rows=20_000, buffers=20_000, grows=True)),
    # With the hundred that are shown, whose holds and devices are read for each.
    "unconfirmed": (_messages(MessageStatus.UNCONFIRMED), Limit(rows=6_000, buffers=20_000, grows=True)),
    "failed or unconfirmed": (
        _messages(MessageStatus.FAILED, MessageStatus.UNCONFIRMED),
        Limit(rows=22_000, buffers=36_000, grows=True),
    ),
    # The 1,000 that are no routine, page after page; and not one of the million others.
    "events": (_events, Limit(rows=1_200, buffers=4_000)),
    "events of one person": (_events_of_one, Limit(rows=5, buffers=60)),
    "why": (_why, Limit(rows=60, buffers=200)),
    "contact": (_contact, Limit(rows=30, buffers=60)),
    # Its rows twice (by status, and delivered and read), and for each answer of its recipients what that phone got.
    "campaign": (_campaigns, Limit(rows=300_000, buffers=260_000, grows=True)),
    # Its 250,000 contacts twice, the 150,000 messages that these have got, and for each of their answers the same.
    "sequence": (_sequence, Limit(rows=950_000, buffers=750_000, grows=True)),
    # Their rows again and again: when they were, how many, who got them, and why what waits does; and for each answer what that
    # phone got.
    "report of a campaign": (
        _report("campaign", "C8"),
        Limit(rows=1_450_000, buffers=150_000, grows=True, before=CUSTOM_PLANS),
    ),
    "report of a sequence": (
        _report("sequence", "S2"),
        Limit(rows=3_000_000, buffers=660_000, grows=True, scans=True, before=CUSTOM_PLANS),
    ),
    # (At full size the contacts by status are a pass over all of them, which is quicker than by the index.)
    # A pass over the ledger each time. An index on the time would spare that, and cost another entry for every message.
    "report of a week": (
        _report("week", "2026-W48"),
        Limit(rows=5_400_000, buffers=270_000, grows=True, before=CUSTOM_PLANS, scans=True),
    ),
    "inbox": (_inbox, Limit(rows=1_000, buffers=5_000)),
    # Totals of everything are one pass over everything, and another one over the rows of each campaign. An index on the
    # status would spare that, and cost three more entries for every message.
    # Which devices are about to get into trouble is read from the last messages of each, and the contacts that are due
    # within a day: all of them here.
    "status": (_status, Limit(rows=3_900_000, buffers=500_000, grows=True, scans=True)),
    # Of one campaign: its 750 failed messages, to lock and then to change them, and nobody else's; and all leads once,
    # but nothing of the ledger. They come last, as the rows that they wrote and took back are in the way of others.
    "retry of a campaign's failed": (_retry_failed, Limit(rows=1_600, buffers=50_000, grows=True)),
    "freeze": (
        _freeze,
        Limit(
            rows=1_010_000,
            buffers=80_000,
            grows=True,
            scans=True,
            before="update leads set niches = '{RARE}' where id % 1000 = 0;"
            " insert into campaigns (name, text, niche, status) values ('C9', 'Half price', 'RARE', 'scheduled')",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_stays_small(big: Big, name: str) -> None:
    await stays_small(big, *CASES[name])


@pytest.mark.parametrize(
    ("taken_away", "name"),
    [
        ("drop index broadcast_messages_failed, broadcast_messages_failed_of", "failed"),
        ("drop index events_notable", "events"),
        ("drop index events_phone", "events of one person"),
        ("drop index sequence_contacts_active", "edit of a sequence"),
        ("alter table leads drop constraint leads_phone_unique", "contact"),
    ],
)
async def test_without_its_index_it_does_not(big: Big, taken_away: str, name: str) -> None:
    await needs_its_index(big, *CASES[name], taken_away)
