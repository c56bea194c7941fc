"""However often, from wherever and in whatever spelling: one person is enrolled in a sequence once."""

import asyncio
import json
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from cli.enroll import _format_swept
from messaging.common.errors import Conflict, NotFound
from messaging.leads.lead import Lead
from messaging.sequences.contract import EnrollmentRequest
from operations import contacts, devices, enrollment, opt_outs, reports, sequences
from operations.schedule import SWEEP, ensure_schedules
from rig.people import phone
from rig.waiting import until
from tests.support.live import Live
from workflows.sequence import SequenceContactWorkflow

SHORT = """
sequence: short
trigger: COLDVITAC
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 1s, text: "Two"}
"""
LONG = """
sequence: long
steps:
  - {id: a, day: 1, text: "One"}
  - {id: b, after: 2h, text: "Two"}
  - {id: c, after: 2h, text: "Three"}
"""
SPELLINGS = ("+12015550123", "(201) 555-0123", "tel:+1-201-555-0123", "201.555.0123", "1 201 555 0123")

MANY = """
import asyncio, json, os, sys
import starter

async def main():
    async with starter.connect() as drumbeat:
        done = await asyncio.gather(*(
            starter.enroll(drumbeat, "short", spelling, default_region="US", device=sys.argv[1])
            for spelling in json.loads(sys.argv[2])
        ))
    print(sum(one.result == "enrolled" for one in done))

asyncio.run(main())
sys.stdout.flush()
os._exit(0)  # a process that held a Temporal client can, rarely, abort while Python shuts down
"""


async def texts(live: Live) -> list[str]:
    return [message["text"] for message in await live.scenario.accepted()]


async def sent(live: Live, count: int) -> None:
    async def there() -> bool:
        return len(await texts(live)) >= count

    await until(there)


async def test_fifty_at_once_from_five_services_that_reach_temporal_only(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.start_worker()
    results = await asyncio.gather(
        *(
            live.run("-c", MANY, live.scenario.device, json.dumps(SPELLINGS * 2), DATABASE_URL="")
            for _ in range(5)
        )
    )
    assert [code for code, _, _ in results] == [0] * 5, results
    assert sum(int(out) for _, out, _ in results) == 1, "one of fifty started it"
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]
    again = await enrollment.enroll(live.connection, "short", "+12015550123")
    assert again.result == "already_enrolled"


async def test_after_temporal_has_forgotten_the_workflow_nobody_is_written_to_again(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.start_worker()
    done = await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device)
    await live.all_over(1)
    temporal = live.connection.temporal
    await temporal.get_workflow_handle(done.workflow_id).result()
    again = await temporal.start_workflow(
        SequenceContactWorkflow.run,
        EnrollmentRequest(sequence="short", lead=Lead(phone=phone(1))),
        id=done.workflow_id,
        task_queue=live.connection.settings.task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    assert (await again.result()).outcome == "duplicate"
    assert await texts(live) == ["One", "Two"]


async def test_the_sweep_enrolls_by_the_whole_word_and_consumes_it(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.scenario.pool.executemany(
        "insert into leads (phone, triggers, device_id) values ($1, $2, $3)",
        [
            (phone(1), ["COLDVITAC", "OTHER"], live.scenario.device),
            (phone(2), ["COLDVITAC2"], live.scenario.device),
            (phone(3), ["OTHER"], live.scenario.device),
        ],
    )
    await live.start_worker()
    await ensure_schedules(live.connection)
    await ensure_schedules(live.connection)
    await live.connection.temporal.get_schedule_handle(SWEEP).trigger()
    await live.all_over(1)
    rows = await live.scenario.pool.fetch("select phone, triggers from leads order by phone")
    assert [row["triggers"] for row in rows] == [["OTHER"], ["COLDVITAC2"], ["OTHER"]]
    assert await live.scenario.pool.fetchval("select count(*) from sequence_contacts") == 1
    with pytest.raises(NotFound, match="no sequence has the trigger NOPE"):
        await enrollment.enroll_by_trigger(live.connection, "nope")
    totals = await enrollment.enroll_by_trigger(live.connection, "coldvitac")
    assert (totals.enrolled, totals.already_enrolled) == (0, 0)
    assert totals.used_up is not None
    assert (totals.used_up.sequence, totals.used_up.contacts) == ("short", 1)
    said = _format_swept(totals)
    assert said.startswith(
        "0 enrolled: nobody has the trigger COLDVITAC now; short has had 1 contact, the last one enrolled 20"
    )


async def test_a_contact_is_steered_and_told_of_edits(live: Live, tmp_path: Path) -> None:
    await live.scenario.add_device()
    file = tmp_path / "long.yaml"
    file.write_text(LONG)
    connection = live.connection
    await sequences.apply(connection, [file])
    await live.start_worker()
    await enrollment.enroll(connection, "long", phone(1), device=live.scenario.device, name="Aisha")
    await sent(live, 1)

    async def at_second() -> bool:
        return (await contacts.progress(connection, "long", phone(1))).step == "b"

    await until(at_second)
    assert (await contacts.pause(connection, "long", phone(1), "on holiday")).result == "paused"
    again = await contacts.pause(connection, "long", phone(1), "another")
    assert again.result == "had been paused already: on holiday"

    async def shown() -> bool:
        return (await contacts.progress(connection, "long", phone(1))).state == "paused"

    await until(shown)
    for words, says in (
        (("contact", phone(1)), "on holiday"),
        (("status",), "paused"),
        (("sequence", "show", "long"), "1 active (1 of them paused)"),
    ):
        assert says in (await live.run("starter.py", *words))[1]
    (report,) = (await reports.contact(connection, phone(1))).enrollments
    assert (report.status, report.paused_reason) == ("active", "on holiday")
    assert report.paused_at is not None
    totals = await reports.status(connection)
    assert [(one.active, one.paused, one.due_next) for one in totals.sequences] == [(1, 1, None)]
    description = await connection.temporal.get_workflow_handle(f"sequence:long:{phone(1)}").describe()
    state = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    assert state["DrumbeatSequence"] == "long"
    assert state["DrumbeatPhone"] == phone(1)
    assert state["DrumbeatStep"] == "b"
    assert state["DrumbeatDevice"] == live.scenario.device
    assert await description.static_summary() == "Aisha · long"
    assert (await contacts.resume(connection, "long", phone(1))).result == "resumed"
    assert (await contacts.resume(connection, "long", phone(1))).result == "was not paused"
    with pytest.raises(Conflict, match="the current step is 'b', not 'a'"):
        await contacts.skip(connection, "long", phone(1), "a")
    assert (await contacts.skip(connection, "long", phone(1), "b")).result == "skips b"
    assert (await contacts.skip(connection, "long", phone(1), "b")).result == "had skipped b already"
    file.write_text(LONG.replace('after: 2h, text: "Three"', 'after: 0s, text: "3"'))
    (applied,) = await sequences.apply(connection, [file], consent=True)
    assert applied.contacts_replanned == 1
    stopped = await contacts.stop(connection, "long", phone(1), "asked by phone")
    assert (stopped.result, await live.active()) == ("stopped", 0)
    again = await contacts.stop(connection, "long", phone(1))
    assert again.result == "had been stopped already"
    result = await connection.temporal.get_workflow_handle(f"sequence:long:{phone(1)}").result()
    assert (result["outcome"], result["reason"]) == ("stopped", "asked by phone")
    with pytest.raises(NotFound, match="there is no sequence 'lung': did you mean 'long'"):
        await contacts.stop(connection, "lung", phone(1))
    with pytest.raises(NotFound, match="is not in the sequence 'long'"):
        await contacts.pause(connection, "long", phone(2))
    with pytest.raises(Conflict, match=r"has left the sequence \(stopped\)"):
        await contacts.pause(connection, "long", phone(1))
    assert await texts(live) == ["One"]


async def test_an_edit_that_moves_a_step_forward_wakes_who_sleeps(live: Live, tmp_path: Path) -> None:
    await live.scenario.add_device()
    file = tmp_path / "long.yaml"
    file.write_text(LONG)
    await sequences.apply(live.connection, [file], consent=True)
    await live.start_worker()
    await enrollment.enroll(live.connection, "long", phone(1), device=live.scenario.device)
    await sent(live, 1)
    file.write_text(LONG.replace("2h", "1s").replace("Two", "2"))
    await sequences.apply(live.connection, [file], consent=True)
    await live.all_over(1)
    assert await texts(live) == ["One", "2", "Three"]


async def test_a_paused_device_holds_and_resuming_wakes(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await devices.pause(live.connection, live.scenario.device, "under review")
    await live.start_worker()
    await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device)

    async def held() -> bool:
        rows = await live.scenario.messages()
        return bool(rows) and rows[0]["reason"] == f"device {live.scenario.device} is paused: under review"

    await until(held)

    async def listed() -> bool:
        return (await live.connection.temporal.count_workflows("DrumbeatState = 'held'")).count == 1

    await until(listed)
    change = await devices.resume(live.connection, live.scenario.device)
    assert change.contacts_woken == 1
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]


async def test_opting_out_ends_what_runs(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(LONG)
    await live.start_worker()
    await enrollment.enroll(live.connection, "long", phone(1), device=live.scenario.device)
    await sent(live, 1)
    done = await opt_outs.opt_out(live.connection, phone(1))
    assert (done.changed, done.ended) == (True, 1)
    await live.all_over(1)
    assert not (await opt_outs.opt_out(live.connection, phone(1))).changed
    assert await live.scenario.pool.fetchval("select status from sequence_contacts") == "opted_out"
    stranger = await opt_outs.opt_out(live.connection, phone(2))
    assert (done.is_lead, stranger.is_lead, stranger.changed) == (True, False, True)


async def test_two_spellings_of_one_account_are_one_contact_and_one_opt_out(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(LONG)
    await live.start_worker()
    connection, device = live.connection, live.scenario.device
    first = await enrollment.enroll(connection, "long", "+54 11 5555-0131", device=device, patience=60)
    again = await enrollment.enroll(connection, "long", "+54 9 11 5555-0131", device=device)
    assert (first.phone, first.result, again.result) == ("+5491155550131", "enrolled", "already_enrolled")
    await sent(live, 1)
    assert (await reports.contact(connection, "+541155550131")).phone == "+5491155550131"
    done = await opt_outs.opt_out(connection, "+541155550131")
    assert (done.phone, done.changed, done.ended) == ("+5491155550131", True, 1)
    await live.all_over(1)
    assert await live.scenario.pool.fetchval("select status from sequence_contacts") == "opted_out"
    assert (await opt_outs.withdraw(connection, "+541155550131")).changed


ONE = """
import asyncio, os, sys
import starter

async def main():
    async with starter.connect() as drumbeat:
        done = await starter.enroll(drumbeat, "short", sys.argv[1], name="Aisha", device=sys.argv[2])
    print(done.result, done.status, done.device)

asyncio.run(main())
sys.stdout.flush()
os._exit(0)
"""


async def test_who_has_opted_out_is_said_to_have_and_can_be_enrolled_after_undo(live: Live) -> None:
    """By the command line, by a service that reaches Temporal only, and by the sweep: nothing is used up."""
    pool, device = live.scenario.pool, live.scenario.device
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.start_worker()
    await until(live.works)
    people = [phone(1), phone(2), phone(3)]
    await pool.executemany(
        "insert into leads (phone, triggers, device_id) values ($1, $2, $3)",
        [(number, ["COLDVITAC"], device) for number in people],
    )
    for number in people:
        await opt_outs.opt_out(live.connection, number)

    code, out, error = await live.run("starter.py", "enroll", "short", phone(1), "--json")
    assert (code, json.loads(out)["result"]) == (1, "opted_out")
    assert f"{phone(1)} has opted out, and was not enrolled in short" in error
    code, out, error = await live.run("starter.py", "enroll", "short", phone(1))
    assert (code, out, error.count("\n")) == (1, "", 1)
    service = ("-c", ONE, phone(2), device)
    for _ in range(2):
        code, out, error = await live.run(*service, DATABASE_URL="")
        assert (code, out) == (0, "opted_out None None\n"), error
    totals = await enrollment.enroll_by_trigger(live.connection, "COLDVITAC")
    assert (totals.enrolled, totals.already_enrolled, totals.opted_out) == (0, 0, 3)
    assert await pool.fetchval("select count(*) from sequence_contacts") == 0
    assert await pool.fetchval("select count(*) from leads where triggers = '{COLDVITAC}'") == 3
    failed = "WorkflowType = 'SequenceContactWorkflow' and ExecutionStatus = 'Failed'"
    assert (await live.connection.temporal.count_workflows(failed)).count == 0

    for number in people:
        await opt_outs.withdraw(live.connection, number)
    code, out, _ = await live.run("starter.py", "enroll", "short", phone(1))
    assert (code, out) == (0, f"{phone(1)} enrolled in short\n")
    code, out, error = await live.run(*service, DATABASE_URL="")
    assert (code, out) == (0, f"enrolled active {device}\n"), error
    totals = await enrollment.enroll_by_trigger(live.connection, "COLDVITAC")
    assert totals.enrolled == 1
    await live.all_over(3)
    assert sorted(await texts(live)) == ["One"] * 3 + ["Two"] * 3
    assert await pool.fetchval("select count(*) from leads where triggers <> '{}'") == 0


async def test_many_services_enroll_somebody_whose_opt_out_was_taken_back_once(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.start_worker()
    device = live.scenario.device
    await opt_outs.opt_out(live.connection, phone(1))
    refused = await enrollment.enroll(live.connection, "short", phone(1), device=device, patience=60)
    assert refused.result == "opted_out"
    await opt_outs.withdraw(live.connection, phone(1))
    done = await asyncio.gather(
        *(enrollment.enroll(live.connection, "short", phone(1), device=device) for _ in range(20))
    )
    assert sorted({one.result for one in done}) == ["already_enrolled", "enrolled"]
    assert sum(one.result == "enrolled" for one in done) == 1
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]


async def test_enrolled_again_it_is_said_what_became_of_the_first_time(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.scenario.apply(LONG)
    await live.start_worker()
    connection, device = live.connection, live.scenario.device
    for sequence in ("short", "long"):
        await enrollment.enroll(connection, sequence, phone(1), device=device, patience=60)
    again = await enrollment.enroll(connection, "long", phone(1))
    assert (again.result, again.status) == ("already_enrolled", "active")
    await contacts.stop(connection, "long", phone(1), "asked by phone")
    await live.all_over(2)
    for sequence, status, says in (
        ("short", "completed", f"{phone(1)} has completed short before, and no contact goes"),
        (
            "long",
            "stopped",
            f"{phone(1)} was in long before and was stopped (asked by phone), and no contact goes",
        ),
    ):
        again = await enrollment.enroll(connection, sequence, phone(1))
        assert (again.result, again.status) == ("already_enrolled", status)
        code, out, error = await live.run("starter.py", "enroll", sequence, phone(1))
        if status == "completed":
            assert (code, out.startswith(says)) == (0, True), error
        else:
            assert (code, out) == (1, "")
            assert error.startswith(f"drumbeat: {says}")


@pytest.mark.long
async def test_a_pause_needs_no_worker_and_outlives_one_that_is_killed(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT.replace("after: 1s", "after: 3s"))
    worker = await live.start_worker()
    await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device)

    async def recorded() -> bool:
        return [row["status"] for row in await live.scenario.messages()] == ["sent"]

    await until(recorded)
    await live.kill(worker)
    code, out, error = await live.run("starter.py", "pause", "short", phone(1), "--reason", "on holiday")
    assert (code, out) == (0, f"{phone(1)} in short: paused\n"), error
    await live.start_worker()

    async def shown() -> bool:
        return (await live.connection.temporal.count_workflows("DrumbeatState = 'paused'")).count == 1

    await until(shown)
    assert await texts(live) == ["One"]
    code, out, error = await live.run("starter.py", "resume", "short", phone(1))
    assert (code, out) == (0, f"{phone(1)} in short: resumed\n"), error
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]


async def test_without_a_worker_it_is_said_within_five_seconds_and_nothing_is_lost(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    began = asyncio.get_running_loop().time()
    done = await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device)
    assert done.result == "handed_over"
    assert asyncio.get_running_loop().time() - began < 6
    code, out, _ = await live.run("starter.py", "enroll", "short", phone(1))
    assert code == 0
    assert "no worker has taken it yet" in out
    await live.start_worker()
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]


async def test_what_can_be_known_is_refused_before_it_is_handed_over(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.add_device(device="kl-1")
    await live.scenario.apply(SHORT)
    code, out, error = await live.run("starter.py", "enroll", "short", phone(1))
    assert (code, out) == (1, "")
    assert (
        f"{phone(1)} has no device, and there are 2 ({live.scenario.device}, kl-1): name one with --device"
        in error
    )
    code, _, error = await live.run("starter.py", "enroll", "+1 201 555 0123", "short")
    assert code == 1
    assert "SEQUENCE comes first, then PHONE" in error
    everything = "WorkflowType = 'SequenceContactWorkflow'"
    assert (await live.connection.temporal.count_workflows(everything)).count == 0


async def test_a_refusal_that_nobody_waited_for_is_shown_until_the_phone_is_enrolled(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.add_device(device="kl-1")
    await live.scenario.apply(SHORT)
    # A service that reaches Temporal only, while no worker runs.
    done = await enrollment.enroll(live.connection, "short", phone(1), patience=0.2)
    assert done.result == "handed_over"
    with pytest.raises(NotFound, match="handed to Temporal for short"):
        await reports.contact(live.connection, phone(1))
    with pytest.raises(Conflict, match="only 'stop' holds already"):
        await contacts.pause(live.connection, "short", phone(1))
    await live.start_worker()

    async def refused() -> bool:
        return any("refused" in line for line in (await reports.status(live.connection)).attention)

    await until(refused)
    why = f"{phone(1)} has no device, and there are 2"
    with pytest.raises(NotFound, match=rf"its enrollment in short was refused on .* UTC: \{why}"):
        await reports.contact(live.connection, phone(1))
    shown = (await reports.status(live.connection)).attention
    assert any(f"the enrollment of {phone(1)} in short was refused: {why}" in line for line in shown)
    again = await enrollment.enroll(
        live.connection, "short", phone(1), device=live.scenario.device, patience=60
    )
    assert again.result == "enrolled"
    assert (await reports.contact(live.connection, phone(1))).refused == ()
    assert not any("refused" in line for line in (await reports.status(live.connection)).attention)


async def test_a_lead_that_was_handed_over_is_not_said_to_be_never_enrolled(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(LONG)
    await live.scenario.add_leads(1, first=1)
    await enrollment.enroll(live.connection, "long", phone(1), patience=0.2)

    async def listed() -> bool:
        return bool((await reports.contact(live.connection, phone(1))).handed_over)

    await until(listed)
    report = await reports.contact(live.connection, phone(1))
    assert (report.handed_over, report.not_enrolled) == (("long",), None)


async def test_the_opt_out_of_a_phone_that_is_no_lead_is_shown(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.add_leads(1, first=1)
    await opt_outs.opt_out(live.connection, phone(2), "asked by phone")
    with pytest.raises(
        NotFound, match=r"no lead .*; the phone opted out on .* UTC \(operator: asked by phone\)"
    ):
        await reports.contact(live.connection, phone(2))
    status = await reports.status(live.connection)
    assert (status.leads, status.opted_out, status.others_opted_out) == (1, 0, 1)
    await opt_outs.opt_out(live.connection, phone(1))
    status = await reports.status(live.connection)
    assert (status.leads, status.opted_out, status.others_opted_out) == (1, 1, 1)


async def test_one_sequence_leads_into_the_next_and_a_cycle_ends(live: Live) -> None:
    await live.scenario.add_device()
    for name, trigger, following in (
        ("cold", "COLD", "WARM"),
        ("warm", "WARM", "HOT"),
        ("hot", "HOT", "COLD"),
    ):
        await live.scenario.apply(
            f"sequence: {name}\ntrigger: {trigger}\nnext_trigger: {following}\n"
            f"steps:\n  - {{id: a, day: 1, text: '{name}'}}\n"
        )
    await live.start_worker()
    await enrollment.enroll(live.connection, "cold", phone(1), device=live.scenario.device)
    await live.all_over(3)

    async def none_runs() -> bool:
        query = "WorkflowType = 'SequenceContactWorkflow' and ExecutionStatus = 'Running'"
        return (await live.connection.temporal.count_workflows(query)).count == 0

    await until(none_runs)
    assert await texts(live) == ["cold", "warm", "hot"]
    assert await live.scenario.pool.fetchval("select triggers from leads") == []


async def test_a_refused_enrollment_may_be_repeated_once_its_cause_is_gone(live: Live) -> None:
    await live.scenario.add_device()
    await live.start_worker()
    with pytest.raises(Conflict, match="there is no sequence 'short'"):
        await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device, patience=60)
    handle = live.connection.temporal.get_workflow_handle(f"sequence:short:{phone(1)}")

    assert (await handle.result())["outcome"] == "not_enrolled", "no workflow fails for that"
    await live.scenario.apply(SHORT)
    again = await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device)
    assert again.result == "enrolled"
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]


async def test_the_example_service_runs(live: Live) -> None:
    await live.scenario.add_device()
    await live.scenario.apply(SHORT)
    await live.start_worker()
    code, out, error = await live.run(
        "examples/enroll_service.py", "short", "+12015550123", "Aisha", DATABASE_URL=""
    )
    assert (code, out.split(":")[0]) == (0, "+12015550123"), error
    code, out, error = await live.run("examples/enroll_service.py", "short", "12", "Aisha")
    assert (code, out) == (1, "")
    assert error.count("\n") == 1
    await live.all_over(1)
    await live.scenario.add_device(device="kl-1")
    example = "examples/enroll_service.py"
    code, out, error = await live.run(example, "short", phone(2), "Ben", "kl-1", DATABASE_URL="")
    assert (code, out.split(":")[0]) == (0, phone(2)), error
    assert (await reports.contact(live.connection, phone(2))).device == "kl-1"
    code, out, error = await live.run(example)
    assert (code, out, error.startswith("usage:")) == (2, "", True), error


async def test_an_edit_reaches_a_paused_contact(live: Live, tmp_path: Path) -> None:
    await live.scenario.add_device()
    file = tmp_path / "long.yaml"
    file.write_text(LONG)
    await sequences.apply(live.connection, [file])
    await live.start_worker()
    await enrollment.enroll(live.connection, "long", phone(1), device=live.scenario.device)
    await sent(live, 1)
    await contacts.pause(live.connection, "long", phone(1))
    file.write_text(LONG.replace("2h", "3h"))
    (applied,) = await sequences.apply(live.connection, [file])
    assert (applied.contacts_replanned, applied.contacts_to_signal) == (1, 1)

    async def heard() -> bool:
        (again,) = await sequences.apply(live.connection, [file])
        return (again.result, again.contacts_replanned, again.contacts_to_signal) == ("unchanged", 0, 0)

    await until(heard)
    progress = await contacts.progress(live.connection, "long", phone(1))
    assert (progress.state, progress.step) == ("paused", "b")
    row = await live.scenario.pool.fetchrow("select next_due_at from sequence_contacts")
    assert row is not None
    assert progress.due_at == row["next_due_at"]


@workflow.defn(name="SequenceContactWorkflow")
class Failing:
    """A contact's workflow whose tasks fail."""

    @workflow.run
    async def run(self, request: EnrollmentRequest) -> None:  # noqa: ARG002 - every contact's input
        """Fails."""
        raise RuntimeError("a fault of its own")


@pytest.mark.long
async def test_a_command_goes_through_while_the_workflow_can_do_nothing(live: Live) -> None:
    """A workflow whose tasks fail takes no update; what is asked of a contact stands in its row."""
    client, queue = live.connection.temporal, live.connection.settings.task_queue
    await live.scenario.add_device()
    await live.scenario.apply(SHORT.replace("after: 1s", "after: 3s"))
    worker = await live.start_worker()
    done = await enrollment.enroll(live.connection, "short", phone(1), device=live.scenario.device)
    await sent(live, 1)
    await live.kill(worker)
    handle = client.get_workflow_handle(done.workflow_id)
    async with Worker(
        client, task_queue=queue, workflows=[Failing], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        await handle.signal("wake")

        async def fails() -> bool:
            described = await handle.describe()
            return described.raw_description.pending_workflow_task.attempt > 1

        await until(fails)
        began = asyncio.get_running_loop().time()
        assert (await contacts.pause(live.connection, "short", phone(1), "wait")).result == "paused"
        assert asyncio.get_running_loop().time() - began < 4
    await live.start_worker()

    async def shown() -> bool:
        return (await client.count_workflows("DrumbeatState = 'paused'")).count == 1

    await until(shown, 60)
    assert await texts(live) == ["One"]
    await contacts.resume(live.connection, "short", phone(1))
    await live.all_over(1)
    assert await texts(live) == ["One", "Two"]
