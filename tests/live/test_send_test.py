"""A test on a real phone, from the command line to the gateway and back."""

import json

from rig.people import phone
from tests.support.campaigns import finished, ready
from tests.support.live import Live


async def test_a_test_of_a_campaign_is_sent_and_waited_for_and_the_campaign_sends_to_all(live: Live) -> None:
    await ready(live, 2)
    await live.start_worker()
    code, out, error = await live.run("starter.py", "test-send", "sale", "--to", phone(1), "--json")
    assert code == 0, error
    done = json.loads(out)
    assert (done["status"], done["of"], done["lead"]) == ("sent", "campaign sale", phone(1))
    assert done["text"] == "Hi Lead 1, half price today."
    await live.scenario.pool.execute("insert into suppressions (phone) values ($1)", phone(5))
    code, _, error = await live.run("starter.py", "test-send", "sale", "--to", phone(5))
    assert (code, error) == (1, f"drumbeat: {phone(5)} has opted out: no test is sent to it\n")
    code, out, error = await live.run("starter.py", "campaign", "start", "sale", "--yes")
    assert code == 0, error
    assert (await finished(live)).messages.sent == 2
    sent = sorted(row["phone"] for row in await live.scenario.accepted())
    assert sent == [phone(0), phone(1), phone(1)], "the test, and one to each lead"
