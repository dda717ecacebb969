"""Agreement: closed forms through the whole engine, on networks with known gain, offset and noise."""

from math import log10
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from equistudy.groups.finite import ChannelAction, CyclicGroup
from equistudy.groups.one_parameter import Rotation
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation
from equistudy.measures.agreement import (
    AbsoluteError,
    ConcordanceCorrelation,
    CosineSimilarity,
    NormalisedError,
    PeakSignalToNoise,
    RelativeError,
    SignalToNoise,
)
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measuring.engine import PairedPass, measure_all, plan_measures
from equistudy.measuring.measure import Measurement
from equistudy.models.group_cnn import GroupCNN
from equistudy.recipe import Precision

FAMILY = (ConcordanceCorrelation, CosineSimilarity, NormalisedError, SignalToNoise, AbsoluteError)
PERFECT = {ConcordanceCorrelation: 1, CosineSimilarity: 1, NormalisedError: 0, AbsoluteError: 0}
CIRCLE = Border.CIRCULAR


class Moody(nn.Module):
    """Gives the image as it is, but `gain` times it plus `offset` plus noise when it has been moved."""

    def __init__(self, still: torch.Tensor, gain: float, offset: float, noise: float) -> None:
        super().__init__()
        self.still, self.settings = still, (gain, offset, noise)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        gain, offset, noise = self.settings
        if any(torch.equal(images[0], still) for still in self.still):
            return images
        rng = torch.Generator().manual_seed(int(images.sum().item() * 1000) % 1_000_003)
        return gain * images + offset + noise * torch.randn(images.shape, dtype=torch.float64, generator=rng)


class Weighed(nn.Module):
    """Multiplies every cell by its own number near 1."""

    def __init__(self, size: int, spread: float, number: torch.dtype) -> None:
        super().__init__()
        noise = torch.randn(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.weights = nn.Parameter((1 + spread * noise).to(number))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * self.weights


def rows_with(gain: float, offset: float, noise: float, subject: Any) -> dict[str, Measurement]:
    images = torch.randn(64, 1, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    measured = subject(nn.Sequential(Moody(images, gain, offset, noise)), images)._replace(mean=(0.0,), std=(1.0,))
    group = Translation(max_pixels=1, border=CIRCLE)
    rows = measure_all([measure(group) for measure in FAMILY], measured).rows
    assert len(rows) == 2 * len(FAMILY)
    return {row.measure: row for row in rows if row.element == "dx=1"}


@pytest.mark.parametrize("s", [0.1, 0.3, 1.0, 3.0])
def test_noise_on_features_has_closed_forms(s: float, subject: Any) -> None:
    rows = rows_with(1, 0, s, subject)
    assert rows["concordance_correlation"].value == pytest.approx(2 / (2 + s * s), abs=0.003)
    assert rows["cosine_similarity"].value == pytest.approx(1 / np.sqrt(1 + s * s), abs=0.003)
    assert rows["normalised_error"].value == pytest.approx(s * s, rel=0.01)
    assert rows["signal_to_noise"].value == pytest.approx(-20 * log10(s), abs=0.05)
    assert rows["absolute_error"].value == pytest.approx(s * np.sqrt(2 / np.pi), rel=0.01)
    for row in rows.values():
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.value < row.high


@pytest.mark.parametrize(("error", "decibels"), [(1e-3, 36.02), (1e-2, 26.02), (1.0, 6.02)])
def test_the_peak_stands_over_the_mean_squared_error_of_an_image(error: float, decibels: float, subject: Any) -> None:
    images = torch.randn(64, 1, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    network = nn.Sequential(Moody(images, 1, 0, error**0.5))
    measured = subject(network, images)._replace(mean=(0.0,), std=(1.0,))
    group = Translation(max_pixels=1, border=CIRCLE)
    rows = measure_all([PeakSignalToNoise(group), PeakSignalToNoise(group, peak=20)], measured).rows
    assert [row.value for row in rows] == pytest.approx([decibels, decibels, decibels + 20, decibels + 20], abs=0.05)
    assert rows[0].floor == pytest.approx(10 * log10(4 / (2 + error)), abs=0.05)
    assert rows[0].no_motion == pytest.approx(10 * log10(4 / (2 + error)), abs=0.05)
    assert (rows[0].stage, rows[0].ceiling, rows[0].note) == ("last", None, None)
    assert rows[0].low is not None
    assert rows[0].low < rows[0].value


@pytest.mark.parametrize("kind", [SignalToNoise, PeakSignalToNoise])
@pytest.mark.parametrize(
    ("number", "precision", "limit"),
    [
        (torch.float64, Precision.FLOAT32, 313),
        (torch.float32, Precision.FLOAT32, 138),
        (torch.float32, Precision.BFLOAT16, 42),
    ],
)
def test_equality_up_to_rounding_says_in_which_precision(
    kind: Any, number: torch.dtype, precision: Precision, limit: int, subject: Any, smooth_images: Any
) -> None:
    network = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular").to(number)
    images = smooth_images.to(number)
    broken = nn.Sequential(network, Weighed(48, 10 ** (-(limit - 20) / 20), number))
    group = Translation(max_pixels=2, border=CIRCLE)
    for net, equal in ((nn.Sequential(network), True), (broken, False)):
        for row in measure_all([kind(group, precision=precision)], subject(net, images, map="")).rows:
            assert (row.value >= limit) == equal
            said = f"above {limit} dB, differences between" in str(row.note)
            assert said == equal, row.note


def test_outputs_that_are_no_images_have_no_peak(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(*convolutions((1,), "zeros"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    result = measure_all([PeakSignalToNoise(Translation(max_pixels=1))], subject(network, smooth_images[:4]))
    assert result.rows == []
    assert [str(skipped) for skipped in result.skipped] == [
        "peak_signal_to_noise of output: it is a vector of 6 numbers, not an image"
    ]
    with pytest.raises(ValueError, match="a positive number, got peak=0"):
        PeakSignalToNoise(Translation(), peak=0)


def test_fractions_of_a_pixel_and_turns_are_measured_of_images(subject: Any, smooth_images: Any) -> None:
    blur = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    nn.init.constant_(blur.weight, 1 / 9)
    measured = subject(nn.Sequential(blur), smooth_images[:8])
    groups = (SubpixelTranslation((0.5,), Border.WINDOW), SubpixelTranslation((0.5,)), Rotation((30.0,)))
    window, circle, turned = (
        measure_all([PeakSignalToNoise(group, erosion=2)], measured).rows[0].value for group in groups
    )
    assert window > 200  # the same six pixels on both sides
    assert 20 < turned < 60  # bilinear turns of blurred images and blurs of bilinear turns
    assert circle < 60  # zeros at the border do not move in a circle


def test_gain_and_offset_count(subject: Any) -> None:
    rows = rows_with(2, 3, 0, subject)
    assert rows["concordance_correlation"].value == pytest.approx(4 / 14, abs=0.003)
    assert rows["normalised_error"].value == pytest.approx(1 + 9, rel=0.01)


def test_unrelated_images_give_the_known_floors(subject: Any) -> None:
    rows = rows_with(1, 0, 0, subject)
    expected = {
        "concordance_correlation": 0,
        "cosine_similarity": 0,
        "normalised_error": 2,
        "signal_to_noise": -10 * log10(2),
        "absolute_error": 2 / np.sqrt(np.pi),
    }
    for name, floor in expected.items():
        assert rows[name].floor == pytest.approx(floor, abs=0.02)
        assert rows[name].no_motion == pytest.approx(floor, abs=0.02)
        assert "unrelated" not in str(rows[name].note)


@pytest.mark.parametrize("measure", FAMILY)
def test_a_circular_network_agrees_exactly(measure: Any, convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(*convolutions((1, 1), "circular"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    measured = subject(network, smooth_images, map="3", output="")
    rows = measure_all([measure(Translation(max_pixels=5, pixels=(5, 3), border=CIRCLE))], measured).rows
    assert {row.stage for row in rows} == {"map", "output"}
    for row in rows:
        if measure is SignalToNoise:
            assert 200 < row.value <= 313
        else:
            assert row.value == pytest.approx(PERFECT[measure], abs=1e-12)
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high


@pytest.mark.parametrize("measure", FAMILY)
def test_none_is_perfect_on_a_network_that_is_not_equivariant(
    measure: Any, convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    network = nn.Sequential(*convolutions((2, 2), "zeros"), nn.Flatten(), nn.LazyLinear(4).double())
    centred = smooth_images - smooth_images.mean((2, 3), True) + 0.5
    measured = subject(network, centred[:, :, :20, :20], map="3", output="5")
    network(centred[:2, :, :17, :17])
    rows = measure_all([measure(Translation(max_pixels=3, border=Border.WINDOW, pixels=(3,)), 0)], measured).rows
    assert {row.stage for row in rows} == {"map", "output"}
    for row in rows:
        if measure in (NormalisedError, AbsoluteError):
            assert row.value > (0.05 if measure is NormalisedError else 1e-3)
        else:
            assert row.value < (15 if measure is SignalToNoise else 0.98)


def test_absolute_differences_agree_with_a_naive_implementation(
    convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    network, shift = convolutions((1, 2), "zeros"), 4
    group = Translation(max_pixels=shift, pixels=(shift,))
    row, _ = measure_all([AbsoluteError(group, 2)], subject(network, smooth_images)).rows
    with torch.no_grad():
        x = (smooth_images - 0.5) / 0.25
        b, a = network(x[..., 4:, 4:]), network(x[..., 4:, :-4])
    a, b, unmoved = a[..., 2:-2, 4:-2], b[..., 2:-2, 2:-4], b[..., 2:-2, 4:-2]
    live = (b.std(dim=(0, 2, 3)) > 1e-9).nonzero().flatten()
    following = b.unflatten(0, (2, 32)).roll(-1, dims=1).flatten(0, 1)
    for value, reference in ((row.value, b), (row.floor, following), (row.no_motion, unmoved)):
        assert value == pytest.approx((a - reference)[:, live].abs().mean().item(), rel=1e-12)


def test_the_absolute_error_leaves_the_other_measures_alone(
    convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    group, measured = Translation(max_pixels=2), subject(convolutions((1,), "zeros"), smooth_images)
    alone = measure_all([WithinCorrelation(group)], measured).rows
    together = measure_all([AbsoluteError(group), WithinCorrelation(group)], measured).rows
    assert together[len(alone) :] == alone


def test_the_family_adds_no_sums_to_the_pass(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    group, measured = Translation(max_pixels=2), subject(convolutions((1,), "zeros"), smooth_images[:4])
    alone, _ = plan_measures([WithinCorrelation(group)], measured)
    family, _ = plan_measures([WithinCorrelation(group), *(measure(group) for measure in FAMILY[:4])], measured)
    assert family == alone
    assert list(PairedPass(measured.network, measured, family).sum_statistics()) == list(alone)


def test_floors_of_images_that_share_a_layout_are_named(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    alike = smooth_images[:1] + 0.001 * smooth_images
    group, measured = Translation(max_pixels=1), subject(convolutions((1,), "zeros"), alike)
    notes = {row.measure: str(row.note) for row in measure_all([kind(group) for kind in FAMILY], measured).rows}
    assert "unrelated images already reach 1.00" in notes["concordance_correlation"]
    assert "unrelated images already come down to 0.0" in notes["normalised_error"]
    assert "dB" in notes["signal_to_noise"]
    assert notes["absolute_error"] == "None"


def test_naming_agreement_needs_no_torch() -> None:
    assert NormalisedError(Translation()).id != SignalToNoise(Translation()).id


def test_the_relative_error_is_that_of_all_channels_together(
    convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    network = convolutions((1, 1), "zeros")
    measured = subject(network, smooth_images[:40])._replace(mean=(0.0,), std=(1.0,))
    group = Translation(max_pixels=3, pixels=(3,), border=CIRCLE)
    with torch.inference_mode():
        still, moved = network(smooth_images[:40]), network(smooth_images[:40].roll(3, dims=3))
    expected = still.roll(3, dims=3)
    row = next(row for row in measure_all([RelativeError(group)], measured).rows if row.element == "dx=3")
    assert row.value == pytest.approx(((moved - expected).square().sum() / expected.square().sum()).sqrt().item())
    assert row.low is not None
    assert row.high is not None
    assert 0 < row.low < row.value < row.high
    following = torch.cat([part.roll(-1, dims=0) for part in expected.split([32, 8])])
    floor = ((moved - following).square().sum() / following.square().sum()).sqrt().item()
    assert row.floor == pytest.approx(floor, rel=1e-6)


def test_a_group_network_is_exact_to_its_end_at_one_size_and_breaks_at_the_next(subject: Any) -> None:
    """Its 2 x 2 pool keeps quarter turns at even sizes; at odd ones every map behind it moves by half a cell."""
    torch.manual_seed(0)
    group = CyclicGroup(4, channel_action=ChannelAction.REGULAR)
    model, found = GroupCNN(width=4), {}
    for side in (28, 27):
        network = model.build((1, side, side), 10).eval()
        images = torch.rand(8, 1, side, side, generator=torch.Generator().manual_seed(1))
        measured = subject(network, images, **model.stages(network))
        rows = measure_all([RelativeError(group)], measured).rows
        found[side] = {row.stage: row.value for row in rows if row.element == "90 deg" and row.stride}
    assert max(found[28].values()) < 1e-5
    first, *_, last = found[27].values()
    assert first < 1e-5
    assert last > 0.05
