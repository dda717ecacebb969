"""Verdicts: what the intervals say about the claims, in words, and corrected over the family."""

import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import polars as pl

from equistudy.analysis.contrasts import ALPHA, holm
from equistudy.analysis.effect_test import Direction, EffectTest
from equistudy.analysis.intervals import Interval, seeds_to_detect, t_interval
from equistudy.analysis.outcome import Combination, Reference
from equistudy.analysis.rounding import rounded
from equistudy.analysis.table import DONE, StudyTable, absence
from equistudy.study.study import Claim, Study, Verdict

__all__ = ["Status", "corrected", "judge", "p_text", "rank_verdict", "verdict_of"]


class Status(StrEnum):
    """What the data says about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


def verdict_of(test: EffectTest, table: StudyTable) -> Verdict:
    """Supported when the 95 % t interval over the seeds lies where the claim says, contradicted when it lies outside.

    Where the claim says is `test.claimed`. Trials that lack the outcome are named in the sentence. `p` is that of this
    test alone: of the t test against the nearest end of what is claimed.
    """
    values = test.effects(table)["value"].to_numpy()
    outcome = test.outcomes[0]
    lacking = test.compared(outcome.missing(table), table)
    absent = absence(lacking, table.factors, len(test.compared(table.design, table)))
    if len(values) == 0:
        sentence = f"No seed has all the trials that compare {outcome.title} {test.comparison}{test.place} yet."
        return Verdict(Status.UNDECIDED, f"{sentence} {absent}".strip())
    interval = t_interval(values)._replace(p=t_interval(values - _bound(test, float(values.mean()))).p)
    status = _status(test, interval, _seeds_reach(table))
    sentence = f"{_sentence(test, status, interval, values)} {absent}".strip()
    return Verdict(status, sentence, *interval[:3], p=interval.p, n=interval.n)


def rank_verdict(test: EffectTest, rho: Interval | None, over: str, table: StudyTable) -> Verdict:
    """Supported when the 95 % interval of rho lies where the claim says, contradicted when it lies outside.

    Trials that lack one of the two numbers are named in the sentence. `p` is that of rho = 0.
    """
    absent = _absent_of_both(test, table)
    first, second = test.outcomes
    if rho is None or rho.low is None or rho.high is None:
        found = 0 if rho is None else rho.n
        value = "no correlation" if rho is None else f"Spearman's rho {rho.estimate:.2f}, which has no interval"
        names = f"{_start(first.title)} and {second.title}"
        sentence = f"{names} can be compared at {found} levels of {over}{test.place}: {value}."
        return Verdict(Status.UNDECIDED, f"{sentence} {absent}".strip(), n=found)
    status, half = _status(test, rho, seeds_reach=False), rho.half_width
    bounds = f"95 % interval [{rounded(rho.low, half)}, {rounded(rho.high, half)}] over {rho.n} levels"
    how = "correlates" if status is not Status.UNDECIDED else "shows no clear correlation"
    sentence = (
        f"{_start(first.title)} {how} {test.comparison}{test.place}: Spearman's rho {rounded(rho.estimate, half)}, "
        f"{bounds}.{_claim(test)}"
    )
    return Verdict(status, f"{sentence} {absent}".strip(), *rho[:3], p=rho.p, n=rho.n)


def _absent_of_both(test: EffectTest, table: StudyTable) -> str:
    """The sentence that names trials without the first or the second number."""
    lacking = pl.concat([test.compared(outcome.missing(table), table) for outcome in test.outcomes[::-1]])
    lacking = lacking.unique([*table.factors, "seed"], maintain_order=True)
    return absence(lacking, table.factors, len(test.compared(table.design, table)))


def _bound(test: EffectTest, estimate: float) -> float:
    """The end of what is claimed that lies nearest to the estimate."""
    return min((end for end in test.claimed if math.isfinite(end)), key=lambda end: abs(end - estimate))


def _seeds_reach(table: StudyTable) -> bool:
    """Whether trials that differ in their seeds alone have different scores: the seeds reach them."""
    done = table.trials.filter(pl.col("status") == DONE)
    scores = [name for name in done.columns if name.startswith(("train_", "test_"))]
    return bool(scores) and bool(done.select(*table.factors, *scores).is_unique().all())


def _status(test: EffectTest, interval: Interval, seeds_reach: bool) -> Status:
    """The whole interval inside what is claimed, outside, or neither.

    Without spread over the seeds there is no test, unless no change is claimed: then equal values are what it says. Nor
    is one needed where trials differ in all else: then the effect is at a bound that no seed moves.
    """
    (low, high), equal = test.claimed, interval.p is None
    if interval.low is None or interval.high is None:
        return Status.UNDECIDED
    if equal and test.direction is not Direction.UNCHANGED and not seeds_reach:
        return Status.UNDECIDED
    if low < interval.low and interval.high < high:
        return Status.SUPPORTED
    return Status.CONTRADICTED if interval.high < low or high < interval.low else Status.UNDECIDED


def _sentence(test: EffectTest, status: Status, interval: Interval, values: np.ndarray) -> str:
    """What the effect is, over how many seeds, and what is lacking where it decides nothing."""
    title, half, seeds = _start(test.outcomes[0].title), interval.half_width, f"over {interval.n} seeds"
    shown = _shown(test, interval.estimate, half)
    if interval.low is None or interval.high is None:
        return (
            f"{title} {_differs(test, shown)} in one complete seed, which gives no interval. "
            "It takes at least 3 of them."
        )
    if interval.p is None:
        why = (
            ""
            if status is not Status.UNDECIDED
            else (": without spread over the seeds there is no test. Check that the seed reaches the trial")
        )
        return f"{title} {_differs(test, shown)} in each of {interval.n} seeds, to the last digit{why}.{_claim(test)}"
    bounds = f"95 % t interval [{_digits(test, interval.low, half)}, {_digits(test, interval.high, half)}]"
    found = f"{test.finding(interval.estimate, shown)}{test.place}"
    if status is not Status.UNDECIDED:
        return f"{title} {found}, {bounds} {seeds}.{_claim(test)}"
    bound = _bound(test, interval.estimate)
    needed = seeds_to_detect((interval.estimate - bound) / float(values.std(ddof=1)))
    more = "" if needed is None else f" An effect of this size takes about {max(needed, interval.n + 1)} seeds to show."
    if bound == 0:
        found = f"shows no clear effect: {shown} {test.comparison}{test.place}"
    return f"{title} {found}, and the {bounds} {seeds} contains {_bound_text(test, bound)}.{more}{_claim(test)}"


def _differs(test: EffectTest, shown: str) -> str:
    """The effect without a word about its direction."""
    what = f"is {shown}" if test.is_level else f"differs by {shown} {test.comparison}"
    return f"{what}{test.place}"


def _claim(test: EffectTest) -> str:
    """What is claimed, where it is more than a direction."""
    low, high = test.claimed
    if 0 in (low, high):
        return ""
    ends = [_bound_text(test, end) for end in (low, high) if math.isfinite(end)]
    word = "between " if len(ends) == 2 else "less than " if math.isinf(low) else "more than "
    return f" Claimed: {word}{' and '.join(ends)}."


def _bound_text(test: EffectTest, bound: float) -> str:
    """An end of what is claimed, in the unit of the effect."""
    return f"{100 * bound:.4g} {_unit(test)}" if test.outcomes[0].share and bound else f"{bound:.6g}"


def _shown(test: EffectTest, value: float, half: float | None) -> str:
    """A number as sentences tell it."""
    return f"{_digits(test, value, half)} {_unit(test)}" if test.outcomes[0].share else _digits(test, value, half)


def _unit(test: EffectTest) -> str:
    """Of shares of images: per cent, and percentage points between two of them."""
    (what, *_) = test.outcomes
    alone = test.is_level and not isinstance(what.measure, Combination) and what.reference is Reference.NONE
    return "%" if alone else "points"


def _digits(test: EffectTest, value: float, half: float | None) -> str:
    scale = 100 if test.outcomes[0].share else 1
    return rounded(scale * value, None if half is None else scale * half)


def _start(words: str) -> str:
    """The words at the start of a sentence."""
    return words[:1].upper() + words[1:]


def p_text(p: float) -> str:
    """`p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def judge(study: Study, table: StudyTable) -> list[tuple[Claim, Verdict]]:
    """The verdict on each claim of the study, with p corrected by Holm over all of them.

    A claim is decided when both agree: its 95 % interval excludes 0, and its corrected p is below 0.05. A claim that
    the interval alone would decide is undecided, and its sentence says so.
    """
    return list(zip(study.claims, corrected([claim.test.test(table) for claim in study.claims]), strict=True))


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of one family with Holm's p; those that do not survive it become undecided, and say so."""
    family = []
    for verdict, p in zip(verdicts, holm([verdict.p for verdict in verdicts]), strict=True):
        if p is not None and p >= ALPHA and verdict.status != Status.UNDECIDED:
            why = f"Over {len(verdicts)} claims Holm's correction gives {p_text(p)}: undecided."
            family.append(verdict._replace(status=Status.UNDECIDED, p=p, sentence=f"{verdict.sentence} {why}"))
        else:
            family.append(verdict._replace(p=p))
    return family
