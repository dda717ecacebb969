"""Measures under a group: which sums of a pass each reads, so that those with equal groups share it."""

from equistudy.groups.translation import Translation
from equistudy.measures.agreement import AbsoluteError, ConcordanceCorrelation
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.normalised_variance import NormalisedVariance
from equistudy.measuring.families import Key, Watch
from equistudy.measuring.geometry import Geometry, Layout

GROUP, VECTOR = Translation(max_pixels=1), Geometry(Layout.VECTOR, 4)


def test_each_measure_reads_its_own_sums() -> None:
    expected = {
        BetweenCorrelation(GROUP): Watch.MOMENTS,
        ConcordanceCorrelation(GROUP): Watch.MOMENTS,
        AbsoluteError(GROUP): Watch.DIFFERENCES,
        NormalisedVariance(GROUP): Watch.SPREADS,
        ShiftConsistency(GROUP): Watch.ANSWERS,
    }
    for measure, watch in expected.items():
        assert measure.takes(VECTOR)
        plan, skipped = measure.planned("logits", VECTOR)
        assert plan is not None
        assert skipped == []
        assert measure.key("logits", plan) == Key("logits", None, watch)
        assert len(plan.elements) == (3 if watch is Watch.SPREADS else 2)


def test_positions_are_what_some_measures_need() -> None:
    assert not WithinCorrelation(GROUP).takes(VECTOR)
