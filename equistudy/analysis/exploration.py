"""Exploratory tests beyond the claims: the effect of each factor on each outcome, and claims at single levels."""

from collections.abc import Iterator
from dataclasses import replace

from equistudy.analysis.claims import Contrast, Trend
from equistudy.analysis.effect_test import Direction, EffectTest
from equistudy.analysis.outcome import Outcome, as_outcome
from equistudy.analysis.trial_numbers import ReportedValue
from equistudy.study.design import Factor
from equistudy.study.study import Study

__all__ = ["build_exploratory_tests", "collect_outcomes"]


def collect_outcomes(study: Study) -> tuple[Outcome, ...]:
    """All outcomes of a study: its measures, then further outcomes of its claims and figures, each once.

    An outcome that is named in one place is named everywhere.
    """
    named = [as_outcome(measure) for measure in study.measures]
    for item in (*(claim.test for claim in study.claims), *study.figures):
        named += getattr(item, "outcomes", ())
    names = {replace(outcome, name=None): outcome for outcome in named if outcome.name is not None}
    return tuple(dict.fromkeys(names.get(outcome, outcome) for outcome in named))


def build_exploratory_tests(study: Study) -> list[EffectTest]:
    """The undeclared tests: each claim at every single level of the other factors, and all main effects.

    A main effect is a trend for numeric factors, and otherwise the contrast of each level with the first. All of them
    are one family for Holm's correction. They suggest claims for the next study and decide none. The levels of a rank
    correlation, and the groups by which it is centred, are replicates and not effects.
    """
    declared = [claim.test for claim in study.claims if isinstance(claim.test, EffectTest)]
    tests = [test for claim in declared for test in _build_level_tests(claim, study)]
    units = {name for test in declared for name in test.units}
    for outcome in collect_outcomes(study):
        for factor in study.design.factors:
            if factor.name in units or isinstance(outcome.measure, ReportedValue):
                continue
            tests += [test for test in _build_main_effects(outcome, factor) if not _is_declared(test, declared)]
    return tests


def _build_level_tests(claim: EffectTest, study: Study) -> Iterator[EffectTest]:
    for factor in study.design.factors:
        if factor.name not in claim.factors and len(factor.levels) > 1:
            for level in factor.levels:
                yield replace(claim, within=(*claim.within, (factor, level)))


def _build_main_effects(outcome: Outcome, factor: Factor) -> Iterator[EffectTest]:
    if len(factor.levels) < 2:
        return
    if factor.is_numeric:
        yield Trend(outcome, over=factor, expected=Direction.INCREASING)
    else:
        for level in factor.levels[1:]:
            yield Contrast(outcome, factor, level, factor.levels[0], expected=Direction.INCREASING)


def _is_declared(test: EffectTest, declared: list[EffectTest]) -> bool:
    return any(replace(other, expected=test.expected) == test for other in declared)
