"""Differences: their moments against sums by hand, for maps and for vectors."""

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.groups.translation import Border, Translation
from equistudy.measures.agreement import AbsoluteError
from equistudy.measuring.differences import ShardDifferences
from equistudy.measuring.geometry import Geometry, OutputLayout

GROUP = Translation(max_pixels=2, pixels=(2,), border=Border.CIRCULAR)


@pytest.mark.parametrize("vectors", [True, False])
def test_moments_are_those_of_the_absolute_differences(vectors: bool) -> None:
    geometry = Geometry(OutputLayout.VECTOR, 3) if vectors else Geometry(OutputLayout.NCHW, 3, Grid(6, 6, 2, 12, 12))
    plan, _ = AbsoluteError(GROUP).plan_stage("stage", geometry)
    assert plan is not None
    shape = (4, 3) if vectors else (4, 3, 6, 6)
    outputs = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    shard = ShardDifferences(plan)
    for view, output in enumerate(outputs):
        shard.take(view, output)
    matched, shuffled, unmoved = shard.finish()
    x, moved = outputs[0].double(), outputs[1].double()
    b = x if vectors else x.roll(1, dims=3)
    assert shuffled is not None
    for moments, reference in ((matched, b), (shuffled, b.roll(-1, dims=0)), (unmoved, x)):
        if moments is None:
            assert vectors
            continue
        differences = (moved - reference).abs()
        means = differences if vectors else differences.mean(dim=(2, 3))
        found = moments.mean_a[..., 0, :]
        expected = means if found.ndim == 2 else means.mean(dim=0)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    if not vectors:
        spread = (b - b.mean((2, 3), True)).square().sum((2, 3))
        torch.testing.assert_close(matched.within_bb[:, 0], spread, rtol=1e-5, atol=1e-5)


def test_one_image_has_no_shuffled_pairs() -> None:
    plan, _ = AbsoluteError(GROUP).plan_stage("stage", Geometry(OutputLayout.VECTOR, 3))
    assert plan is not None
    shard = ShardDifferences(plan)
    for view in range(3):
        shard.take(view, torch.ones(1, 3))
    assert shard.finish().shuffled is None
