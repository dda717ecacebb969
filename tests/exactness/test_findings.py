"""Findings: causes, and which of them another size may mend."""

from equistudy.exactness.elements import element_names
from equistudy.exactness.findings import Cause, create_breaking_layer


def test_a_finding_names_its_cause_and_what_survives() -> None:
    finding = create_breaking_layer("conv1", Cause.DROPPED, "the last of the rows", "h")
    assert finding.reason == "pixels dropped: the last of the rows"
    assert element_names(finding.survives) == ("identity", "90 deg", "left-right", "transpose")
    assert element_names(create_breaking_layer("head", Cause.HEAD, "").survives) == ("identity",)


def test_windows_depend_on_the_size_and_weights_do_not() -> None:
    assert not Cause.DROPPED.is_at_every_size
    assert not Cause.CEIL.is_at_every_size
    assert Cause.POSITION.is_at_every_size
    assert Cause.RECTANGULAR.is_at_every_size
    assert create_breaking_layer("head", Cause.HEAD, "").is_head
    assert not create_breaking_layer("norm", Cause.NORM, "").is_head
