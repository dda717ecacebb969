"""Normalised variance: 0 for invariant features, 1 for unrelated views, and tmeasures' two standard deviations.

Goodfellow's invariance: 1 / rate for invariant features, near 1 for unrelated ones, and numpy's ranking of views.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import equistudy as eq
from equistudy.groups.translation import Border, Translation
from equistudy.measures.selectivity import GoodfellowInvariance, NormalisedVariance
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


SHIFTS = [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]


def draw_images(count: int, size: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def create_dense_network(features: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, features).double())


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_global_means_of_a_circular_network_reach_the_bound(rate: float, convolutions: Any, subject: Any) -> None:
    network = nn.Sequential(*convolutions((1, 1), "circular"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    measured = subject(network, draw_images(200, 12), map="3", pooled="5")
    rows = measure_all([GoodfellowInvariance(CIRCLE, rate)], measured).rows
    assert [row.stage for row in rows] == ["map", "pooled"]
    for row in rows:
        assert (row.value, row.low, row.high) == pytest.approx((1 / rate,) * 3)
        assert row.floor is not None
        assert row.floor < 0.5 / rate
        assert (row.element, row.magnitude, row.cells) == (None, None, None)


def score_units(still: np.ndarray, moved: np.ndarray, rate: float) -> np.ndarray:
    """Local over global firing rate for both signs, from (N, C) and (V, N, C)."""
    scores = np.zeros((2, still.shape[1]))
    for unit in range(still.shape[1]):
        for place, sign in enumerate((1, -1)):
            firing = np.argsort(-sign * still[:, unit])[: round(rate * len(still))]
            weakest = (sign * still[firing, unit]).min()
            scores[place, unit] = (sign * moved[:, firing, unit] >= weakest).mean() / (len(firing) / len(still))
    return scores


@pytest.mark.parametrize(("rate", "top", "seed"), [(0.1, 1.0, 0), (0.05, 0.2, 1), (0.3, 0.5, 2)])
def test_the_value_is_the_ratio_of_the_firing_rates(rate: float, top: float, seed: int, subject: Any) -> None:
    images, network = draw_images(120, seed=seed), create_dense_network(10)
    (row,) = measure_all([GoodfellowInvariance(CIRCLE, rate, top)], subject(network, images)).rows
    with torch.no_grad():
        still = network((images - 0.5) / 0.25).numpy()
        moved = np.stack([network((images.roll(s, (2, 3)) - 0.5) / 0.25).numpy() for s in SHIFTS])
    expected = 1.0
    halves = [score_units(still[half::2], moved[:, half::2], rate) for half in (0, 1)]
    for known, scored in (halves, halves[::-1]):
        best = np.argsort(-known.max(axis=0))[: round(top * 10)]
        expected += (scored[known.argmax(axis=0), np.arange(10)][best].mean() - 1) / 2
    # between the weakest firing image and the next one lies the threshold: few views fall there
    assert row.value == pytest.approx(expected, rel=0.15)
    assert row.low is not None
    assert row.high is not None
    assert 0 <= row.low < row.value < row.high <= 1 / rate
    assert (row.channels, row.dead_channels) == (10, 0)


def test_unrelated_views_are_at_1_without_a_choice_of_units(subject: Any) -> None:
    class Hash(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images.flatten(1) @ torch.linspace(1, 2e6, 64, dtype=torch.float64)[:, None]).sin().repeat(1, 3)

    (row,) = measure_all(
        [GoodfellowInvariance(CIRCLE, 0.5, 1.0)], subject(nn.Sequential(Hash()), draw_images(800))
    ).rows
    assert row.value == pytest.approx(1, abs=0.1)
    assert row.floor == pytest.approx(1, abs=0.1)


def test_what_cannot_be_measured_says_why(subject: Any) -> None:
    network, images = create_dense_network(4), draw_images(64)
    (few,) = measure_all([GoodfellowInvariance(CIRCLE)], subject(network, images)).skipped
    assert few.reason == "a firing rate of 0.01 needs at least 200 images, got 64"
    nn.init.zeros_(network[1].weight)
    (constant,) = measure_all([GoodfellowInvariance(CIRCLE, 0.1)], subject(network, images)).skipped
    assert constant.reason == "none of 4 features has a threshold that a fraction of 0.1 of the images exceeds"
    nn.init.constant_(network[1].bias, torch.nan)
    (missing,) = measure_all([GoodfellowInvariance(CIRCLE, 0.1)], subject(network, images)).skipped
    assert missing.reason == "its features are not finite"


def test_several_rates_share_a_pass_and_each_has_its_own_sums(subject: Any) -> None:
    measured = subject(create_dense_network(6), draw_images(200))
    measured = measured._replace(untrained=measured.network)
    both = [GoodfellowInvariance(CIRCLE, rate) for rate in (0.02, 0.2)]
    together, alone = measure_all(both, measured).rows, [measure_all([one], measured).rows[0] for one in both]
    assert together == alone
    assert together[0].value != together[1].value
    assert all(row.untrained == row.value for row in together)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"firing_rate": 0.0}, r"at most 1/2, got firing_rate=0.0"),
        ({"firing_rate": 0.6}, r"at most 1/2, got firing_rate=0.6"),
        ({"top": 0.0}, r"more than 0 and at most 1, got top=0.0"),
        ({"top": 1.5}, r"more than 0 and at most 1, got top=1.5"),
    ],
)
def test_shares_out_of_range_are_refused(choices: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        eq.GoodfellowInvariance(CIRCLE, **choices)
