"""Spreads: two standard deviations from one set of moments, however the images are split."""

import torch

from equistudy.groups.translation import Translation
from equistudy.measures.selectivity import NormalisedVariance
from equistudy.measuring.comparison import Comparison
from equistudy.measuring.geometry import Geometry, OutputLayout
from equistudy.measuring.spreads import ShardSpreads, compute_variation


def test_both_spreads_are_those_of_all_values_together() -> None:
    plan, _ = NormalisedVariance(Translation(max_pixels=1)).plan_stage("last", Geometry(OutputLayout.VECTOR, 5))
    assert plan is not None
    values = 1e4 + torch.randn(20, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = Comparison(plan, 4)
    for start, stop in ((0, 8), (8, 9), (9, 20)):
        shard = ShardSpreads(plan)
        for view in range(3):
            shard.take(view, values[start:stop, view])
        found.add(start, shard.finish())
    over_views, over_images = compute_variation(found.totals[0])
    torch.testing.assert_close(over_views, values.std(dim=1).mean(dim=0), rtol=1e-11, atol=0)
    torch.testing.assert_close(over_images, values.std(dim=0).mean(dim=0), rtol=1e-11, atol=0)


def test_one_image_has_no_floor() -> None:
    plan, _ = NormalisedVariance(Translation(max_pixels=1)).plan_stage("last", Geometry(OutputLayout.VECTOR, 5))
    assert plan is not None
    shard = ShardSpreads(plan)
    for view in range(3):
        shard.take(view, torch.full((1, 5), float(view)))
    matched, shuffled, unmoved = shard.finish()
    assert matched.mean_a.tolist() == [[[0.0] * 5, [1.0] * 5, [2.0] * 5]]
    assert matched.mean_b.unique().tolist() == [1.0]
    assert shuffled is None
    assert unmoved is None
