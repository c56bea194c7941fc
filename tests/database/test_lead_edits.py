"""Single columns of a lead are changed, and many leads are moved."""

import pytest

from messaging.common.errors import InvalidInput, NotFound
from messaging.leads.edits import edit_lead, parse_edits
from messaging.leads.store import load_lead
from rig.people import phone
from tests.support.scenario import Scenario

WELCOME = """
sequence: welcome
trigger: HELLO
steps:
  - {id: hello, day: 1, text: Hello}
"""


async def test_columns_are_changed_all_or_none(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    await scenario.pool.execute("""update leads set attributes = '{"city": "KL", "age": "30"}'""")
    async with scenario.pool.acquire() as connection:

        async def change(*texts: str) -> dict[str, tuple[str, str]]:
            done = await edit_lead(connection, phone(0), parse_edits(texts))
            return {column: (done.before[column], done.after[column]) for column in done.after}

        assert await change("name= Aisha Rahman ", "City=Ipoh", "age=", "First Name=Aisha", "time_zone=Asia/Jakarta") == {
            "name": ("Lead 0", "Aisha Rahman"), "city": ("KL", "Ipoh"), "age": ("30", ""), "first_name": ("", "Aisha"),
            "time_zone": ("", "Asia/Jakarta"),
        }  # fmt: skip
        assert await change("niche+=skin, vitac", "status=customer", "trigger=go") == {
            "niches": ("VITAC", "VITAC, SKIN"), "target_status": ("prospect", "customer"), "triggers": ("", "GO"),
        }  # fmt: skip
        assert await change("niche-=VITAC", "attribute.status=Gold", "url=http://a/?b=c") == {
            "niches": ("VITAC, SKIN", "SKIN"), "status": ("", "Gold"), "url": ("", "http://a/?b=c"),
        }  # fmt: skip
        before = await load_lead(connection, phone(0))
        assert await change("niche+=SKIN", "city=Ipoh", "age=") == {}
        for texts, problem in (
            (["city=KL", "status=Gold"], "target status 'Gold' is neither"),
            (["city=KL", "time_zone=Mars"], "Mars"),
            (["city=KL", "status="], "target_status cannot be empty"),
            (["city"], "'city' is no change: write COLUMN=VALUE"),
            (["city=KL", "City=Ipoh"], "city= is given twice"),
            (["=KL"], "names no column"),
            (["city+=KL"], "only niches, triggers and tags are lists; write city=VALUE"),
            (["device=kl-2"], "use 'lead move PHONE --to DEVICE'"),
            (["phone=+12015550199"], "phone cannot be set"),
            (["city=a\x01b"], "control character"),
        ):
            with pytest.raises(InvalidInput, match=problem):
                await change(*texts)
        assert await load_lead(connection, phone(0)) == before
        with pytest.raises(NotFound, match="no lead with the phone"):
            await edit_lead(connection, phone(9), parse_edits(["city=KL"]))


async def test_consent_is_taken_back_by_hand_and_not_given(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.add_leads(2)
    pool = scenario.pool
    await pool.execute(
        "update leads set consent_at = now(), consent_source = 'import', consent_note = 'form 12' where phone = $1",
        phone(0),
    )
    async with pool.acquire() as connection:
        done = await edit_lead(connection, phone(0), parse_edits(["consent=no"]))
        assert (done.before, done.after) == ({"consent": "form 12"}, {"consent": "no"})
        lead = await load_lead(connection, phone(0))
        assert lead is not None
        assert (lead.consent_at, lead.consent_note) == (None, None)
        assert lead.consent_withdrawn_at is not None
        for number in (phone(0), phone(1)):
            assert (await edit_lead(connection, number, parse_edits(["consent=tidak"]))).after == {}
        for said in ("yes", "", "form 13"):
            with pytest.raises(InvalidInput, match="only be taken back here, with consent=no"):
                await edit_lead(connection, phone(0), parse_edits([f"consent={said}"]))


async def test_a_trigger_that_was_used_up_does_not_come_back(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply(WELCOME)
    await scenario.enroll("welcome", phone(0))
    async with scenario.pool.acquire() as connection:
        with pytest.raises(InvalidInput, match=r"trigger HELLO cannot come back: .* has been in welcome"):
            await edit_lead(connection, phone(0), parse_edits(["trigger+=HELLO"]))
