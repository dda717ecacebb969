"""Rules for sampling layers. Every audit also compares them with numbers, and fails where these disagree."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.audit import audit
from equistudy.exactness.findings import Cause
from tests.exactness.small_networks import pooled

ALL = ("identity", "90 deg", "180 deg", "270 deg", "left-right", "top-bottom", "transpose", "anti-transpose")
MAIN = ("identity", "transpose")
FLIPS = ("identity", "180 deg", "left-right", "top-bottom")
HALVE = nn.Conv2d(8, 8, 3, 2, padding=1)
Layer = nn.Module | Callable[[Tensor], Tensor]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("layer", "size", "cause", "survives"),
    [
        (HALVE, 8, Cause.WINDOWS, MAIN),
        (nn.Conv2d(8, 8, 1, 2), 8, Cause.DROPPED, MAIN),
        (nn.Conv2d(8, 8, 2, padding="same"), 8, Cause.PADDING, MAIN),
        (nn.MaxPool2d(2), 9, Cause.DROPPED, MAIN),
        (nn.MaxPool2d(3, 2, ceil_mode=True), 8, Cause.CEIL, MAIN),
        (nn.AvgPool2d(2, ceil_mode=True), 9, Cause.CEIL, MAIN),
        (nn.LPPool2d(2, 2), 9, Cause.DROPPED, MAIN),
        (nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), 8, Cause.RECTANGULAR, FLIPS),
        (nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1), 8, Cause.OUTPUT_PADDING, MAIN),
        (nn.Upsample(size=12), 8, Cause.INTERPOLATION, MAIN),
        (nn.ZeroPad2d((0, 1, 0, 1)), 8, Cause.PADDING, MAIN),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2)), 8, Cause.PADDING, MAIN),
        (lambda x: x[:, :, ::2, ::2], 8, Cause.DROPPED, MAIN),
        (lambda x: x[:, :, 1:, 1:], 8, Cause.PADDING, MAIN),
        (lambda x: x[..., 1:], 8, Cause.PADDING, ("identity", "top-bottom")),
        (lambda x: x[:, :, :, 3].unsqueeze(3), 8, Cause.DROPPED, ("identity", "top-bottom")),
        (lambda x: x.roll((1, 1), (2, 3)), 8, Cause.SHIFTED, MAIN),
    ],
)
def test_what_breaks_is_found_with_its_cause(layer: Layer, size: int, cause: Cause, survives: tuple[str, ...]) -> None:
    tail = nn.Conv2d(8, 8, 3, padding=1)
    if cause in (Cause.SHIFTED, Cause.PADDING):
        tail = nn.Conv2d(8, 8, 3)  # zero padding makes a shift visible
    network = initialised(pooled(layer, tail), size)
    found = audit(network, size)
    assert [finding.cause for finding in found.layers][:1] == [cause]
    assert found.preserved_elements == survives
    assert found.layers[0].name[0] in ("12" if cause is Cause.PADDING else "1")  # padding is judged where it is read


def initialised(network: nn.Module, size: int) -> nn.Module:
    """The network with its lazy layers made."""
    network.eval()(torch.zeros(1, 3, size, size))
    return network


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (HALVE, 9),
        (nn.Conv2d(8, 8, 4, 2, padding=1), 8),
        (nn.Conv2d(8, 8, 3, 2, padding=1, padding_mode="reflect"), 9),
        (nn.Conv2d(8, 8, 3, 2, padding=1, padding_mode="circular"), 9),
        (nn.Conv2d(8, 8, 3, padding="same", dilation=2), 8),
        (nn.MaxPool2d(2), 8),
        (nn.MaxPool2d(3, 2, ceil_mode=True), 9),
        (nn.AdaptiveAvgPool2d(3), 8),
        (nn.AdaptiveMaxPool2d((3, 3)), 7),
        (nn.ConvTranspose2d(8, 8, 2, 2), 8),
        (nn.Upsample(scale_factor=2), 8),
        (nn.Upsample(size=13, mode="bilinear"), 8),
        (nn.Upsample(size=13, mode="bicubic", align_corners=True), 8),
        (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(8, 8, 3, 2)), 9),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2)), 9),
        (lambda x: F.pad(F.pad(x, (0, 1, 0, 1)), (1, 0, 1, 0)), 8),
        (lambda x: x[:, :, 1:-1, 1:-1], 8),
        (lambda x: x[:, :, ::2, ::2], 9),
        (lambda x: x.permute(0, 2, 3, 1).flip(-1).movedim(-1, 1), 8),
        (lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, (8, 8)), 8),
    ],
)
def test_what_is_exact_is_left_alone(layer: Layer, size: int) -> None:
    found = audit(initialised(pooled(layer), size), size)
    assert found.is_exact, found.layers
    assert found.preserved_elements == ALL


def test_axes_of_rectangular_images_are_judged_apart() -> None:
    found = audit(initialised(pooled(HALVE), 9), (9, 8))
    assert found.preserved_elements == ("identity", "270 deg", "top-bottom", "transpose")
    assert found.nearest == ((9, 7), (9, 9))
    assert "of the last columns" in found.layers[0].reason


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [(3, 2, 1, 32), (7, 2, 3, 224), (5, 3, 1, 20), (3, 4, 1, 30), (2, 2, 0, 9), (6, 4, 1, 21)],
)
def test_the_repair_repairs_and_keeps_the_size(kernel: int, stride: int, padding: int, size: int) -> None:
    layer = nn.Conv2d(3, 4, kernel, stride, padding)
    (finding,) = audit(layer, size).layers
    edit = re.fullmatch(r"convolution (\d+)x\1 with padding (\d+)", finding.repair)
    assert edit is not None, finding.repair
    repaired = nn.Conv2d(3, 4, int(edit[1]), stride, int(edit[2]))
    assert audit(repaired, size).is_exact
    assert cells(repaired, size) == cells(layer, size)


def cells(layer: nn.Module, size: int) -> tuple[int, ...]:
    """The shape of the output."""
    return tuple(layer(torch.zeros(1, 3, size, size)).shape)


def test_a_strided_shortcut_is_repaired_by_averaging() -> None:
    (finding,) = audit(nn.Conv2d(3, 4, 1, 2), 8).layers
    assert finding.repair == "average pooling 2x2 with stride 2, then stride 1"
    assert audit(nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(3, 4, 1)), 8).is_exact


def test_reasons_have_their_numbers() -> None:
    assert audit(nn.Conv2d(3, 4, 3, 2, 1), 8).layers[0].reason == (
        "misaligned windows: padding of the last rows and columns is not used; "
        "8 + 2*1 - 3 = 7 is no multiple of stride 2"
    )
    assert audit(nn.AvgPool2d(3), 8).layers[0].reason == (
        "pixels dropped: the last 2 of the rows and columns; 8 + 2*0 - 3 = 5 is no multiple of stride 3"
    )
