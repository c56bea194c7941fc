"""What the demo says of the leads that it enrolls."""

from cli.demo import _format_enrolled
from messaging.sequences.contract import SweepTotals


def test_a_demo_without_a_lead_for_its_triggers_says_so() -> None:
    line, more = _format_enrolled(SweepTotals(), ["COLDVITAC", "EXSTART"]).splitlines()
    assert line == "Enrolled 0 contacts by their triggers (COLDVITAC, EXSTART)"
    assert more == "No lead has one of these triggers now; enrolling a lead removes its trigger."
    assert "enters the next one" in _format_enrolled(SweepTotals(enrolled=2), ["COLDVITAC"])
    # Leads that were enrolled before, or that have opted out, do have one.
    assert len(_format_enrolled(SweepTotals(already_enrolled=2), ["COLDVITAC"]).splitlines()) == 1
    assert len(_format_enrolled(SweepTotals(opted_out=1), ["COLDVITAC"]).splitlines()) == 1
