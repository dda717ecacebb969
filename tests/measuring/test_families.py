"""Scales: there and back, and finite where the best value lies at their end.

What measures ask a pass for: which cells are compared, by erosion, and which elements leave too few.
"""

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measuring.comparison import MIN_CELLS
from equistudy.measuring.families import Scale
from equistudy.measuring.geometry import Geometry, OutputLayout


@pytest.mark.parametrize("scale", Scale)
def test_there_and_back(scale: Scale) -> None:
    values = torch.tensor([0.01, 0.4, 0.95], dtype=torch.float64)
    torch.testing.assert_close(scale.invert(scale.transform(values)), values, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("scale", "perfect"), [(Scale.FISHER, 1.0), (Scale.FISHER, -1.0), (Scale.LOG, 0.0)])
def test_a_perfect_value_is_finite(scale: Scale, perfect: float) -> None:
    scaled = scale.transform(torch.tensor(perfect, dtype=torch.float64))
    assert scaled.isfinite()
    assert scale.invert(scaled).item() == pytest.approx(perfect, abs=1.1e-6)


MAP = Geometry(OutputLayout.NCHW, 3, Grid(8, 8, 4, 32, 32))


@pytest.mark.parametrize(("erosion", "kept"), [(0, ["dx=4", "dx=16"]), (1, ["dx=4"]), (2, []), (3, [])])
def test_elements_that_leave_too_few_cells_are_listed(erosion: int, kept: list[str]) -> None:
    measure = WithinCorrelation(Translation(max_pixels=16, pixels=(4, 16)), erosion)
    plan, skipped = measure.plan_stage("stage", MAP)
    labels = [] if plan is None else [element.label for element in plan.elements]
    assert [label for label in labels if label.startswith("dx")] == kept
    assert len(labels) + len(skipped) == 4
    assert all(f"fewer than {MIN_CELLS} x {MIN_CELLS}" in each.reason for each in skipped)
    if plan is not None and plan.regions is not None:
        assert plan.regions[0].shape == (8 - 2 * erosion, 7 - 2 * erosion)


def test_vectors_have_every_element_and_no_cells() -> None:
    plan, skipped = BetweenCorrelation(Translation(max_pixels=2)).plan_stage(
        "logits", Geometry(OutputLayout.VECTOR, 10)
    )
    assert plan is not None
    assert (len(plan.elements), plan.views, plan.regions, skipped) == (4, (1, 2, 3, 4), None, [])


def test_an_obstacle_is_the_reason_for_all_elements() -> None:
    grid = Geometry(OutputLayout.NCHW, 3, Grid(8, 8, 4, 33, 32))
    plan, (skipped,) = WithinCorrelation(Translation(border=Border.CIRCULAR)).plan_stage("stage", grid)
    assert plan is None
    assert skipped.element is None
    assert "do not tile" in skipped.reason
