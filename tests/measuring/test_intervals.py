"""Intervals: their coverage by simulation, and Wilson's against scipy."""

import math

import pytest
import torch
from scipy.stats import binomtest

from equistudy.measuring.families import Scale
from equistudy.measuring.intervals import count_jackknife_groups, jackknife_interval, wilson_interval
from equistudy.measuring.moments import Moments, leave_one_out, paired_moments, pool_moments, within_correlation

IMAGES, REPEATS, SIDE = 64, 400, 8


def simulated(images: int, repeats: int, seed: int) -> Moments:
    """Maps of 64 correlated positions whose noise and scale vary from image to image."""
    rng = torch.Generator().manual_seed(seed)
    fields = torch.randn(2, images * repeats, 1, SIDE + 2, SIDE + 2, dtype=torch.float64, generator=rng)
    smooth = [torch.nn.functional.avg_pool2d(field, 3, 1).flatten() for field in fields]
    signal, noise = (field.view(images, repeats, SIDE * SIDE) for field in smooth)
    share, scale = torch.rand(2, images, repeats, 1, dtype=torch.float64, generator=rng)
    scale = (2 * scale - 1).exp()
    return paired_moments(scale * (signal + 2 * share * noise), scale * signal)


def test_the_grouped_jackknife_covers_and_an_interval_over_pixels_does_not() -> None:
    truth = within_correlation(pool_moments(pool_moments(simulated(1000, 30, seed=1)), dim=0)).item()
    each = simulated(IMAGES, REPEATS, seed=0)
    total, without = leave_one_out(_grouped(each, count_jackknife_groups(IMAGES)))
    low, high = jackknife_interval(within_correlation(total), within_correlation(without))
    covered = ((low <= truth) & (truth <= high)).double().mean().item()
    assert 0.90 <= covered <= 0.98
    half = 1.96 / math.sqrt(IMAGES * SIDE * SIDE - 3)
    by_pixels = ((within_correlation(total).atanh() - math.atanh(truth)).abs() <= half).double().mean().item()
    assert by_pixels < 0.5


def _grouped(images: Moments, groups: int) -> Moments:
    return pool_moments(Moments(*(field.unflatten(0, (-1, groups)) for field in images)))


def test_groups_have_at_least_two_images() -> None:
    assert [count_jackknife_groups(images) for images in (2, 3, 32, 50, 64, 65, 1000)] == [1, 1, 16, 25, 32, 32, 32]


def test_a_perfect_value_has_a_perfect_interval() -> None:
    ones = torch.ones(1, dtype=torch.float64)
    low, high = jackknife_interval(ones, ones.expand(32, 1))
    assert low.item() == pytest.approx(1, abs=1.1e-6)
    assert high.item() == 1


def test_an_undefined_value_has_an_undefined_interval() -> None:
    value, without = torch.tensor([0.5, math.nan]), torch.full((8, 2), 0.5)
    low, _ = jackknife_interval(value, without)
    assert low.isnan().tolist() == [False, True]


def test_one_group_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 groups"):
        jackknife_interval(torch.ones(1), torch.ones(1, 1))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (570, 597)])
def test_wilson_agrees_with_scipy(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_impossible_proportions_are_refused() -> None:
    for successes, trials in ((3, 2), (0, 0)):
        with pytest.raises(ValueError, match="successes <= trials"):
            wilson_interval(successes, trials)


@pytest.mark.parametrize(("scale", "shape"), [(Scale.FISHER, 1.0), (Scale.LOG, 2.0), (Scale.LOG, 0.7)])
def test_coverage_is_95_percent_away_from_the_bounds(scale: Scale, shape: float) -> None:
    """A correlation over images, and a mean of skewed errors, each simulated 4,000 times with 96 images."""
    rng = torch.Generator().manual_seed(0)
    images, repeats, groups = 96, 4000, count_jackknife_groups(96)
    if scale is Scale.FISHER:
        a, noise = torch.randn(2, images, repeats, dtype=torch.float64, generator=rng)
        b, truth = 0.7 * a + math.sqrt(1 - 0.49) * noise, 0.7
    else:
        a = torch._standard_gamma(torch.full((images, repeats), shape, dtype=torch.float64), generator=rng)
        b, truth = a, shape

    def compute(kept: torch.Tensor) -> torch.Tensor:
        if scale is Scale.LOG:
            return a[kept].mean(dim=0)
        x, y = a[kept] - a[kept].mean(dim=0), b[kept] - b[kept].mean(dim=0)
        return (x * y).sum(dim=0) / ((x * x).sum(dim=0) * (y * y).sum(dim=0)).sqrt()

    numbers = torch.arange(images)
    without = torch.stack([compute(numbers % groups != group) for group in range(groups)])
    low, high = jackknife_interval(compute(numbers >= 0), without, scale)
    assert 0.93 <= ((low <= truth) & (truth <= high)).double().mean().item() <= 0.97


def test_one_group_with_all_of_an_error_keeps_the_interval_finite() -> None:
    """The delta method says v exp(+-t): without the cut, log 0 would make it reach from 0 to infinity."""
    errors = torch.zeros(32, 1, dtype=torch.float64)
    errors[3] = 1.0
    without = (errors.sum(dim=0) - errors) / 31
    low, high = jackknife_interval(errors.mean(dim=0), without, Scale.LOG)
    assert (low.item() * 32, high.item() * 32) == pytest.approx((math.exp(-2.04), math.exp(2.04)), rel=0.1)
