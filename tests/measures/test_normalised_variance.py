"""Normalised variance: 0 for invariant features, 1 for unrelated views, and tmeasures' two standard deviations."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.translation import Border, Translation
from equistudy.measures.normalised_variance import NormalisedVariance
from equistudy.measuring.engine import measure_all

CIRCLE = Translation(max_pixels=3, border=Border.CIRCULAR)


def test_a_global_mean_of_a_circular_network_is_invariant(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(*convolutions((1, 1), "circular"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mixed = smooth_images[torch.randperm(64, generator=torch.Generator().manual_seed(0))]  # neighbours are alike
    measured = subject(network, mixed, map="3", pooled="5")
    rows = measure_all([NormalisedVariance(CIRCLE)], measured).rows
    assert [row.stage for row in rows] == ["map", "pooled"]
    for row in rows:
        assert 0 <= row.value < 1e-12
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
        assert row.floor is not None
        assert 0.7 < row.floor < 1.1
        assert (row.element, row.magnitude, row.cells, row.grid_aligned) == (None, None, None, None)
    assert rows[0].value == pytest.approx(rows[1].value, abs=1e-12)


def test_features_of_positions_are_not_invariant_and_the_value_is_the_ratio(subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 5).double())
    images = smooth_images[:, :, :12, :12] - smooth_images[:, :, :12, :12].mean((2, 3), True)
    (row,) = measure_all([NormalisedVariance(CIRCLE)], subject(network, images)).rows
    shifts = [(0, 0), (0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]
    with torch.no_grad():
        views = torch.stack([network((images.roll(shift, (2, 3)) - 0.5) / 0.25) for shift in shifts], dim=1)
    expected = (views.std(dim=1).mean(dim=0) / views.std(dim=0).mean(dim=0)).mean().item()
    assert row.value == pytest.approx(expected, rel=1e-12)
    assert row.value > 0.3
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.value < row.high


def test_a_feature_that_does_not_vary_is_counted_and_never_0(subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(nn.AvgPool2d(48), nn.Flatten(), nn.Linear(1, 4).double())
    nn.init.zeros_(network[2].weight[:1])
    (row,) = measure_all([NormalisedVariance(CIRCLE)], subject(network, smooth_images)).rows
    assert (row.channels, row.dead_channels) == (4, 1)
    assert row.value < 1e-9
    nn.init.zeros_(network[2].weight)
    result = measure_all([NormalisedVariance(CIRCLE)], subject(network, smooth_images))
    assert result.rows == []
    assert [str(skipped) for skipped in result.skipped] == [
        "normalised_variance_error of last: none of 4 features varies over the images"
    ]
    nn.init.constant_(network[2].bias, torch.nan)
    (skipped,) = measure_all([NormalisedVariance(CIRCLE)], subject(network, smooth_images)).skipped
    assert skipped.reason == "its features are not finite"


def test_few_images_have_no_interval(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((2,), "zeros"), smooth_images[:8])
    (row,) = measure_all([NormalisedVariance(CIRCLE)], measured._replace(untrained=measured.network)).rows
    assert (row.low, row.high, row.untrained) == (None, None, row.value)
    assert "no interval: 8 images" in str(row.note)


def test_images_that_are_alike_lower_the_floor(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    images = smooth_images[:, :, :12, :12] * torch.where(torch.arange(64) < 2, 1.0, 1e-3)[:, None, None, None]
    (row,) = measure_all([NormalisedVariance(CIRCLE)], subject(convolutions((1,), "circular"), images)).rows
    assert row.floor is not None
    assert row.floor < 0.5
    assert "unrelated images already come down to" in str(row.note)
