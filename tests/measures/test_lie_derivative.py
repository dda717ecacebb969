"""The Lie derivative: 0 for what is equivariant, more for what is not, and absent where it has no meaning."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup
from equistudy.groups.one_parameter import Rotation
from equistudy.groups.translation import Border, Translation
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
    with pytest.raises(TypeError, match=r"moves content continuously, got CyclicGroup.*Use Translation, Rotation"):
        measure(CyclicGroup())
    assert len(measure(Rotation()).flows()) == 1


def test_negative_erosion_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got erosion=-1"):
        LieDerivative(CIRCLE, erosion=-1)
