"""The Lie derivative: 0 for what is equivariant, more for what is not, and absent where it has no meaning."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup
from equistudy.groups.one_parameter import Rotation, Saturation
from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measures.lie_derivative import LieContribution, LieDerivative
from equistudy.measuring.engine import measure_all

CIRCLE = Translation(border=Border.CIRCULAR)


def convolution(**settings: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular", **settings).double()


@pytest.mark.parametrize("layer", [nn.Identity(), convolution()], ids=["identity", "convolution"])
def test_what_commutes_with_fourier_shifts_has_none(layer: nn.Module, subject: Any, smooth_images: Any) -> None:
    rows = measure_all([LieDerivative(CIRCLE)], subject(nn.Sequential(layer), smooth_images)).rows
    assert [row.element for row in rows] == ["d/dx", "d/dy"]
    for row in rows:
        assert row.raw is not None
        assert max(row.value, row.raw) < 1e-10
        assert row.no_motion == pytest.approx(1)
        assert (row.cells, row.magnitude, row.grid_aligned, row.floor) == (48 * 48, None, None, None)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU()])
def test_pointwise_nonlinearities_alias(activation: nn.Module, subject: Any) -> None:
    images = torch.randn(64, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(convolution(), activation)
    rows = measure_all([LieDerivative(CIRCLE)], subject(network, images)).rows
    for row in rows:
        assert 0.1 < row.value < 1
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.value < row.high


def test_bilinear_motion_of_a_convolution_is_exact_out_of_reach_of_the_border(subject: Any, smooth_images: Any) -> None:
    measured = subject(nn.Sequential(convolution()), smooth_images)
    near, far = (measure_all([LieDerivative(Translation(), erosion)], measured).rows[0] for erosion in (1, 2))
    assert far.value < 1e-12
    assert near.value > 0.1
    assert (near.cells, far.cells) == (46 * 46, 44 * 44)


def test_a_mirror_moves_the_wrong_way(subject: Any, smooth_images: Any) -> None:
    class Mirror(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flip(3)

    # along x its map moves against the image: L f is twice the map's own motion; along y it moves with it
    along_x, along_y = measure_all([LieDerivative(CIRCLE)], subject(nn.Sequential(Mirror()), smooth_images)).rows
    frequencies = 2 * torch.pi * torch.fft.fftfreq(48, dtype=torch.float64)
    frequencies[24] = 0  # the highest frequency of an even size has no direction
    motion = torch.fft.ifft(torch.fft.fft(smooth_images / 0.25, dim=3) * -1j * frequencies, dim=3).real
    assert along_x.value == pytest.approx(2)
    assert along_x.raw == pytest.approx(2 * motion.square().mean().sqrt().item())
    assert along_y.value < 1e-12


def test_vectors_are_compared_with_their_spread_over_images(subject: Any, smooth_images: Any) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48 * 48, 5).double())
    row, _ = measure_all([LieDerivative(CIRCLE)], subject(network, smooth_images)).rows
    with torch.no_grad():
        outputs = network((smooth_images - 0.5) / 0.25)
    spread = outputs.var(dim=0, correction=0).mean().sqrt().item()
    assert row.raw is not None
    assert row.value == pytest.approx(row.raw / spread)
    assert row.value > 0.01
    assert (row.cells, row.no_motion, row.stride) == (None, None, None)


def test_contributions_show_the_stage_that_breaks_equivariance(subject: Any) -> None:
    images = torch.randn(64, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layers = [convolution(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4).double()]
    measured = subject(nn.Sequential(*layers), images, conv="0", relu="1", pooled="3", logits="4")
    rows = measure_all([LieContribution(CIRCLE)], measured._replace(untrained=measured.network)).rows
    values = {row.stage: row.value for row in rows if row.element == "d/dx"}
    assert list(values) == ["conv", "relu", "pooled", "logits"]
    assert values["relu"] > 0.1
    assert max(values["conv"], values["pooled"], values["logits"]) < 1e-10
    assert all(row.untrained == row.value for row in rows)
    (total, _) = measure_all([LieDerivative(CIRCLE)], measured).rows[-2:]
    assert total.value == pytest.approx(values["relu"])


def test_attention_has_a_derivative(subject: Any, smooth_images: Any) -> None:
    class Attention(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = images.flatten(2).transpose(1, 2).unflatten(1, (12, 4)).mean(2, keepdim=False)
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens).flatten(1)

    network = nn.Sequential(
        nn.AvgPool2d(8), nn.Flatten(2), nn.Unflatten(2, (6, 6)), nn.ZeroPad2d((0, 2, 0, 0)), Attention()
    )
    rows = measure_all([LieDerivative(CIRCLE)], subject(network, smooth_images[:4])).rows
    assert all(row.value > 0 for row in rows)


@pytest.mark.parametrize("measure", [LieDerivative, LieContribution])
def test_finite_groups_have_none(measure: Any) -> None:
    with pytest.raises(TypeError, match=r"acts continuously, got CyclicGroup.*Use Translation, Rotation"):
        measure(CyclicGroup())
    assert len(measure(Rotation()).flows()) == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_saturation_is_the_derivative_of_gains(seed: int, subject: Any, smooth_images: Any) -> None:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 5, 3, padding=1), nn.GELU(), nn.GroupNorm(1, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(5, 3)).double()
    stages = {"conv": "0", "gelu": "1", "norm": "2", "logits": "5"}
    found = {
        row.stage: row
        for row in measure_all([LieDerivative(Saturation())], subject(network, smooth_images, **stages)).rows
    }
    inputs, step = (smooth_images - 0.5) / 0.25, 1e-4
    for stage, depth in (("conv", 1), ("gelu", 2), ("norm", 3), ("logits", 6)):
        up, down = math.exp(step), math.exp(-step)
        with torch.no_grad():
            ahead, still, behind = (network[:depth](factor * inputs) for factor in (up, 1, down))
        maps = still.ndim == 4
        derivative = (ahead / up - behind / down if maps else ahead - behind) / (2 * step)
        scale = still.square().mean() if maps else still.var(dim=0, correction=0).mean()
        assert found[stage].raw == pytest.approx(derivative.square().mean().sqrt().item(), rel=1e-6)
        assert found[stage].value == pytest.approx((derivative.square().mean() / scale).sqrt().item(), rel=1e-6)
        assert found[stage].cells == (48 * 48 if maps else None)


def test_homogeneous_layers_commute_with_gains_and_norms_ignore_them(subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(convolution(bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.InstanceNorm2d(6, eps=1e-12))
    measured = subject(network, smooth_images, relu="1", pool="2", norm="3")
    rows = {row.stage: row for row in measure_all([LieDerivative(Saturation())], measured).rows}
    assert max(rows["relu"].value, rows["pool"].value) < 1e-12
    assert rows["norm"].value == pytest.approx(1)
    assert rows["norm"].no_motion == pytest.approx(0, abs=1e-5)


def test_no_other_measure_takes_gains(subject: Any, smooth_images: Any) -> None:
    with pytest.raises(ValueError, match=r"moves content, got Saturation\(\). Use it in LieDerivative"):
        measure_all([WithinCorrelation(Saturation())], subject(nn.Sequential(convolution()), smooth_images))


def test_negative_erosion_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got erosion=-1"):
        LieDerivative(CIRCLE, erosion=-1)
