"""The chaos suite: its plans, its reconciliation of small made-up runs, a real run that holds, and one that cannot hold."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from chaos import topology
from chaos.__main__ import main
from chaos.evidence import Answer, Delivery, Evidence, Expected, Inbound, LedgerRow, Open
from chaos.plan import LONGEST, Hold, KillWorker, Plan, SetFaults, parse_action, plain
from chaos.plan_file import read_plan, write_plan
from chaos.random_plan import OUTAGE, make_plan
from chaos.reconcile import CANNOT, CHECKS, reconcile
from operations.connection import Drumbeat
from rig.people import phone

# Plans

FIRST_OF_SEED_7 = [
    {
        "at": 0.0,
        "do": "faults",
        "faults": [
            {"kind": "refuse", "phone": "+12015550106"},
            {"kind": "refuse", "phone": "+12015550111"},
            {"kind": "latency", "seconds": 0.1, "to_seconds": 0.6},
            {"kind": "latency", "seconds": 0.1, "to_seconds": 0.6, "after_accepting": True},
            {"kind": "offline", "for_seconds": 3.7},
            {"kind": "hang", "probability": 0.15, "seconds": 5.6, "after_accepting": False},
        ],
    },
    {"at": 3.7, "do": "stop", "person": 38},
]


def test_a_seed_makes_one_plan_and_another_seed_another() -> None:
    assert make_plan(7) == make_plan(7)
    assert make_plan(7).actions != make_plan(8).actions
    # To the letter: a seed that failed on one machine is to fail on another.
    assert [plain(action) for action in make_plan(7, 12).actions[:2]] == FIRST_OF_SEED_7


def test_plans_do_everything_and_leave_nothing_undone() -> None:
    for seed in range(50):
        plan = make_plan(seed)
        done = [action.do for action in plan.actions]
        assert {"kill-worker", "faults", "pause", "kill-temporal", "kill-postgres", "kill-gateway"} <= set(
            done
        )
        assert {"opt-out", "stop", "skip", "terminate"} & set(done)
        assert done.count("pause") == done.count("resume")
        assert all(0 <= action.at <= plan.seconds for action in plan.actions)
        assert [action.at for action in plan.actions] == sorted(action.at for action in plan.actions)
    kinds = {action.do for seed in range(50) for action in make_plan(seed).actions}
    assert {"opt-out", "stop", "skip", "terminate", "reply", "cancel-campaign", "remove-step"} <= kinds
    plans = [make_plan(seed) for seed in range(50)]
    assert sum("remove-step" in {action.do for action in plan.actions} for plan in plans) >= 10
    assert sum(_has_outage(plan) for plan in plans) >= 25, "longer than messages may wait"
    stops = [action for seed in range(50) for action in make_plan(seed).actions if action.do == "stop-worker"]
    assert sum(plain(stop)["for"] > 20 for stop in stops) >= 25, "longer than an activity's time-out"


def _has_outage(plan: Plan) -> bool:
    lists = [action.faults for action in plan.actions if isinstance(action, SetFaults)]
    ends = [fault.for_seconds or 0 for faults in lists for fault in faults if fault.kind == "offline"]
    return max(ends, default=0) >= topology.EXPIRES_AFTER + OUTAGE[0]


def test_the_lists_of_faults_that_come_while_a_gateway_is_away_leave_it_away() -> None:
    for seed in range(50):
        until: dict[str | None, float] = {}
        for action in make_plan(seed).actions:
            if not isinstance(action, SetFaults):
                continue
            away = {fault.device for fault in action.faults if fault.kind == "offline"}
            assert {device for device, end in until.items() if action.at < end - 0.1} <= away
            for fault in action.faults:
                if fault.kind == "offline" and (fault.for_seconds or 0) > topology.EXPIRES_AFTER:
                    until[fault.device] = action.at + (fault.for_seconds or 0)


def test_the_names_in_plans_are_those_of_the_topology() -> None:
    for field, names in (
        ("campaign", [topology.CAMPAIGN]),
        ("sequence", [topology.SEQUENCE]),
        ("device", [*topology.DEVICES]),
    ):
        literal, _ = get_args(Hold.model_fields[field].annotation)
        assert list(get_args(literal)) == names


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    plan = make_plan(3, 40, contacts=5, leads=0)
    noted = plan.model_copy(
        update={
            "actions": tuple(
                action.model_copy(update={"note": "so it went: 'twice', \"😀\"\n"}) for action in plan.actions
            )
        }
    )
    file = tmp_path / "plan.yaml"
    write_plan(file, noted)
    assert read_plan(file) == noted
    again = read_plan(file, seed=4, leads=9)
    assert (again.seed, again.contacts, again.leads) == (4, 5, 9)
    write_plan(file, plan.model_copy(update={"actions": ()}))
    assert read_plan(file).actions == ()


def test_the_longest_plan_can_be_read(tmp_path: Path) -> None:
    plan = make_plan(1, LONGEST)
    noted = tuple(action.model_copy(update={"note": "n" * 60}) for action in plan.actions)
    write_plan(tmp_path / "plan.yaml", plan.model_copy(update={"actions": noted}))
    assert read_plan(tmp_path / "plan.yaml").actions == noted


def test_a_plan_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "seed: 5\n"
        "contacts: 4\n"
        "actions:\n"
        "  - at: 8\n"
        "    do: faults\n"
        "    faults:\n"
        "      - {kind: drop, probability: 0.5}\n"
        "  - {at: 3.2, do: kill-worker, worker: 0}\n"
        "  - {at: 9, do: pause, device: paced}\n"
    )
    plan = read_plan(file)
    assert (plan.seed, plan.seconds, plan.contacts, plan.leads) == (5, 11.0, 4, 120)
    assert [action.do for action in plan.actions] == ["kill-worker", "faults", "pause"]
    assert plan.actions[0] == KillWorker(at=3.2, do="kill-worker", worker=0)


def test_every_mistake_is_told_in_a_line_that_says_where_and_nothing_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "sede: 1\n"
        "seconds: 10\n"
        "actions:\n"
        "  - {at: soon, do: kill-temporal}\n"
        "  - {at: 1, do: stop-worker, worker: 2}\n"
        "  - {at: 1, do: kill-wroker}\n"
        "  - {at: 1, do: kill-postgres, wroker: 0}\n"
        "  - {at: 1, do: pause}\n"
        "  - {at: 1, do: faults, faults: [{kind: drop}, {kind: drop, device: kees}]}\n"
    )
    assert main(["--plan", str(file)]) == 2
    told = [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().err.splitlines()]
    for line, found in zip(
        (
            "mine.yaml:1: sede: is no field here; did you mean 'seed'?",
            "mine.yaml:4: actions[0].at: Input should be a valid number",
            "mine.yaml:5: actions[1].worker: Input should be less than 2",
            "mine.yaml:6: actions[2]: Input tag 'kill-wroker' found using 'do' does not match",
            "mine.yaml:7: actions[3].wroker: is no field here; did you mean 'worker'?",
            "mine.yaml:8: actions[4]: name one: 'campaign': 'sale'",
            "mine.yaml:9: actions[5].faults[1]: there is no device 'kees', known are keys, lookup",
        ),
        told,
        strict=True,
    ):
        assert found.startswith(line)

    file.write_text("seconds: 10\nactions:\n  - {at: 11, do: kill-temporal}\n")
    assert main(["--plan", str(file)]) == 2
    assert "mine.yaml:3: actions[0].at: is after the end of the plan" in capsys.readouterr().err


def test_wrong_use_is_told_and_nothing_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plan", str(tmp_path / "nowhere.yaml")]) == 2
    assert "nowhere.yaml: cannot be read: No such file" in capsys.readouterr().err
    for arguments in (["--seconds", "0"], ["--contacts", "-1"], ["--leads", "1001"], ["--sed", "1"]):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2


# The reconciliation, of a run of two contacts and two leads: one is both.

ANN, BEN, CID = phone(0), phone(1), phone(3)
EXPECTED = Expected(
    contacts=(ANN, BEN),
    leads=(ANN, CID),
    steps={"story/one": "First"},
    campaign="sale",
    campaign_text="Half price",
    device_of={ANN: "keys", BEN: "neither", CID: "paced"},
    devices=topology.DEVICES,
)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def delivery(row: str, phone: str, text: str, device: str, after: float = 0) -> Delivery:
    return Delivery(
        phone=phone,
        text=text,
        device=device,
        key=row,
        message_id=f"sim-{row}",
        received_at=NOON + timedelta(seconds=after),
    )


def sent(row: str, phone: str, what: str, device: str) -> LedgerRow:
    return LedgerRow(
        id=row, phone=phone, device=device, what=what, status="sent", gateway_message_id=f"sim-{row}"
    )


def reply(text: str, phone: str = ANN, before: float = 1, recorded: int = 1) -> Inbound:
    """Written a tenth of a second before it was acknowledged, ``before`` seconds before noon."""
    at = NOON - timedelta(seconds=before)
    return Inbound(
        id=f"reply-{text}",
        phone=phone,
        device="keys",
        text=text,
        written_at=at - timedelta(seconds=0.1),
        acknowledged_at=at,
        recorded=recorded,
    )


WHOLE = Evidence(
    deliveries=(
        delivery("a", ANN, "First", "keys"),
        delivery("c", ANN, "Half price", "keys"),
        delivery("d", CID, "Half price", "paced"),
    ),
    rows=(
        sent("a", ANN, "story/one", "keys"),
        LedgerRow(
            id="b",
            phone=BEN,
            device="neither",
            what="story/one",
            status="unconfirmed",
            reason="a worker died",
        ),
        sent("c", ANN, "sale", "keys"),
        sent("d", CID, "sale", "paced"),
    ),
    enrolled={ANN: "completed", BEN: "completed"},
    audience=2,
    promises=10,
)


def damaged(rows: dict[str, dict[str, Any]] | None = None, **update: Any) -> Evidence:
    """The whole evidence with some of it changed; ``rows``: by their ID."""
    changed = tuple(row.model_copy(update=(rows or {}).get(row.id, {})) for row in WHOLE.rows)
    return WHOLE.model_copy(update={"rows": changed, **update})


TWICE = (*WHOLE.deliveries, delivery("d", CID, "Half price", "paced", after=1))
VIOLATIONS: dict[str, tuple[Evidence, set[str]]] = {
    "a second copy": (damaged(deliveries=TWICE), {"delivered twice"}),
    "a contact that was not enrolled": (damaged(enrolled={ANN: "completed"}), {"lost steps"}),
    "a step without a row": (
        damaged().model_copy(update={"rows": tuple(row for row in WHOLE.rows if row.id != "b")}),
        {"lost steps"},
    ),
    "a lead without a row": (
        WHOLE.model_copy(
            update={
                "rows": tuple(row for row in WHOLE.rows if row.id != "d"),
                "deliveries": WHOLE.deliveries[:2],
            }
        ),
        {"lost leads"},
    ),
    "an audience that is too small": (damaged(audience=1), {"lost leads"}),
    "sent by word only": (damaged(deliveries=WHOLE.deliveries[1:]), {"sent, but never accepted"}),
    "sent under another ID": (
        damaged({"a": {"gateway_message_id": "sim-other"}}),
        {"sent, but never accepted"},
    ),
    "failed, and delivered all the same": (
        damaged({"a": {"status": "failed", "reason": "refused"}}),
        {"given up, but delivered"},
    ),
    "failed, and nobody knows why": (
        damaged({"b": {"status": "failed", "reason": None}}),
        {"given up without a reason"},
    ),
    "unconfirmed where the key was tried again and refused": (
        damaged({"a": {"status": "unconfirmed", "reason": f"{CANNOT}: refused"}}),
        set(),
    ),
    "unconfirmed where keys are honoured": (
        damaged({"a": {"status": "unconfirmed", "reason": "who knows"}}),
        {"unconfirmed without need"},
    ),
    "unconfirmed under a key when it was too late to be sent": (
        damaged({"a": {"status": "unconfirmed", "reason": "it was not wanted any more", "too_late": True}}),
        set(),
    ),
    "unconfirmed when it was too late, though the gateway could have been asked": (
        damaged({"d": {"status": "unconfirmed", "reason": "it was not wanted any more", "too_late": True}}),
        {"unconfirmed without need"},
    ),
    "unconfirmed, and nobody knows why": (damaged({"b": {"reason": None}}), {"unconfirmed without need"}),
    "a message that waits": (damaged(open=Open(messages=("sale to somebody",))), {"stuck messages"}),
    "a workflow that runs": (damaged(open=Open(workflows=("campaign:sale",))), {"stuck workflows"}),
    "an enrollment that is active": (damaged(open=Open(enrollments=("story",))), {"stuck enrollments"}),
    "two sends at once": (
        damaged(
            {"c": {"device": "paced", "phone": CID}},
            deliveries=(
                WHOLE.deliveries[0],
                delivery("c", CID, "First", "paced", after=0.19),
                WHOLE.deliveries[2],
            ),
        ),
        {"faster than the pace", "outside the target", "lost leads"},
    ),
    "somebody who is no lead": (
        damaged(deliveries=(*WHOLE.deliveries, delivery("b", BEN, "Half price", "neither"))),
        {"outside the target"},
    ),
    "another device": (
        damaged(
            {"a": {"device": "lookup"}},
            deliveries=(delivery("a", ANN, "First", "lookup"), *WHOLE.deliveries[1:]),
        ),
        {"outside the target"},
    ),
    "a key that nobody knows": (
        damaged(deliveries=(*WHOLE.deliveries, delivery("z", BEN, "First", "neither"))),
        {"outside the target"},
    ),
    "a message after an opt-out": (
        damaged(
            answers=(Answer(at=NOON - timedelta(seconds=1), words="opt-out", phone=ANN, campaign=False),)
        ),
        {"sent after the answer"},
    ),
    "a message to anybody after a cancel": (
        damaged(
            answers=(Answer(at=NOON - timedelta(seconds=1), words="cancel", sequence=False, named=("c",)),)
        ),
        {"sent after the answer"},
    ),
    "what was named, or came after the end of a pause": (
        damaged(
            answers=(
                Answer(at=NOON - timedelta(seconds=1), words="stop", phone=ANN, named=("a", "c")),
                Answer(at=NOON - timedelta(seconds=1), words="pause", device="paced", until=NOON),
            )
        ),
        set(),
    ),
    "a reply that was recorded twice": (damaged(replies=(reply("Go on", recorded=2),)), {"lost replies"}),
    "a reply that nobody acknowledged": (damaged(open=Open(replies=("STOP of Ann",))), {"lost replies"}),
    "a campaign's message after STOP": (damaged(replies=(reply("STOP", CID),)), {"sent after the reply"}),
    "a step after a reply that stops": (
        damaged(
            replies=(reply("Call me", BEN, 3),),
            deliveries=(
                *WHOLE.deliveries,
                delivery("b", BEN, "First", "neither", after=-5),
                delivery("b", BEN, "First", "neither", after=1),
            ),
        ),
        {"delivered twice", "sent after the reply"},
    ),
    "a step after a reply that came before any, and one after a reply that says to go on": (
        damaged(replies=(reply("Call me", ANN), reply("Go on", ANN), reply("Call me", CID))),
        set(),
    ),
    "a broken promise": (damaged(broken=("no step was lost: one",)), {"broken promises"}),
}


def broken(evidence: Evidence) -> set[str]:
    return {check.name for check in reconcile(EXPECTED, evidence) if not check.holds}


def test_a_run_in_order_passes_every_check() -> None:
    assert broken(WHOLE) == set()
    # Who left early has no row for what was to come, and was not sent again under a key.
    left = EXPECTED.model_copy(update={"leavers": (ANN, BEN)})
    early = damaged({"a": {"status": "unconfirmed", "reason": "nobody wanted it"}}, enrolled={ANN: "stopped"})
    assert [check.name for check in reconcile(left, early) if not check.holds] == []
    assert "lost steps" in broken(early)
    # Somebody whose message is unconfirmed may have got it.
    arrived = damaged(deliveries=(*WHOLE.deliveries, delivery("b", BEN, "First", "neither")))
    assert broken(arrived) == set()
    # Somebody who is still under way has steps to come, which are not lost.
    waiting = WHOLE.model_copy(
        update={
            "rows": tuple(row for row in WHOLE.rows if row.id != "b"),
            "enrolled": {ANN: "completed", BEN: "active"},
        }
    )
    assert broken(waiting) == set()


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_violation_is_caught_and_told_once(what: str) -> None:
    evidence, checks = VIOLATIONS[what]
    assert broken(evidence) == checks


def test_no_check_is_without_its_violation() -> None:
    assert set(CHECKS) == {name for _, names in VIOLATIONS.values() for name in names}


# Real runs


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the addresses of other servers."""
    for name in ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)


def result_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.long
@pytest.mark.timeout(500)  # longer than a run waits for what is still open, so that it says what that is
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("seconds", "people", "stopped"),
    [pytest.param(9, 10, 2, id="short"), pytest.param(24, 24, 21, id="longer than a claim lives")],
)
def test_a_short_run_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: float, people: int, stopped: float
) -> None:
    """``people``: contacts, and as many leads; ``stopped``: seconds for which a worker is."""
    pace = min(1, seconds / 17)
    plan = Plan(
        seed=11,
        seconds=seconds,
        contacts=people,
        leads=people,
        actions=tuple(
            parse_action(
                {**action, "at": action["at"] * pace}
                | ({"for": stopped} if action["do"] == "stop-worker" else {})
            )
            for action in SHORT
        ),
    )
    write_plan(tmp_path / "short.yaml", plan)
    code = main(["--plan", str(tmp_path / "short.yaml"), "--out", str(tmp_path / "out"), "--json"])
    result = result_of(capsys)
    assert (code, result["holds"]) == (0, True), [check for check in result["checks"] if check["violations"]]
    # Who opted out or was stopped leaves before the end, with no row for the steps that were to come.
    assert 3 * (people - 3) + people - 1 <= result["totals"]["messages"] <= 4 * people
    done = read_plan(tmp_path / "out" / "plan.yaml")
    assert [action.do for action in done.actions] == [action.do for action in plan.actions]
    assert all("down already" not in (action.note or "") for action in done.actions)
    assert (tmp_path / "out" / "logs" / "worker-0.log").exists()


SLOW = {"kind": "latency", "seconds": 0.1, "to_seconds": 1.0}
SLOW_ANSWER = {**SLOW, "after_accepting": True}
REFUSED = {"kind": "refuse", "phone": phone(5)}
SHORT: tuple[dict[str, Any], ...] = (
    {"at": 0, "do": "faults", "faults": [REFUSED, SLOW, SLOW_ANSWER]},
    {"at": 1, "do": "pause", "sequence": topology.SEQUENCE},
    {"at": 2, "do": "resume", "sequence": topology.SEQUENCE},
    {"at": 3, "do": "stop-worker", "worker": 0},
    {"at": 4, "do": "faults", "faults": [REFUSED, SLOW, SLOW_ANSWER, {"kind": "garble", "probability": 0.2}]},
    {"at": 6, "do": "kill-postgres"},
    {"at": 7, "do": "opt-out", "person": 2},
    {"at": 8, "do": "kill-worker", "worker": 1},
    {"at": 9, "do": "stop", "person": 3},
    {"at": 9.5, "do": "skip", "person": 4},
    {"at": 10, "do": "terminate", "person": 7},
    {"at": 11, "do": "kill-gateway"},
    {"at": 13, "do": "kill-temporal"},
    {"at": 15, "do": "faults", "faults": [REFUSED, SLOW, {"kind": "offline", "for_seconds": 1}]},
)

BLIND = """
alter function claim_message(uuid, text, interval, interval, timestamptz) rename to honest_claim_message;
create function claim_message(
    p_message uuid, p_token text, p_lifetime interval, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
begin
    update broadcast_messages set status = 'pending'
     where id = p_message and status = 'processing' and processing_worker_id <> p_token;
    return honest_claim_message(p_message, p_token, p_lifetime, p_grace, p_now);
end $$;
"""
"""The claim forgets that somebody else had the message: the next attempt sends it without asking."""


async def forget_claims(connection: Drumbeat) -> None:
    await (await connection.pool()).execute(BLIND)


@pytest.mark.long
@pytest.mark.timeout(500)
@pytest.mark.usefixtures("alone")
def test_a_claim_that_forgets_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Proof that a run can fail: workers die while the gateway holds messages, and these go out a second time."""
    file = tmp_path / "blind.yaml"
    file.write_text(
        "seconds: 5\n"
        "contacts: 8\n"
        "leads: 8\n"
        "actions:\n"
        "  - {at: 0, do: faults, faults: [{kind: latency, device: neither, seconds: 8, after_accepting: true}]}\n"
        "  - {at: 4, do: kill-worker, worker: 0}\n"
        "  - {at: 4, do: kill-worker, worker: 1}\n"
    )
    code = main(
        ["--plan", str(file), "--out", str(tmp_path / "out"), "--json"],
        prepare=forget_claims,
        settle_within=60,
    )
    result = result_of(capsys)
    checks = {check["name"]: check["violations"] for check in result["checks"] if check["violations"]}
    assert (code, result["holds"], set(checks)) == (1, False, {"delivered twice"})
    assert all("2 times" in line for line in checks["delivered twice"])
    assert result["totals"]["delivered again"] == len(checks["delivered twice"])
