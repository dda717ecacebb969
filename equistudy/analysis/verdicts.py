"""Verdicts: what the intervals say about the claims, in words, and corrected over the family."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from equistudy.analysis.claims import EffectTest
from equistudy.analysis.contrasts import ALPHA, holm
from equistudy.analysis.intervals import seeds_to_detect, t_interval
from equistudy.analysis.rounding import rounded
from equistudy.analysis.table import StudyTable, absence
from equistudy.study.study import Claim, Study, Verdict

__all__ = ["Status", "corrected", "judge", "p_text", "verdict_of"]


class Status(StrEnum):
    """What the data says about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


def verdict_of(test: EffectTest, table: StudyTable) -> Verdict:
    """Supported when the 95 % t interval over the seeds excludes 0 on the expected side, contradicted on the other.

    Trials that lack the outcome are named in the sentence. `p` is that of this test alone.
    """
    values = test.effects(table)["value"].to_numpy()
    outcome = test.outcomes[0]
    lacking = test.compared(outcome.missing(table), table)
    absent = absence(lacking, table.factors, len(test.compared(table.design, table)))
    if len(values) == 0:
        sentence = f"No seed has all the trials that compare {outcome.title} {test.comparison} yet."
        return Verdict(Status.UNDECIDED, f"{sentence} {absent}".strip())
    interval = t_interval(values)
    status = Status.UNDECIDED
    if interval.excludes_zero and interval.p is not None:
        agrees = interval.estimate * test.direction.sign > 0
        status = Status.SUPPORTED if agrees else Status.CONTRADICTED
    sentence = f"{_sentence(test, status, values)} {absent}".strip()
    return Verdict(status, sentence, *interval[:3], p=interval.p, n=interval.n)


def _sentence(test: EffectTest, status: Status, values: np.ndarray) -> str:
    """What the effect is, over how many seeds, and what is lacking where it decides nothing."""
    interval, title = t_interval(values), _start(test.outcomes[0].title)
    half = interval.half_width
    shown = rounded(interval.estimate, half)
    if interval.low is None or interval.high is None:
        return (
            f"{title} differs by {shown} {test.comparison} in one complete seed, which gives no interval. "
            "It takes at least 3 of them."
        )
    if interval.p is None:
        return (
            f"{title} differs by {shown} {test.comparison} in each of {interval.n} seeds, to the last digit: without "
            "spread over the seeds there is no test. Check that the seed reaches the trial."
        )
    bounds = f"95 % t interval [{rounded(interval.low, half)}, {rounded(interval.high, half)}]"
    if status is not Status.UNDECIDED:
        return f"{title} {test.finding(interval.estimate, shown)}, {bounds} over {interval.n} seeds."
    needed = seeds_to_detect(interval.estimate / float(values.std(ddof=1)))
    seeds = (
        "" if needed is None else f" An effect of this size takes about {max(needed, interval.n + 1)} seeds to show."
    )
    return (
        f"{title} shows no clear effect: {shown} {test.comparison}, and the {bounds} over {interval.n} seeds "
        f"contains 0.{seeds}"
    )


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
