"""Verdicts on claims, derived from intervals, put into words, and corrected over the family of claims."""

import math
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import polars as pl

from equistudy.analysis.contrasts import ALPHA, holm_correction
from equistudy.analysis.effect_test import Direction, EffectTest
from equistudy.analysis.intervals import Interval, t_interval
from equistudy.analysis.outcome import Combination, Reference
from equistudy.analysis.rounding import format_rounded
from equistudy.analysis.summary import describe_stalled_networks
from equistudy.analysis.table import DONE, StudyTable, describe_absence
from equistudy.spec import format_label
from equistudy.study.study import Claim, Study, Verdict

__all__ = [
    "VerdictStatus",
    "correct_verdicts",
    "format_p_value",
    "judge_claims",
    "judge_effect",
    "judge_rank_correlation",
]


class VerdictStatus(StrEnum):
    """Whether the data supports a claim, contradicts it, or leaves it undecided."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


def judge_effect(test: EffectTest, table: StudyTable) -> Verdict:
    """Supported if the 95 % t interval lies inside `test.claimed_range`, contradicted if it lies outside.

    If the test does not fix all other factors, each of their cells is judged, unless the claim is about the average: a
    claim that is supported in all cells is supported, and one that is contradicted in one cell is contradicted. The
    former needs no correction (it is an intersection-union test), the latter is corrected by Bonferroni's method. `p`
    is that of the deciding cell, from the two-sided t test against the nearest bound of the claimed range. The sentence
    names trials without the outcome and networks that did not learn.
    """
    outcome = test.outcomes[0]
    lacking = test.select_compared(outcome.trials_without_value(table), table)
    absent = describe_absence(lacking, table.factors, len(test.select_compared(table.design, table)))
    compared = test.select_compared(table.design, table)["trial"]
    mixed = table.describe_mixed_architectures(compared)
    notes = [*_describe_reference(test, table), *describe_stalled_networks(test, table), *mixed, absent]
    cells = [] if test.on_average else _split_into_cells(test, table)
    several = len(cells) > 1
    verdict = _judge_each(test, table, cells) if several else _judge_cell(test, table, test.within_text)
    return verdict._replace(sentence=" ".join(filter(None, [verdict.sentence, *notes])))


def _judge_cell(test: EffectTest, table: StudyTable, where: str) -> Verdict:
    """The verdict on the effects of one table; `where` is appended to its sentences."""
    gap = test.find_gap(table)
    if gap is not None:
        return Verdict(VerdictStatus.UNDECIDED, f"{gap}{where}: the trend is undecided.")
    values = test.effects(table)["value"].to_numpy()
    if len(values) == 0:
        sentence = f"No seed has all trials yet that compare {test.outcomes[0].title} {test.comparison}{where}."
        return Verdict(VerdictStatus.UNDECIDED, sentence)
    interval = t_interval(values)._replace(p=t_interval(values - _nearest_bound(test, float(values.mean()))).p)
    status = _decide_status(test, interval, _has_seed_variation(table))
    sentence = _describe_verdict(test, status, interval, where)
    effects = tuple(values.tolist())
    return Verdict(status, sentence, *interval[:3], interval.p, interval.n, effects, test.details(table))


def _split_into_cells(test: EffectTest, table: StudyTable) -> list[tuple[str, StudyTable]]:
    """The table of each cell of the factors that the test does not fix, with its levels in words."""
    design = test.select_compared(table.design, table)
    others = [name for name in table.factors if name not in test.factors and design[name].n_unique() > 1]
    cells = []
    for levels in design.select(others).unique(maintain_order=True).to_dicts() if others else []:
        cell = table.restrict_to(levels)
        if test.can_compare(cell):
            shown = [f"{name} {format_label(level)}" for name, level in levels.items() if level is not None]
            joined = f"{test.within_text}, " if test.within_text else ", at "
            cells.append((f"{joined}{', '.join(shown)}", cell))
    return cells


def _judge_each(test: EffectTest, table: StudyTable, cells: list[tuple[str, StudyTable]]) -> Verdict:
    """The verdict of the deciding cell, with a summary of the others."""
    judged = [_judge_cell(test, cell, where) for where, cell in cells]
    against = [
        verdict._replace(p=None if verdict.p is None else min(1.0, verdict.p * len(cells)))
        for verdict in judged
        if verdict.status == VerdictStatus.CONTRADICTED and (verdict.p is None or verdict.p * len(cells) < ALPHA)
    ]
    if against:
        status, deciding = VerdictStatus.CONTRADICTED, max(against, key=lambda each: _measure_distance(test, each))
    else:
        status = VerdictStatus.SUPPORTED
        if any(verdict.status != VerdictStatus.SUPPORTED for verdict in judged):
            status = VerdictStatus.UNDECIDED
        left = [verdict for verdict in judged if verdict.status != VerdictStatus.SUPPORTED] or judged
        deciding = max(left, key=lambda each: _measure_distance(test, each))
        known = [verdict.p for verdict in judged if verdict.p is not None]
        if status is VerdictStatus.SUPPORTED and known:
            deciding = deciding._replace(p=max(known))
        # contradicted before Bonferroni's correction, but not after it
        if deciding.status == VerdictStatus.CONTRADICTED and deciding.p is not None:
            deciding = deciding._replace(p=min(1.0, deciding.p * len(cells)))
    numbers = {name: sum(verdict.status == name for verdict in judged) for name in VerdictStatus}
    counts = ", ".join(f"{name} in {number}" for name, number in numbers.items() if number)
    mean = _describe_mean(test, table, "; the mean effect is ")
    sentence = f"{deciding.sentence} This is the weakest of {len(cells)} cells ({counts}){mean}."
    return deciding._replace(status=status, sentence=sentence)


def _measure_distance(test: EffectTest, verdict: Verdict) -> float:
    """The distance of the effect outside the claimed range, negative inside; infinite for a cell without an effect."""
    if verdict.effect is None:
        return math.inf
    low, high = test.claimed_range
    return max(low - verdict.effect, verdict.effect - high)


def _describe_reference(test: EffectTest, table: StudyTable) -> list[str]:
    """Sentences on what a claim about learned equivariance subtracts and leaves out, and the effect without that."""
    (outcome, *_) = test.outcomes
    if outcome.reference is not Reference.LEARNED:
        return []
    if not outcome.has_untrained_values(table):
        return ["No network was measured before training, so values are not relative to it."]
    plain: Any = replace(test, outcome=replace(outcome, reference=Reference.NONE))  # type: ignore[call-arg]
    mean = _describe_mean(plain, table, "; without this, the mean effect is ")
    stages = outcome.saturated_stages(table)
    left_out = f" Left out: {' and '.join(stages)}, where every network is at 1." if stages else ""
    return [f"Values are relative to the same network before training{mean}.{left_out}"]


def _describe_mean(test: EffectTest, table: StudyTable, words: str) -> str:
    """The mean effect over all cells and seeds, preceded by these words; empty if there is none."""
    values = test.effects(table)["value"].to_numpy()
    return f"{words}{_format_value(test, float(values.mean()), None)}" if len(values) else ""


def judge_rank_correlation(test: EffectTest, rho: Interval | None, over: str, table: StudyTable) -> Verdict:
    """Supported if the 95 % interval of rho lies inside the claimed range, contradicted if it lies outside.

    The sentence names trials without one of the two numbers. `p` is for the hypothesis rho = 0.
    """
    absent = _describe_absent_pairs(test, table)
    first, second = test.outcomes
    if rho is None or rho.low is None or rho.high is None:
        found = 0 if rho is None else rho.n
        value = "no correlation" if rho is None else f"Spearman's rho {rho.estimate:.2f}, which has no interval"
        names = f"{_capitalise_first(first.title)} and {second.title}"
        sentence = f"{names} can be compared at {found} levels of {over}{test.within_text}: {value}."
        return Verdict(VerdictStatus.UNDECIDED, f"{sentence} {absent}".strip(), n=found)
    status, half = _decide_status(test, rho, seeds_reach=False), rho.half_width
    bounds = f"95 % interval [{format_rounded(rho.low, half)}, {format_rounded(rho.high, half)}] over {rho.n} levels"
    how = "correlates" if status is not VerdictStatus.UNDECIDED else "shows no clear correlation"
    sentence = (
        f"{_capitalise_first(first.title)} {how} {test.comparison}{test.within_text}: "
        f"Spearman's rho {format_rounded(rho.estimate, half)}, "
        f"{bounds}.{_describe_claim(test)}"
    )
    return Verdict(status, f"{sentence} {absent}".strip(), *rho[:3], p=rho.p, n=rho.n)


def _describe_absent_pairs(test: EffectTest, table: StudyTable) -> str:
    """A sentence that names trials without the first or the second number."""
    lacking = pl.concat(
        [test.select_compared(outcome.trials_without_value(table), table) for outcome in test.outcomes[::-1]]
    )
    lacking = lacking.unique([*table.factors, "seed"], maintain_order=True)
    return describe_absence(lacking, table.factors, len(test.select_compared(table.design, table)))


def _nearest_bound(test: EffectTest, estimate: float) -> float:
    """The bound of the claimed range that is nearest to the estimate."""
    return min((end for end in test.claimed_range if math.isfinite(end)), key=lambda end: abs(end - estimate))


def _has_seed_variation(table: StudyTable) -> bool:
    """Whether trials that differ only in their seeds have different scores, so that the seeds take effect."""
    done = table.trials.filter(pl.col("status") == DONE)
    scores = [name for name in done.columns if name.startswith(("train_", "test_"))]
    return bool(scores) and bool(done.select(*table.factors, *scores).is_unique().all())


def _decide_status(test: EffectTest, interval: Interval, seeds_reach: bool) -> VerdictStatus:
    """Supported if the whole interval lies inside the claimed range, contradicted if outside, otherwise undecided.

    Without spread over the seeds there is no test, with two exceptions: equal values support a claim of no change, and
    if the seeds do affect other scores, the effect is at a bound that no seed changes.
    """
    (low, high), equal = test.claimed_range, interval.p is None
    if interval.low is None or interval.high is None:
        return VerdictStatus.UNDECIDED
    if equal and test.direction is not Direction.UNCHANGED and not seeds_reach:
        return VerdictStatus.UNDECIDED
    if low < interval.low and interval.high < high:
        return VerdictStatus.SUPPORTED
    return VerdictStatus.CONTRADICTED if interval.high < low or high < interval.low else VerdictStatus.UNDECIDED


def _describe_verdict(test: EffectTest, status: VerdictStatus, interval: Interval, where: str) -> str:
    """A sentence with the effect, the number of seeds, and what is missing for a decision."""
    title, half, seeds = _capitalise_first(test.outcomes[0].title), interval.half_width, f"over {interval.n} seeds"
    shown = _format_value(test, interval.estimate, half)
    if interval.low is None or interval.high is None:
        return (
            f"{title} {_describe_difference(test, shown, where)} in the only complete seed. An interval needs at least "
            "3 seeds."
        )
    if interval.p is None:
        why = ", so it cannot be tested. Check that the trial uses its seed"
        found = (
            f"{title} {_describe_difference(test, shown, where)} in each of {interval.n} seeds, with identical values"
        )
        return f"{found}{why if status is VerdictStatus.UNDECIDED else ''}.{_describe_claim(test)}"
    bounds = (
        f"95 % t interval [{_format_digits(test, interval.low, half)}, {_format_digits(test, interval.high, half)}]"
    )
    found = f"{test.describe_effect(interval.estimate, shown)}{where}"
    if status is not VerdictStatus.UNDECIDED:
        return f"{title} {found}, {bounds} {seeds}.{_describe_claim(test)}"
    bound = _nearest_bound(test, interval.estimate)
    if bound == 0:
        found = f"shows no clear effect: {shown} {test.comparison}{where}"
    return f"{title} {found}, and the {bounds} {seeds} contains {_format_bound(test, bound)}.{_describe_claim(test)}"


def _describe_difference(test: EffectTest, shown: str, where: str) -> str:
    """The effect in words that do not name its direction."""
    what = f"is {shown}" if test.is_absolute else f"differs by {shown} {test.comparison}"
    return f"{what}{where}"


def _describe_claim(test: EffectTest) -> str:
    """The claimed range in words, if it is more than a direction."""
    low, high = test.claimed_range
    if 0 in (low, high):
        return ""
    ends = [_format_bound(test, end) for end in (low, high) if math.isfinite(end)]
    word = "between " if len(ends) == 2 else "less than " if math.isinf(low) else "more than "
    return f" Claimed: {word}{' and '.join(ends)}."


def _format_bound(test: EffectTest, bound: float) -> str:
    """A bound of the claimed range, with the unit of the effect."""
    return f"{100 * bound:.4g} {_value_unit(test)}" if test.outcomes[0].share and bound else f"{bound:.6g}"


def _format_value(test: EffectTest, value: float, half: float | None) -> str:
    """A number as text, with its unit."""
    return (
        f"{_format_digits(test, value, half)} {_value_unit(test)}"
        if test.outcomes[0].share
        else _format_digits(test, value, half)
    )


def _value_unit(test: EffectTest) -> str:
    """The unit of fractions of images: per cent, or percentage points for differences."""
    (what, *_) = test.outcomes
    alone = test.is_absolute and not isinstance(what.measure, Combination) and what.reference in (None, Reference.NONE)
    return "%" if alone else "points"


def _format_digits(test: EffectTest, value: float, half: float | None) -> str:
    scale = 100 if test.outcomes[0].share else 1
    return format_rounded(scale * value, None if half is None else scale * half)


def _capitalise_first(words: str) -> str:
    """The words with a capital first letter."""
    return words[:1].upper() + words[1:]


def format_p_value(p: float) -> str:
    """The text `p = 0.012` or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def judge_claims(study: Study, table: StudyTable) -> list[tuple[Claim, Verdict]]:
    """The verdict on each claim of the study, with p corrected by Holm's method over all claims.

    A claim is decided only if its 95 % interval lies inside or outside the claimed range and its corrected p is below
    0.05. If only the interval would decide, the claim is undecided, and its sentence says so.
    """
    return list(zip(study.claims, correct_verdicts([claim.test.test(table) for claim in study.claims]), strict=True))


def correct_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of one family with Holm-corrected p; those that are not significant any more become undecided."""
    family = []
    for verdict, p in zip(verdicts, holm_correction([verdict.p for verdict in verdicts]), strict=True):
        if p is not None and p >= ALPHA and verdict.status != VerdictStatus.UNDECIDED:
            why = f"After Holm's correction over {len(verdicts)} claims, {format_p_value(p)}: undecided."
            family.append(verdict._replace(status=VerdictStatus.UNDECIDED, p=p, sentence=f"{verdict.sentence} {why}"))
        else:
            family.append(verdict._replace(p=p))
    return family
