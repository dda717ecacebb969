"""All claims of a study in one figure: each effect with its interval, beside what was claimed."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from equistudy.analysis.claims import EffectTest
from equistudy.analysis.correlations import RankCorrelation
from equistudy.study.study import Claim, Verdict

if TYPE_CHECKING:
    from altair import TopLevelMixin
else:
    TopLevelMixin = Any

__all__ = ["CAPTION", "effect_chart", "effect_frame"]

CAPTION = (
    "Each claim's effect with its 95 % interval; the tick is the end of what is claimed that lies nearest. Filled: "
    "supported. Cross: contradicted. Hollow: undecided."
)
SCHEMA = {"claim": pl.String, "unit": pl.String, "status": pl.String, "value": pl.Float64, "low": pl.Float64}
SCHEMA |= {"high": pl.Float64, "n": pl.Int64, "bound": pl.Float64}


def effect_frame(judged: Sequence[tuple[Claim, Verdict]]) -> pl.DataFrame:
    """A row for each claim that has an effect: claim, unit, status, value, low, high, n, bound; in the given order.

    `unit` names the axis: effects share one where they may be compared. Shares of images are in points there.
    """
    rows = []
    for claim, verdict in judged:
        if verdict.effect is None:
            continue
        test = claim.test
        scale = 100.0 if isinstance(test, EffectTest) and _share(test) else 1.0
        numbers = [None if x is None else scale * x for x in (verdict.effect, verdict.low, verdict.high)]
        bound = _bound(test, verdict.effect)
        rows.append(
            [
                claim.statement,
                _unit(test),
                str(verdict.status),
                *numbers,
                verdict.n,
                None if bound is None else scale * bound,
            ]
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def effect_chart(frame: pl.DataFrame) -> TopLevelMixin:
    """One row a claim; claims of unlike units under each other, each with an axis of its own."""
    import altair as alt

    from equistudy.report.charts import effects

    parts = frame.partition_by("unit", maintain_order=True)
    charts: list[Any] = [effects(part, str(part["unit"][0])) for part in parts]
    return alt.vconcat(*charts)


def _share(test: EffectTest) -> bool:
    return not isinstance(test, RankCorrelation) and test.outcomes[0].share


def _unit(test: Any) -> str:
    if not isinstance(test, EffectTest):
        return "effect"
    if isinstance(test, RankCorrelation):
        return "Spearman's rho"
    comparison = test.comparison.partition(" ")
    what = {"for": "difference", "itself": "value"}.get(comparison[0], f"slope {test.comparison}")
    return f"{what} (points)" if _share(test) else what


def _bound(test: Any, effect: float) -> float | None:
    """The finite end of what is claimed that lies nearest to the effect."""
    ends = [end for end in getattr(test, "claimed", ()) if math.isfinite(end)]
    return min(ends, key=lambda end: abs(end - effect), default=None)
