"""Repairs are edits that make networks exact; what no edit mends is said."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy import repair
from equistudy.exactness.audit import audit
from equistudy.exactness.judging import judge_network
from equistudy.exactness.repairs import find_repair
from equistudy.groups.finite import CyclicGroup
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.models.resnet import ResNet
from equistudy.networks.choices import Head
from equistudy.networks.equivariant.convolution import ConvolutionWindow, LiftingConvolution, RegularConvolution
from tests.exactness.small_networks import Calls, stacked

P4 = CyclicGroup(4)


def padded(pads: tuple[int, ...], *layers: nn.Module) -> nn.Module:
    return stacked(lambda x: F.pad(x, pads), *layers)


def lifted(*layers: nn.Module) -> nn.Module:
    window = ConvolutionWindow(3, padding=1)
    return nn.Sequential(LiftingConvolution(P4, 3, 2, window), *layers, RegularConvolution(P4, 2, 2, window))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.embedding = nn.Conv2d(3, 4, 3, padding=1), nn.Parameter(torch.randn(4, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.embedding


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "an ordinary residual network": (lambda: ResNet(8, 2).build((3, 16, 16), 5), 16),
    "a residual network of group convolutions": (lambda: PreactivationResNet(8, 2, P4).build((3, 16, 16), 5), 16),
    "an oriented head": (lambda: PreactivationResNet(8, 2, P4, head=Head.ORIENTED).build((3, 17, 17), 5), 17),
    "a flattened head": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)), 8),
    "reflected padding": (lambda: nn.Conv2d(3, 4, 3, 2, 1, padding_mode="reflect"), 32),
    "circular padding": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, padding_mode="circular"), nn.ReLU()), 32),
    "padding of one side": (lambda: padded((0, 1, 0, 1), nn.Conv2d(3, 4, 3, 2)), 8),
    "symmetric padding": (lambda: padded((1, 1, 1, 1), nn.Conv2d(3, 4, 3, 2)), 8),
    "a crop": (lambda: stacked(lambda x: x[:, :, 1:-1, 1:-1], nn.Conv2d(3, 4, 3, 2)), 8),
    "output padding": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1)), 9),
    "nearest neighbours": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(size=9)), 8),
    "pooling": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(3)), 17),
    "an even kernel": (lambda: nn.Sequential(nn.Conv2d(3, 4, 4, padding="same"), nn.Conv2d(4, 4, 3)), 8),
    "a rectangular kernel": (lambda: nn.Conv2d(3, 4, (1, 3), padding=(0, 1)), 8),
    "a norm of single channels": (lambda: lifted(nn.BatchNorm2d(8)), 9),
    "slopes of single channels": (lambda: lifted(nn.PReLU(8)), 9),
    "an embedding": (Embedded, 8),
}


SLOW = ("a residual network of group convolutions", "an oriented head")


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NETWORKS])
def test_a_repaired_network_is_exact_and_gives_outputs_of_the_same_shape(name: str) -> None:
    build, size = NETWORKS[name]
    network = build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    repaired, found = repair(network, size)
    assert found.is_exact
    assert audit(repaired, size).is_exact
    images = torch.randn(1, 3, size, size)
    assert repaired.training
    repaired.eval(), network.eval()
    assert repaired(images).shape == network(images).shape
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(layer.repair for layer in audit(network, size).layers)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_resampled_filters_keep_their_sums(kernel: int) -> None:
    network = nn.Conv2d(3, 4, kernel, 2, kernel // 2)
    repaired, _ = repair(network, 8)
    images = torch.ones(1, 3, 8, 8)
    torch.testing.assert_close(repaired(images)[..., 2, 2], network(images)[..., 2, 2])


@pytest.mark.parametrize(
    ("network", "size", "way_out"),
    [
        (stacked(lambda x: x[:, :, ::2, ::2], nn.Conv2d(3, 4, 3)), 8, "Use another size, such as 7 or 9."),
        (stacked(nn.Conv2d(3, 4, 3), lambda x: x.cumsum(3)), 8, "Use another size, such as 3."),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.PixelShuffle(2)), 8, "Replace these layers by hand."),
    ],
)
def test_what_no_edit_mends_is_said(network: nn.Module, size: int, way_out: str) -> None:
    with pytest.raises(ValueError, match=rf"A repair must make every layer of Sequential exact .* {way_out}"):
        repair(network, size)
    assert {layer.repair for layer in audit(network, size).layers} == {""}


def test_an_exact_network_is_copied() -> None:
    network = ResNet(8, 2).build((3, 33, 33), 5)
    copied, found = repair(network, 33)
    assert found.is_exact
    assert copied is not network
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in copied.state_dict().items())


def test_edits_are_told_by_layer() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Calls(lambda x, pool: pool(x), nn.MaxPool2d(2)))
    found = find_repair(network, judge_network(network, 10)[1].tracer, (10, 10))
    assert found is not None
    assert found.edits == {"0": "convolution 4x4 with padding 1", "1.layers.0": "pooling 3x3 with padding 0"}
