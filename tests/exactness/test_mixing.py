"""Rules for weights that tell positions or group elements apart. Every audit also compares them with numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.audit import audit
from equistudy.exactness.findings import Cause
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.networks.equivariant.convolution import ConvolutionWindow, LiftingConvolution, RegularConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm
from equistudy.networks.equivariant.pooling import CosetPool
from tests.exactness.small_networks import Calls, pooled, stacked

Layer = nn.Module | Callable[[Tensor], Tensor]
P4 = CyclicGroup(4)


class Shifted(nn.Module):
    """Adds numbers of its own for every position, or for every channel."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.zeros(shape))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.numbers


class Attention(nn.Module):
    """One head over positions; `bias` adds numbers of its own for every pair of positions."""

    def __init__(self, tokens: int, bias: bool) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)
        self.bias = nn.Parameter(torch.zeros(tokens, tokens)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = self.project(features.flatten(2).mT).chunk(3, dim=-1)
        scores = query @ key.mT / 8
        scores = scores if self.bias is None else scores + self.bias
        return (scores.softmax(dim=-1) @ value).mT.unflatten(2, features.shape[2:])


class Folded(nn.Module):
    """A layer of tokens (B 4, 9, 8), which are the pixels at one place of their 2 x 2 patches, of 6 x 6 pixels."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        rows = features.reshape(-1, 2, 3, 2).transpose(1, 2)
        tokens = rows.reshape(-1, 8, 9, 4).transpose(1, 3).reshape(-1, 9, 8)
        tokens = tokens + self.layers(tokens)
        patches = tokens.view(-1, 4, 9, 8).transpose(1, 3).reshape(-1, 3, 2, 2)
        return patches.transpose(1, 2).reshape(-1, 8, 6, 6)


def attention(tokens: Tensor) -> Tensor:
    """Every token sees all of its sequence."""
    return F.scaled_dot_product_attention(*[tokens] * 3)


def head(*layers: Layer) -> nn.Module:
    """A convolution and these layers, without pooling."""
    return stacked(nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(), *layers)


@pytest.mark.parametrize(
    ("network", "cause", "name"),
    [
        (head(nn.Flatten(), nn.Linear(8 * 36, 5)), Cause.HEAD, "3"),
        (pooled(Shifted(1, 8, 6, 6)), Cause.POSITION, "1.numbers"),
        (
            pooled(Calls(lambda x, add: add(x.flatten(2).mT).mT.unflatten(2, (6, 6)), Shifted(36, 8))),
            Cause.POSITION,
            "",
        ),
        (pooled(Attention(36, bias=True)), Cause.POSITION, "1.bias"),
        (
            pooled(Calls(lambda x, mix: mix(x.flatten(2)).unflatten(2, (6, 6)), nn.Linear(36, 36))),
            Cause.MIXED,
            "1.layers.0",
        ),
        (pooled(Folded(Shifted(9, 8))), Cause.POSITION, "1.layers.0.numbers"),
        (pooled(Folded(Calls(lambda x, mix: mix(x.mT).mT, nn.Linear(9, 9)))), Cause.MIXED, "1.layers.0.layers.0"),
        (pooled(nn.PixelUnshuffle(2), nn.Conv2d(32, 8, 3, padding=1)), Cause.PHASES, "2"),
        (pooled(nn.PixelShuffle(2), nn.Conv2d(2, 8, 3, padding=1)), Cause.PHASES, "1"),
        (pooled(nn.Unfold(3, padding=1), nn.Conv1d(72, 8, 1), nn.Unflatten(2, (6, 6))), Cause.PHASES, "2"),
        (pooled(nn.LayerNorm([8, 6, 6])), Cause.NORM, "1"),
    ],
)
def test_what_tells_positions_apart_is_found(network: nn.Module, cause: Cause, name: str) -> None:
    network.eval()(torch.zeros(1, 3, 6, 6))
    found = audit(network, 6)
    assert [layer.cause for layer in found.layers] == [cause]
    assert found.preserved_elements == ("identity",)
    assert name in found.layers[0].name
    assert (found.residue, found.nearest) == (None, (None, None))


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(8),
        nn.GroupNorm(2, 8),
        nn.InstanceNorm2d(8, affine=True),
        nn.LocalResponseNorm(3),
        nn.PReLU(8),
        nn.LayerNorm([8, 6, 6], elementwise_affine=False),
        Shifted(8, 1, 1),
        Attention(36, bias=False),
        Calls(lambda x, norm: norm(x.movedim(1, -1)).movedim(-1, 1), nn.LayerNorm(8)),
        Calls(lambda x, gate: x * gate(x.mean((2, 3), keepdim=True)).sigmoid(), nn.Conv2d(8, 8, 1)),
        lambda x: torch.einsum("bchw,bcij->bhw", x, x).unsqueeze(1).expand(-1, 8, -1, -1),
        lambda x: torch.cat([x, x.relu()], dim=1)[:, :8],
        lambda x: torch.stack([x, x.relu()], dim=1).amax(dim=1),
        lambda x: sum(x.chunk(2, dim=1)).repeat(1, 2, 1, 1),
        lambda x: attention(x.flatten(2).mT).mT.unflatten(2, (6, 6)),
        Folded(nn.LayerNorm(8), nn.Linear(8, 8), Calls(attention)),
    ],
)
def test_what_treats_all_positions_alike_is_left_alone(layer: Layer) -> None:
    network = pooled(layer)
    network.eval()(torch.zeros(1, 3, 6, 6))
    assert audit(network, 6).is_exact


def lifted(*layers: nn.Module, end: nn.Module | None = None) -> nn.Module:
    """Two group convolutions with layers between, pooling over the group and over positions, a linear layer."""
    last = nn.Sequential(CosetPool(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)) if end is None else end
    same = ConvolutionWindow(3, padding=1)
    return nn.Sequential(
        LiftingConvolution(P4, 3, 6, same), *layers, RegularConvolution(P4, 6, 6, same), nn.ReLU(), last
    )


@pytest.mark.parametrize(
    "layer",
    [
        GroupBatchNorm(6, 4),
        nn.GroupNorm(2, 24, affine=False),
        nn.PReLU(),
        nn.MaxPool2d(3, 1, 1),
        Calls(
            lambda x, norm: norm(x.unflatten(1, (6, 4)).flatten(2, 3)).unflatten(2, (4, -1)).flatten(1, 2),
            nn.BatchNorm2d(6),
        ),
    ],
)
def test_what_treats_a_field_alike_is_exact(layer: nn.Module) -> None:
    found = audit(lifted(layer), 9)
    assert (found.group, found.is_exact) == (P4, True)


@pytest.mark.parametrize(
    ("layer", "cause"),
    [
        (nn.BatchNorm2d(24), Cause.NORM),
        (nn.GroupNorm(12, 24), Cause.NORM),
        (nn.LocalResponseNorm(3), Cause.NORM),
        (nn.PReLU(24), Cause.NORM),
        (Shifted(24, 1, 1), Cause.NORM),
        (nn.Conv2d(24, 24, 1), Cause.ORDINARY),
    ],
)
def test_what_tells_the_channels_of_a_field_apart_is_found(layer: nn.Module, cause: Cause) -> None:
    found = audit(lifted(layer), 9)
    assert [finding.cause for finding in found.layers] == [cause]
    assert found.preserved_elements == ("identity",)
    assert not found.features.exact


def test_a_head_over_the_group_spoils_logits_alone() -> None:
    found = audit(lifted(end=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5))), 9)
    assert not found.is_exact
    assert found.features.exact
    (finding,) = found.layers
    assert finding.reason == "flattened head: 24 inputs hold group elements, each with its own weight"
    assert finding.repair == "pooling over the group (coset pooling), then the linear layer"
    assert (found.residue, found.nearest) == (None, (None, None))
    assert str(found.features.residue) == "any size"


def test_a_network_of_a_smaller_group_keeps_that_group() -> None:
    found = audit(lifted(), 9, DihedralGroup(4))
    assert found.preserved_elements == ("identity", "90 deg", "180 deg", "270 deg")
    assert {finding.cause for finding in found.layers} == {Cause.GROUP}
    assert audit(lifted(), 9, CyclicGroup(2)).is_exact


def test_numbers_that_differ_between_columns_alone_leave_rows_alone() -> None:
    network = pooled(lambda x: x + torch.linspace(-1, 1, 6, dtype=x.dtype, device=x.device))
    network.eval()(torch.zeros(1, 3, 6, 6))
    found = audit(network, 6)
    assert [layer.cause for layer in found.layers] == [Cause.POSITION]
    assert found.preserved_elements == ("identity", "top-bottom")
