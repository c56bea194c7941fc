"""What people would get of a sequence or a campaign, before anything is sent."""

from collections.abc import AsyncIterator

import pytest

from messaging.common.errors import NotFound
from messaging.gateways.images import ImageStore
from messaging.reporting.preview.make import make_preview
from messaging.reporting.preview.report import Preview
from rig.people import phone
from tests.support.scenario import Scenario


@pytest.fixture
async def images() -> AsyncIterator[ImageStore]:
    store = ImageStore()
    yield store
    await store.close()


def faults(found: Preview) -> dict[tuple[str, str | None], tuple[int, str]]:
    return {(one.kind, one.step): (one.leads, one.why) for one in found.faults}


async def test_a_campaign_as_each_gets_it_and_who_would_fail(scenario: Scenario, images: ImageStore) -> None:
    await scenario.add_device()
    await scenario.add_leads(4)
    pool = scenario.pool
    await pool.execute("""update leads set attributes = '{"city": "Ipoh"}' where phone = $1""", phone(0))
    await pool.execute(
        "update leads set attributes = jsonb_build_object('city', repeat('x', 4000)) where phone = $1",
        phone(1),
    )
    await pool.execute("insert into suppressions (phone) values ($1)", phone(3))
    await scenario.apply_campaign(
        'campaign: sale\ntarget: {niche: VITAC}\ntext: "{{ name }}: {{ city }}. ' + "y" * 150 + '"\n'
    )
    found = await make_preview(pool, images, "sale")
    assert (found.kind, found.of, found.checked) == ("campaign", 3, 3)
    by_phone = {lead.phone: lead.messages[0] for lead in found.leads}
    assert by_phone[phone(0)].text == "Lead 0: Ipoh. " + "y" * 150
    assert by_phone[phone(1)].fails == "the text has 4,160 characters, WhatsApp takes 4,096"
    assert by_phone[phone(2)].notes == ("city is empty: the text has a blank there",)
    assert faults(found) == {
        ("fails", None): (1, "the text has 4,160 characters, WhatsApp takes 4,096"),
        ("note", None): (1, "city is empty: the text has a blank there"),
    }
    # One that is named is shown although it would not get it.
    (left_out,) = (await make_preview(pool, images, "sale", [phone(3)])).leads
    assert left_out.messages[0].not_sent == "the campaign leaves out leads that have opted out"
    assert left_out.messages[0].text.startswith("Lead 3: .")
    assert await scenario.messages() == [], "nothing is written"


async def test_a_text_that_is_empty_for_a_person_would_fail(scenario: Scenario, images: ImageStore) -> None:
    await scenario.add_device()
    await scenario.add_leads(1)
    await scenario.pool.execute("""update leads set attributes = '{"city": "Ipoh"}'""")
    await scenario.apply_campaign('campaign: sale\ntarget: {niche: VITAC}\ntext: "{{ city }}"\n')
    assert faults(await make_preview(scenario.pool, images, "sale")) == {}
    await scenario.pool.execute("update leads set attributes = '{}'")
    found = await make_preview(scenario.pool, images, "sale")
    assert found.leads[0].messages[0].fails == (
        "the text is empty for this lead: give its variables a default"
    )


INTRO = """
sequence: intro
trigger: COLD
timezone: Asia/Kuala_Lumpur
steps:
  - {id: hello, day: 1, at: "10:00", text: "Hello {{ name }}"}
  - {id: ipoh, day: 3, at: "10:00", if: {attribute: {city: Ipoh}}, text: Only for Ipoh}
  - {id: silent, day: 5, at: "10:00", if: {replied: true}, text: You wrote}
"""


async def test_each_step_of_a_sequence_with_its_time_and_conditions(
    scenario: Scenario, images: ImageStore
) -> None:
    await scenario.add_device(hours="08:00-22:00", time_zone="Asia/Kuala_Lumpur")
    await scenario.add_leads(3)
    pool = scenario.pool
    await pool.execute("""update leads set attributes = '{"city": "Ipoh"}' where phone = $1""", phone(0))
    await pool.execute(
        "update leads set triggers = '{COLD}', time_zone = 'Asia/Tokyo' where phone = $1", phone(1)
    )
    await scenario.apply(INTRO)
    await scenario.enroll("intro", phone(0), run="run-0")
    found = await make_preview(pool, images, "intro")
    assert (found.of, {lead.phone: lead.standing for lead in found.leads}) == (
        2,
        {phone(0): "under way", phone(1): "would be enrolled by its trigger"},
    )
    by_phone = {lead.phone: lead for lead in found.leads}
    under_way, coming = by_phone[phone(0)], by_phone[phone(1)]
    assert [one.step for one in under_way.messages] == ["hello", "ipoh", "silent"]
    assert [one.text for one in under_way.messages] == ["Hello Lead 0", "Only for Ipoh", "You wrote"]
    assert [one.not_sent for one in under_way.messages] == [None, None, None], "a reply may still come"
    assert [one.condition for one in under_way.messages] == [None, "city: Ipoh", "replied: true"]
    assert coming.messages[1].not_sent == "if city: Ipoh, but it is empty"
    assert all("10:00" in one.when and one.when.endswith("Asia/Kuala_Lumpur") for one in under_way.messages)
    assert all(one.when.endswith("Asia/Tokyo") for one in coming.messages)
    due = [one.due_at for one in under_way.messages if one.due_at]
    assert [(later - due[0]).days for later in due] == [0, 2, 4]
    # One that is in it no way, as if it were enrolled now.
    (other,) = (await make_preview(pool, images, "intro", [phone(2)])).leads
    assert (other.standing, len(other.messages)) == ("as if enrolled now", 3)
    with pytest.raises(NotFound, match="no lead with the phone"):
        await make_preview(pool, images, "intro", [phone(9)])
    with pytest.raises(NotFound, match="did you mean 'intro'"):
        await make_preview(pool, images, "intor")


async def test_opted_out_paused_and_without_a_device(scenario: Scenario, images: ImageStore) -> None:
    await scenario.add_device()
    await scenario.add_leads(2)
    await scenario.apply(INTRO)
    pool = scenario.pool
    await pool.execute("update leads set triggers = '{COLD}'")
    await pool.execute("insert into suppressions (phone, category) values ($1, 'marketing')", phone(0))
    await pool.execute("update devices set status = 'paused', status_reason = 'broken'")
    found = await make_preview(pool, images, "intro")
    by_phone = {lead.phone: lead.messages[0] for lead in found.leads}
    assert by_phone[phone(0)].not_sent == "the recipient has opted out"
    assert by_phone[phone(1)].waits == f"device {scenario.device} is paused: broken"
    await scenario.add_device(device="other")
    await pool.execute("update leads set device_id = null")
    found = await make_preview(pool, images, "intro", [phone(1)])
    assert found.leads[0].messages[0].not_sent == (
        "it has no device to be written from, and there is not exactly one"
    )
