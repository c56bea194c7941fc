"""Explains why a campaign would go to no lead: no lead matches its target, or none that does can be written to."""

from messaging.common.counts import count_of
from messaging.common.database import Connection
from messaging.common.suggestions import did_you_mean

__all__ = ["suggest_niche", "why_nobody"]

_SHOWN_NICHES = 10

COUNT_AUDIENCE = """
select c.niche, c.target_status, c.device_ids, a.*, (select count(*) from leads) as stored
  from campaigns c
 cross join lateral (select count(*) as matching, count(*) filter (where opted_out) as opted_out,
                            count(*) filter (where without_consent and not opted_out) as without_consent,
                            count(*) filter (where device_id is null and not without_consent and not opted_out) as without_device,
                            count(*) filter (where device_id is not null and not without_consent and not opted_out) as leads
                       from campaign_audience(c.id)) a
 where c.id = $1
"""


async def why_nobody(connection: Connection, campaign_id: int) -> str | None:
    """The reason why the audience would be empty now; None if it would not be, apart from the campaign's time."""
    row = await connection.fetchrow(COUNT_AUDIENCE, campaign_id)
    assert row is not None
    if row["leads"]:
        return None
    if row["matching"]:
        left_out = {
            "opted out": row["opted_out"],
            "have not consented (require_consent)": row["without_consent"],
            "have no device, and there is not exactly one": row["without_device"],
        }
        left = ", ".join(f"{count:,} {why}" for why, count in left_out.items() if count)
        matching = count_of(row["matching"], "lead matches", "leads match")
        return f"{matching} its target, of them {left}"
    if not row["stored"]:
        return "there is no lead yet: import some with 'lead import FILE.csv'"
    wanted = [f"niche {row['niche']}"] if row["niche"] is not None else []
    if row["target_status"] != "all":
        wanted.append(f"status {row['target_status']}")
    if row["device_ids"] is not None:
        wanted.append(f"devices {', '.join(row['device_ids'])}")
    hint = await suggest_niche(connection, row["niche"])
    stored = (
        "the one lead does not match" if row["stored"] == 1 else f"none of {row['stored']:,} leads matches"
    )
    return f"{stored} its target ({', '.join(wanted)}){f'; {hint}' if hint else ''}"


async def suggest_niche(connection: Connection, niche: str | None) -> str:
    """What was meant by a niche that no lead has, or which ones there are; empty where it is known, or they are too many."""
    rows = await connection.fetch("select distinct unnest(niches) as niche from leads order by niche")
    niches = [row["niche"] for row in rows]
    if niche is None or niche in niches:
        return ""
    near = did_you_mean(niche, niches)
    if near.startswith("did"):
        return near
    return f"the niches of leads are {', '.join(niches)}" if 0 < len(niches) <= _SHOWN_NICHES else ""
