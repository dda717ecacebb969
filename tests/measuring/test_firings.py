"""Firings against numpy that ranks all images, on generated features; and how often their intervals hold the truth."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from equistudy.groups.translation import Translation
from equistudy.measures.selectivity import GoodfellowInvariance
from equistudy.measuring.engine import split_into_shards
from equistudy.measuring.families import Scale
from equistudy.measuring.firings import Firings
from equistudy.measuring.intervals import jackknife_interval
from equistudy.measuring.layout import Geometry, OutputLayout

GROUP = Translation(max_pixels=1)  # (0, 0), (1, 0), (0, 1)


def sum_shards(features: torch.Tensor, rate: float, shard_size: int = 32) -> Firings:
    plan, _ = GoodfellowInvariance(GROUP).plan_stage("last", Geometry(OutputLayout.VECTOR, features.shape[2]))
    assert plan is not None
    found = Firings(plan, len(features), rate)
    for images in split_into_shards(len(features), shard_size):
        found.add(images.start, features[images.start : images.stop])
    return found


def score_by_ranking(features: np.ndarray, rate: float, moved: np.ndarray) -> np.ndarray:
    """The scores (2, C) for both signs, from the features (N, V, C) of images and from what is moved, (N, V - 1, C)."""
    share = max(1, rate * len(features))
    lower, upper = (count_firings(features, moved, int(count)) for count in (np.floor(share), np.ceil(share)))
    firings = lower + (share - np.floor(share)) * (upper - lower)
    return firings / share / (share / len(features))


def count_firings(features: np.ndarray, moved: np.ndarray, count: int) -> np.ndarray:
    """How many of `count` images fire on, on average along their trajectories, for both signs and each unit."""
    firings = np.full((2, features.shape[2]), np.nan)
    for unit in range(features.shape[2]):
        for place, sign in enumerate((1, -1)):
            values = sign * features[:, 0, unit]
            descending = np.sort(values)[::-1]
            if descending[count - 1] > descending[count]:
                threshold = (float(descending[count - 1]) + float(descending[count])) / 2
                firings[place, unit] = (sign * moved[values > threshold][:, :, unit] > threshold).mean() * count
    return firings


def draw_features(images: int, kind: torch.dtype) -> torch.Tensor:
    """Units that differ in how much they vary along trajectories; one has ties, one fires for a single group."""
    rng = torch.Generator().manual_seed(images)
    own = torch.randn(images, 1, 6, generator=rng, dtype=kind)
    spread = torch.tensor([0, 0.01, 0.1, 0.3, 1, 3], dtype=kind)
    features = own + spread * torch.randn(images, 3, 6, generator=rng, dtype=kind)
    features[:, :, 1] = features[:, :, 1].relu() - 0.7 * features[:, :, 1].clamp(max=-1)
    features[:: min(32, images // 2), :, 5] += 10
    return features


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(("images", "rate"), [(40, 0.06), (97, 0.05), (200, 0.01), (200, 0.3), (64, 0.5)])
def test_scores_and_those_without_a_group_are_those_of_all_images_ranked(
    images: int, rate: float, kind: torch.dtype
) -> None:
    features = draw_features(images, kind)
    found, values, index = sum_shards(features, rate), features.numpy(), np.arange(images)
    shards = split_into_shards(images)
    following = np.concatenate([np.roll(values[shard.start : shard.stop], -1, axis=0) for shard in shards])[:, 1:]
    for half in (0, 1):
        mine = index % 2 == half
        np.testing.assert_allclose(
            found.compute_scores(half).numpy(), score_by_ranking(values[mine], rate, values[mine, 1:]), rtol=1e-12
        )
        np.testing.assert_allclose(
            found.compute_scores(half, shuffled=True).numpy(),
            score_by_ranking(values[mine], rate, following[mine]),
            rtol=1e-12,
        )
        for group in range(0, found.num_groups, 3):
            left = mine & (index % found.num_groups != group)
            np.testing.assert_allclose(
                found.compute_scores(half, without_group=group).numpy(),
                score_by_ranking(values[left], rate, values[left, 1:]),
                rtol=1e-12,
            )


@pytest.mark.parametrize("top", [0.01, 0.5, 0.6, 1.0])
def test_units_and_signs_of_one_half_are_chosen_by_the_other(top: float) -> None:
    features = draw_features(200, torch.float64)
    values = features.numpy()
    halves = [score_by_ranking(values[half::2], 0.1, values[half::2, 1:]) for half in (0, 1)]
    expected = []
    for known, scored in (halves, halves[::-1]):
        best = sorted(range(6), key=lambda unit: -np.nanmax(known[:, unit]))[: int(np.ceil(top * 6 - 1e-9))]
        expected.append(np.mean([scored[np.nanargmax(known[:, unit]), unit] for unit in best]))
    assert sum_shards(features, 0.1).compute_values(top)[0] == pytest.approx(np.mean(expected), rel=1e-12)


def test_units_with_equal_values_on_both_sides_have_no_threshold() -> None:
    features = torch.randn(100, 3, 3, generator=torch.Generator().manual_seed(0)).relu()
    features[3:, :, 1] = 0  # fires for three images, which is less than a tenth
    features[:, :, 2] = 1
    found = sum_shards(features, 0.1)
    for half in (0, 1):
        assert found.compute_scores(half).isnan().all(dim=0).tolist() == [False, True, True]
    assert found.compute_values(1)[0] == np.mean([found.compute_scores(half)[0, 0] for half in (0, 1)])
    assert np.isnan(sum_shards(features[:, :, 1:], 0.1).compute_values(0.2)[0])


def test_neither_shards_nor_a_restart_change_a_bit() -> None:
    features = torch.randn(131, 3, 5, generator=torch.Generator().manual_seed(1))
    whole = sum_shards(features, 0.1)
    first, second = Firings(whole.plan, 131, 0.1), Firings(whole.plan, 131, 0.1)
    first.add(0, features[:65])
    second.load(first.state())
    second.add(65, features[65:])
    for half in (0, 1):
        assert torch.equal(whole.compute_scores(half), second.compute_scores(half))
        assert torch.equal(whole.compute_scores(half, without_group=3), second.compute_scores(half, without_group=3))
    assert whole.compute_values(0.4) == second.compute_values(0.4)


@pytest.mark.slow
@pytest.mark.parametrize("top", [0.25, 1.0])
def test_intervals_hold_the_true_score_of_gaussian_units(top: float) -> None:
    # h(x) is normal, and h(g x) correlated with it by 0.8: P(h(g x) > t | h(x) > t) by integration
    rate, correlation, rng = 0.1, 0.8, torch.Generator().manual_seed(0)
    grid = np.linspace(threshold := norm.isf(rate), 12, 20_001)
    chance = norm.sf((threshold - correlation * grid) / np.sqrt(1 - correlation**2)) * norm.pdf(grid)
    truth = np.trapezoid(chance, grid) / rate**2
    hits = 0
    for _ in range(NUM_TRIALS):
        still = torch.randn(640, 1, 4, generator=rng)
        noise = torch.randn(640, 2, 4, generator=rng)
        found = sum_shards(torch.cat([still, correlation * still + (1 - correlation**2) ** 0.5 * noise], 1), rate, 640)
        value, without = found.compute_values(top)
        low, high = jackknife_interval(torch.tensor(value), torch.tensor(without), Scale.LOG)
        hits += bool(low <= truth <= high)
    assert 0.89 < hits / NUM_TRIALS < 0.995, hits


NUM_TRIALS = 100
