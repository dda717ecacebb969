"""Rows: dead channels are counted, too few images have no interval, notes say what a reader must know."""

from typing import Any

import pytest
import torch

from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.measuring.moments import paired_moments, pool_moments
from equistudy.measuring.rows import compute_layer_values, find_live_channels

CIRCLE = Border.CIRCULAR


def test_a_constant_channel_is_counted_and_left_out(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = convolutions((1,), "circular")
    torch.nn.init.zeros_(network[0].weight[:2])
    measured = subject(network, smooth_images[:4])
    group = Translation(max_pixels=1, border=CIRCLE)
    for row in measure_all([WithinCorrelation(group)], measured).rows:
        assert (row.channels, row.dead_channels, row.value) == (6, 2, pytest.approx(1))
        assert "2 of 6 channels are constant" in str(row.note)
    torch.nn.init.zeros_(network[0].weight)
    result = measure_all([WithinCorrelation(group)], measured)
    assert result.rows == []
    assert {str(skipped) for skipped in result.skipped} == {
        f"within_correlation of last at {shift}: all 6 channels are constant" for shift in ("dx=1", "dy=1")
    }


def test_features_that_are_not_finite_have_no_rows(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = convolutions((1,), "circular")
    torch.nn.init.constant_(network[0].bias, torch.inf)
    result = measure_all([WithinCorrelation(Translation(max_pixels=1))], subject(network, smooth_images[:4]))
    assert result.rows == []
    assert {skipped.reason for skipped in result.skipped} == {"its features are not finite"}


def test_few_images_have_no_interval(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measure = WithinCorrelation(Translation(max_pixels=1))
    few = measure_all([measure], subject(convolutions((1,), "zeros"), smooth_images[:31])).rows[0]
    assert (few.low, few.high) == (None, None)
    assert "no interval: 31 images" in str(few.note)
    enough = measure_all([measure], subject(convolutions((1,), "zeros"), smooth_images[:32])).rows[0]
    assert enough.low is not None


def test_images_that_share_a_layout_raise_the_floor(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    alike = smooth_images[:1] + 0.001 * smooth_images[:8]
    measure = WithinCorrelation(Translation(max_pixels=1))
    for row in measure_all([measure], subject(convolutions((1,), "zeros"), alike)).rows:
        assert row.floor is not None
        assert row.floor > 0.9
        assert f"unrelated images already reach {row.floor:.2f}" in str(row.note)
    for row in measure_all([measure], subject(convolutions((1,), "zeros"), smooth_images)).rows:
        assert row.floor == pytest.approx(0, abs=0.1)
        assert row.note is None


def test_a_channel_lives_by_what_the_measure_looks_at() -> None:
    rng = torch.Generator().manual_seed(0)
    still = torch.randn(20, 1, 1, generator=rng, dtype=torch.float64).expand(20, 1, 30)
    maps = torch.cat([still, torch.randn(20, 1, 30, generator=rng, dtype=torch.float64)], dim=1)
    moments = pool_moments(paired_moments(maps, maps))
    within, between = WithinCorrelation(Translation()), BetweenCorrelation(Translation())
    assert find_live_channels(within, moments).tolist() == [False, True]
    assert find_live_channels(between, moments).tolist() == [True, True]
    assert compute_layer_values(within, moments, find_live_channels(within, moments)).item() == pytest.approx(1)
    assert compute_layer_values(within, moments, torch.tensor([False, False])).isnan()
