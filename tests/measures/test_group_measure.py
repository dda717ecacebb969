"""Measures under a group: which sums of a pass each reads, so that those with equal groups share it."""

from equistudy.groups.translation import Translation
from equistudy.measures.agreement import AbsoluteError, ConcordanceCorrelation
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.selectivity import NormalisedVariance
from equistudy.measuring.families import KeptStatistic, StatisticKey
from equistudy.measuring.geometry import Geometry, OutputLayout

GROUP, VECTOR = Translation(max_pixels=1), Geometry(OutputLayout.VECTOR, 4)


def test_each_measure_reads_its_own_sums() -> None:
    expected = {
        BetweenCorrelation(GROUP): KeptStatistic.MOMENTS,
        ConcordanceCorrelation(GROUP): KeptStatistic.MOMENTS,
        AbsoluteError(GROUP): KeptStatistic.DIFFERENCES,
        NormalisedVariance(GROUP): KeptStatistic.SPREADS,
        ShiftConsistency(GROUP): KeptStatistic.PREDICTIONS,
    }
    for measure, watch in expected.items():
        assert measure.is_applicable(VECTOR)
        plan, skipped = measure.plan_stage("logits", VECTOR)
        assert plan is not None
        assert skipped == []
        assert measure.statistic_key("logits", plan) == StatisticKey("logits", None, watch)
        assert len(plan.elements) == (3 if watch is KeptStatistic.SPREADS else 2)


def test_positions_are_what_some_measures_need() -> None:
    assert not WithinCorrelation(GROUP).is_applicable(VECTOR)
