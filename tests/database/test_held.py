"""How many go on when a pause ends: those that nothing else holds."""

from messaging.sending.telling import count_held
from rig.people import phone
from tests.support.scenario import Scenario


async def test_what_another_pause_holds_does_not_go_on(scenario: Scenario) -> None:
    await scenario.add_device()
    await scenario.apply("sequence: intro\nsteps:\n  - {id: a, day: 1, text: Hi}\n")
    for index in range(3):
        await scenario.enroll("intro", phone(index), run=f"run-{index}")
    pool = scenario.pool
    await pool.execute(
        "insert into broadcast_messages (id, sequence_stepid, sequence_contact_id, lead_id, recipient_phone, device_id,"
        " status, due_at, reason) select gen_random_uuid(), c.next_step_id, c.id, c.lead_id, c.phone, c.device_id, 'queued',"
        " now(), 'device is paused' from sequence_contacts c"
    )
    assert await count_held(pool, "device", scenario.device) == (3, 3)
    await pool.execute("update sequence_contacts set paused_at = now() where phone = $1", phone(0))
    assert await count_held(pool, "device", scenario.device) == (3, 2)
    assert await count_held(pool, "sequence", "intro") == (3, 2)
    await pool.execute("update devices set status = 'paused'")
    assert await count_held(pool, "sequence", "intro") == (3, 0)
