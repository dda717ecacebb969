"""Rows: dead channels are counted, too few images have no interval, notes say what a reader must know."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import nn

from equistudy.groups.translation import Border, Translation
from equistudy.measures.agreement import ConcordanceCorrelation, CosineSimilarity, NormalisedError, SignalToNoise
from equistudy.measures.correlation import BetweenCorrelation, TotalCorrelation, WithinCorrelation
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


@pytest.mark.slow
def test_few_images_have_no_interval(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measure = WithinCorrelation(Translation(max_pixels=1))
    few = measure_all([measure], subject(convolutions((1,), "zeros"), smooth_images[:31])).rows[0]
    assert (few.low, few.high) == (None, None)
    assert "no interval: 31 images" in str(few.note)
    enough = measure_all([measure], subject(convolutions((1,), "zeros"), smooth_images[:32])).rows[0]
    assert enough.low is not None


@pytest.mark.slow
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


class SparseFeatures(nn.Module):
    """A convolution with padding and a ReLU whose thresholds leave channel k to the 2^(k + 1) strongest images."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer = nn.Conv2d(1, 6, 3, padding=1).double()
        strongest = self.layer(images).detach().amax(dim=(2, 3)).sort(dim=0, descending=True).values
        among = torch.tensor([2 ** (channel + 1) for channel in range(6)])
        cut = (strongest[among - 1, torch.arange(6)] + strongest[among.clamp(max=63), torch.arange(6)]) / 2
        self.register_buffer("thresholds", cut[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (self.layer(images) - self.thresholds).relu()


def naive_coefficient(name: str, a: np.ndarray, b: np.ndarray) -> float:
    """One measure of one channel from the values (images, cells) of f(g x) and g f(x), by its definition."""
    if name == "within_correlation":
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    if name == "between_correlation":
        a, b = a.mean(axis=1), b.mean(axis=1)
    if name in ("within_correlation", "between_correlation", "total_correlation"):
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    if name == "concordance_correlation":
        product = 2 * ((a - a.mean()) * (b - b.mean())).mean()
        return float(product / (a.var() + b.var() + (a.mean() - b.mean()) ** 2))
    if name == "cosine_similarity":
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    error = float(((a - b) ** 2).mean() / b.var())
    return error if name == "normalised_error" else -10 * math.log10(max(error, 10**-31.3))


def naive_value(name: str, a: np.ndarray, b: np.ndarray) -> float:
    """The mean over the channels (images, channels, cells) that vary in these images."""
    live = [
        channel
        for channel in range(a.shape[1])
        if all(np.ptp(side[:, channel].mean(axis=1) if "between" in name else side[:, channel]) > 0 for side in (a, b))
    ]
    return float(np.mean([naive_coefficient(name, a[:, channel], b[:, channel]) for channel in live]))


def naive_interval(name: str, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The jackknife by brute force: everything again without each group of images."""
    scales: dict[str, tuple[Any, Any]] = {"normalised_error": (np.log, np.exp), "signal_to_noise": (float, float)}
    forward, back = scales.get(name, (np.arctanh, np.tanh))
    numbers = np.arange(len(a))
    z = np.array([forward(naive_value(name, a[numbers % 32 != g], b[numbers % 32 != g])) for g in range(32)])
    half = student.ppf(0.975, 31) * math.sqrt(31 / 32 * ((z - z.mean()) ** 2).sum())
    centre = forward(naive_value(name, a, b))
    return float(back(centre - half)), float(back(centre + half))


@pytest.mark.slow
def test_every_interval_is_the_jackknife_by_brute_force(subject: Any) -> None:
    rng = torch.Generator().manual_seed(2)
    images = torch.rand(64, 1, 14, 14, dtype=torch.float64, generator=rng)
    images *= torch.linspace(0.2, 1, 64, dtype=torch.float64)[torch.randperm(64, generator=rng)][:, None, None, None]
    network = nn.Sequential(SparseFeatures(images))
    group = Translation(max_pixels=1, border=CIRCLE)
    measures = [
        measure(group)
        for measure in (
            WithinCorrelation,
            BetweenCorrelation,
            TotalCorrelation,
            ConcordanceCorrelation,
            CosineSimilarity,
            NormalisedError,
            SignalToNoise,
        )
    ]
    rows = measure_all(measures, subject(network, images)._replace(mean=(0.0,), std=(1.0,))).rows
    still = network(images).detach()
    assert ((still > 0).any(dim=(2, 3)).sum(dim=0) == torch.tensor([2, 4, 8, 16, 32, 63])).all()
    for row in rows:
        shift, axis = 1, 3 if row.element == "dx=1" else 2
        moved = network(images.roll(shift, dims=axis)).detach()
        a, b = (side.flatten(2).numpy() for side in (moved, still.roll(shift, dims=axis)))
        assert row.value == pytest.approx(naive_value(row.measure, a, b), abs=1e-9), row.measure
        assert (row.low, row.high) == pytest.approx(naive_interval(row.measure, a, b), abs=1e-7), row.measure


@pytest.mark.slow
@pytest.mark.parametrize("images", [32, 64, 128])
def test_rounding_makes_no_width(images: int, subject: Any) -> None:
    """An exactly equivariant layer in float32: its interval reaches no further than rounding does."""
    for seed in range(4):
        rng = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(1, 6, 3))
        pictures = torch.rand(images, 1, 20, 20, generator=rng).round()
        group = Translation(max_pixels=2)
        for row in measure_all([WithinCorrelation(group), BetweenCorrelation(group)], subject(network, pictures)).rows:
            assert row.low is not None
            assert row.high is not None
            assert 0.99999 <= row.low <= row.value <= row.high <= 1
