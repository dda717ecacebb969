"""Moments against closed forms and two-pass sums in extended precision, in any order of merging."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from equistudy.measuring.moments import (
    Moments,
    between_correlation,
    concordance_correlation,
    cosine_similarity,
    empty_moments,
    leave_one_out,
    merge_moments,
    normalised_error,
    paired_moments,
    pool_moments,
    single_pair_moments,
    total_correlation,
    within_correlation,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def merged(a: torch.Tensor, b: torch.Tensor, batch: int) -> Moments:
    """The samples in batches of a size, merged one after the other."""
    total = empty_moments()
    for left, right in zip(a.split(batch), b.split(batch), strict=True):
        total = merge_moments(total, pool_moments(single_pair_moments(left, right)))
    return total


def two_pass(a: torch.Tensor, b: torch.Tensor) -> float:
    x, y = (values.numpy().astype(np.longdouble) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


@pytest.mark.parametrize("c", [-1.0, 0.0, 1.0, 2.0])
def test_unrelated_rectified_features_have_a_cosine_but_no_correlation(c: float) -> None:
    a, b = (normal(200_000, seed=seed).add(c).relu() for seed in (1, 2))
    moments = paired_moments(a, b)
    mean, square = c * norm.cdf(c) + norm.pdf(c), (c * c + 1) * norm.cdf(c) + c * norm.pdf(c)
    assert cosine_similarity(moments).item() == pytest.approx(mean**2 / square, abs=0.002 if c == 2 else 0.003)
    assert abs(total_correlation(moments).item()) < 0.01
    if c == 0:
        assert cosine_similarity(moments).item() == pytest.approx(1 / np.pi, abs=0.003)


@pytest.mark.parametrize("s", [0.1, 0.3, 1.0, 3.0])
def test_noise_on_features_has_closed_forms(s: float) -> None:
    b = normal(200_000, seed=1)
    moments = paired_moments(b + s * normal(200_000, seed=2), b)
    assert total_correlation(moments).item() == pytest.approx(1 / np.sqrt(1 + s * s), abs=0.003)
    assert concordance_correlation(moments).item() == pytest.approx(2 / (2 + s * s), abs=0.003)
    assert normalised_error(moments).item() == pytest.approx(s * s, rel=0.01)


def test_correlation_is_blind_to_gain_and_offset_and_concordance_is_not() -> None:
    b = normal(200_000)
    gained, shrunk = paired_moments(2 * b + 3, b), paired_moments(0.1 * b, b)
    assert total_correlation(gained).item() == pytest.approx(1, abs=1e-12)
    assert concordance_correlation(gained).item() == pytest.approx(4 / 14, abs=0.003)
    assert concordance_correlation(shrunk).item() == pytest.approx(0.2 / 1.01, abs=1e-4)
    assert normalised_error(shrunk).item() == pytest.approx(0.81, abs=1e-4)


def test_constant_features_have_no_correlation() -> None:
    constant = paired_moments(torch.full((3, 100), 7.0), normal(3, 100).float())
    assert within_correlation(constant).isnan().all()
    assert total_correlation(constant).isnan().all()


def test_within_and_between_tell_equivariance_from_invariance() -> None:
    # 32 images, 4 channels, 10 x 10 positions; one side shares only the positions' pattern, the other only the means
    means, maps, (noise_a, noise_b) = (
        normal(32, 4, 1, seed=1),
        normal(32, 4, 100, seed=2),
        normal(2, 32, 4, 100, seed=3),
    )
    other_a, other_b = normal(2, 32, 4, 1, seed=4)
    invariant = pool_moments(paired_moments(means + 0.5 * noise_a, means + 0.5 * noise_b))
    equivariant = pool_moments(paired_moments(maps + other_a, maps + other_b))
    assert within_correlation(invariant).mean().item() == pytest.approx(0, abs=0.05)
    assert between_correlation(invariant).mean().item() > 0.99
    assert within_correlation(equivariant).mean().item() == pytest.approx(1, abs=1e-12)
    assert abs(between_correlation(equivariant).mean().item()) < 0.4
    for moments in (invariant, equivariant):
        assert 0.3 < total_correlation(moments).mean().item() < 0.9


@pytest.mark.parametrize("offset", [0.0, 10.0, 1e3, 1e5])
def test_merging_is_exact_in_any_batches_over_any_workers(offset: float) -> None:
    b = normal(9_000, seed=1) + offset
    a = 0.8 * (b - offset) + 0.6 * normal(9_000, seed=2) + offset
    expected = two_pass(a, b)
    for batch in (7, 64, 1000):
        assert total_correlation(merged(a, b, batch)).item() == pytest.approx(expected, abs=1e-12)
    for workers in (5, 13):
        parts = [merged(x, y, 64) for x, y in zip(a.chunk(workers), b.chunk(workers), strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = merge_moments(total, part)
        assert total_correlation(total).item() == pytest.approx(expected, abs=1e-12)
    assert total_correlation(paired_moments(a, b)).item() == pytest.approx(expected, abs=1e-12)
    squared = ((a - b).square().mean() / b.var(correction=0)).item()
    assert normalised_error(merged(a, b, 64)).item() == pytest.approx(squared, rel=1e-9)


def test_raw_sums_in_float32_leave_the_range_and_centred_blocks_do_not() -> None:
    b = (normal(200_000, seed=1) + 1e3).float()
    a = (0.8 * (b - 1e3) + 0.6 * normal(200_000, seed=2).float() + 1e3).float()
    n = len(a)
    streamed = [np.cumsum(x.numpy())[-1].astype(float) for x in (a, b, a * a, b * b, a * b)]
    sum_a, sum_b, sum_aa, sum_bb, sum_ab = streamed
    raw = (sum_ab - sum_a * sum_b / n) / np.sqrt(abs((sum_aa - sum_a**2 / n) * (sum_bb - sum_b**2 / n)))
    expected = two_pass(a, b)
    assert raw < -1
    assert total_correlation(pool_moments(paired_moments(a.view(-1, 500), b.view(-1, 500)))).item() == pytest.approx(
        expected, abs=1e-6
    )


def test_merging_blocks_is_pooling_them() -> None:
    a, b = normal(2, 9, 4, 50) + torch.arange(9.0)[:, None, None]
    blocks = paired_moments(a, b)
    total = empty_moments(4)
    for index in range(9):
        total = merge_moments(total, Moments(*(field[index] for field in blocks)))
    flat = paired_moments(a.transpose(0, 1).flatten(1), b.transpose(0, 1).flatten(1))
    for together, one_by_one in zip(pool_moments(blocks), total, strict=True):
        torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-12)
    for coefficient in (total_correlation, concordance_correlation, normalised_error, cosine_similarity):
        torch.testing.assert_close(coefficient(total), coefficient(flat), rtol=1e-12, atol=1e-12)
    split = total.within_ab + total.between_ab
    torch.testing.assert_close(split, flat.within_ab, rtol=1e-12, atol=1e-12)


def test_leaving_a_group_out_is_merging_the_others() -> None:
    groups = paired_moments(*(normal(2, 5, 3, 20) + torch.arange(5.0)[:, None, None]))
    total, without = leave_one_out(groups)
    torch.testing.assert_close(
        within_correlation(total), within_correlation(pool_moments(groups)), rtol=1e-12, atol=1e-12
    )
    for index in range(5):
        others = [other for other in range(5) if other != index]
        expected = pool_moments(Moments(*(field[others] for field in groups)))
        for field, reference in zip(without, expected, strict=True):
            torch.testing.assert_close(field[index], reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("distance", [1e2, 1e4])
def test_a_group_far_off_does_not_cost_the_others_digits(distance: float) -> None:
    a, b = normal(2, 32, 3, 20, seed=3) + normal(2, 32, 3, 1, seed=4)
    a[5] += distance
    b[5] -= distance
    groups = paired_moments(a, b)
    _, without = leave_one_out(groups)
    for index in (5, 6):
        others = [other for other in range(32) if other != index]
        expected = pool_moments(Moments(*(field[others] for field in groups)))
        for field, reference in zip(without, expected, strict=True):
            torch.testing.assert_close(field[index], reference, rtol=1e-8, atol=1e-12)
        for coefficient in (between_correlation, total_correlation, concordance_correlation, normalised_error):
            mine = coefficient(Moments(*(field[index] for field in without)))
            torch.testing.assert_close(mine, coefficient(expected), rtol=1e-8, atol=1e-12)
