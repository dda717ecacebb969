"""The figure of all claims of a study: each effect with its interval and the bound of its claimed range."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from equistudy.analysis.findings import ClaimFinding

if TYPE_CHECKING:
    from altair import TopLevelMixin
else:
    TopLevelMixin = Any

__all__ = ["CAPTION", "build_effect_frame", "draw_effect_chart"]

CAPTION = (
    "Each claim's effect with its 95 % interval; a tick shows the nearest bound of the claimed range. Filled: "
    "supported. Cross: contradicted. Hollow: undecided."
)
EFFECT_SCHEMA = {"claim": pl.String, "unit": pl.String, "status": pl.String, "value": pl.Float64, "low": pl.Float64}
EFFECT_SCHEMA |= {"high": pl.Float64, "n": pl.Int64, "bound": pl.Float64}


def build_effect_frame(claims: Sequence[ClaimFinding]) -> pl.DataFrame:
    """One row per claim that has an effect, in the given order: claim, unit, status, value, low, high, n, bound.

    `unit` is the title of the axis; effects of the same unit share one.
    """
    rows = [
        [claim.statement, claim.unit, claim.status, claim.effect, claim.low, claim.high, claim.n, _nearest_bound(claim)]
        for claim in claims
        if claim.effect is not None
    ]
    return pl.DataFrame(rows, schema=EFFECT_SCHEMA, orient="row")


def draw_effect_chart(frame: pl.DataFrame) -> TopLevelMixin:
    """One row per claim; claims of different units are stacked, each with its own axis."""
    import altair as alt

    from equistudy.report.charts import draw_effects

    charts: list[Any] = [
        draw_effects(part, str(part["unit"][0])) for part in frame.partition_by("unit", maintain_order=True)
    ]
    return alt.vconcat(*charts)


def _nearest_bound(claim: ClaimFinding) -> float | None:
    """The finite bound of the claimed range that is nearest to the effect."""
    ends = [end for end in (claim.low_claimed, claim.high_claimed) if end is not None]
    return min(ends, key=lambda end: abs(end - (claim.effect or 0.0)), default=None)
