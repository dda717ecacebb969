"""Findings: causes, and which of them another size may mend."""

from equistudy.exactness.elements import names_of
from equistudy.exactness.findings import Cause, breaks


def test_a_finding_names_its_cause_and_what_survives() -> None:
    finding = breaks("conv1", Cause.DROPPED, "the last of the rows", "another", "h")
    assert finding.reason == "pixels dropped: the last of the rows"
    assert names_of(finding.survives) == ("identity", "90 deg", "left-right", "transpose")
    assert names_of(breaks("head", Cause.HEAD, "", "").survives) == ("identity",)


def test_windows_depend_on_the_size_and_weights_do_not() -> None:
    assert not Cause.DROPPED.at_every_size
    assert not Cause.CEIL.at_every_size
    assert Cause.POSITION.at_every_size
    assert Cause.RECTANGULAR.at_every_size
    assert breaks("head", Cause.HEAD, "", "").head
    assert not breaks("norm", Cause.NORM, "", "").head
