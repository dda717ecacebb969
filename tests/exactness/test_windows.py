"""The arithmetic of windows against brute force: torch's own layers on random maps, flipped before and after."""

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from equistudy.exactness.windows import AxisWindows, Residue, compute_chain_residue, is_resize_exact

CHANNELS = 48  # of pooled maps: no maximum is the same by chance
CLOSE = 1e-10


def line(size: int, channels: int = 1, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, size, generator=rng, dtype=torch.float64)


ACTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "90 deg": lambda x: torch.rot90(x, 1, (-2, -1)),
    "180 deg": lambda x: torch.rot90(x, 2, (-2, -1)),
    "left-right": lambda x: x.flip(-1),
    "anti-transpose": lambda x: torch.rot90(x, 2, (-2, -1)).mT,
    "transpose": lambda x: x.mT,
}


def configurations() -> Iterator[AxisWindows]:
    ranges = range(5, 41), range(1, 8), range(1, 5), range(4), (1, 2)
    for size, kernel, stride, padding, dilation in itertools.product(*ranges):
        windows = AxisWindows(size, kernel, stride, padding, padding, dilation)
        if windows.room >= 0:
            yield windows


@pytest.mark.slow
def test_every_convolution_agrees_with_brute_force_under_every_symmetry() -> None:
    """All 7,892 of sizes 5 to 40, kernels 1 to 7, strides 1 to 4, padding 0 to 3, dilation 1 and 2; 4,120 are exact.

    The filter moves with the map. The transpose commutes always, every other element if and only if the rule says so.
    """
    rng = torch.Generator().manual_seed(0)
    filters = {k: torch.randn(1, 1, k, k, generator=rng, dtype=torch.float64) for k in range(1, 8)}
    maps = {n: torch.randn(1, 1, n, n, generator=rng, dtype=torch.float64) for n in range(5, 41)}
    wrong, exact, count = [], 0, 0
    for windows in configurations():
        x, weight = maps[windows.size], filters[windows.kernel]
        options = {"stride": windows.stride, "padding": windows.before, "dilation": windows.dilation}
        still = F.conv2d(x, weight, **options)
        for name, act in ACTIONS.items():
            moved = F.conv2d(act(x), act(weight), **options)
            if bool((moved - act(still)).abs().max() < CLOSE) != (windows.is_exact or name == "transpose"):
                wrong.append((windows, name))
        exact, count = exact + windows.is_exact, count + 1
    assert (count, exact, wrong) == (7892, 4120, [])


@pytest.mark.slow
def test_asymmetric_padding_agrees_with_brute_force() -> None:
    checked = 0
    for size, kernel, stride, before, after in itertools.product(
        range(5, 17), range(1, 6), range(1, 5), range(-2, 4), range(-2, 4)
    ):
        windows = AxisWindows(size, kernel, stride, before, after)
        if windows.room < 0:
            continue
        weight = line(kernel, seed=kernel)
        x = line(size)
        still = F.conv1d(F.pad(x, (before, after)), weight, stride=stride).flip(-1)
        moved = F.conv1d(F.pad(x.flip(-1), (before, after)), weight.flip(-1), stride=stride)
        # cropped away so far that padding alone is read, nothing is left to tell the difference
        if bool((still == 0).all()):
            continue
        assert windows.is_exact == bool((moved - still).abs().max() < CLOSE), windows
        checked += 1
    assert checked > 5000


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_agrees_with_brute_force(ceil: bool) -> None:
    for size, kernel, stride, dilation in itertools.product(range(4, 20), range(1, 6), range(1, 5), (1, 2)):
        for padding in range(kernel // 2 + 1):
            windows = AxisWindows(size, kernel, stride, padding, padding, dilation, ceil)
            if windows.room < 0:
                continue
            x = line(size, CHANNELS)
            pooled = F.max_pool1d(x, kernel, stride, padding, dilation, ceil)
            assert pooled.shape[-1] == windows.count, windows
            moved = F.max_pool1d(x.flip(-1), kernel, stride, padding, dilation, ceil)
            assert windows.is_pooling_exact() == torch.equal(moved, pooled.flip(-1)), windows
            for counts in (True, False) if dilation == 1 else ():
                mean = F.avg_pool1d(x, kernel, stride, padding, ceil, counts)
                moved = F.avg_pool1d(x.flip(-1), kernel, stride, padding, ceil, counts)
                same = bool((moved - mean.flip(-1)).abs().max() < CLOSE)
                assert windows.is_pooling_exact(counts) == same, (windows, counts)


def test_adaptive_pooling_is_always_exact() -> None:
    for size, cells in itertools.product(range(1, 41), range(1, 41)):
        x = line(size, 2)
        assert (F.adaptive_avg_pool1d(x.flip(-1), cells).flip(-1) - F.adaptive_avg_pool1d(x, cells)).abs().max() < CLOSE
        assert torch.equal(F.adaptive_max_pool1d(x.flip(-1), cells).flip(-1), F.adaptive_max_pool1d(x, cells))


def test_a_transposed_convolution_is_exact_without_output_padding() -> None:
    for size, kernel, stride, padding, extra in itertools.product((3, 4), (1, 2, 3, 4), (1, 2, 3), (0, 1), (0, 1, 2)):
        if extra >= stride or (size - 1) * stride - 2 * padding + kernel + extra < 1:
            continue
        x, weight = line(size), line(kernel, seed=1)
        still = F.conv_transpose1d(x, weight, stride=stride, padding=padding, output_padding=extra)
        moved = F.conv_transpose1d(x.flip(-1), weight.flip(-1), stride=stride, padding=padding, output_padding=extra)
        if bool(still.any()):
            assert bool((moved - still.flip(-1)).abs().max() < CLOSE) == (extra == 0)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "linear, corners"])
def test_interpolation_to_a_size_agrees_with_brute_force(mode: str) -> None:
    kind, corners = mode.partition(", ")[0], ", " in mode
    options = {"align_corners": corners} if kind == "linear" else {}
    for size, resized in itertools.product(range(2, 33), range(1, 40)):
        x = line(size, 4)
        still, moved = (F.interpolate(image, size=resized, mode=kind, **options) for image in (x, x.flip(-1)))
        same = bool((moved - still.flip(-1)).abs().max() < CLOSE)
        assert is_resize_exact(size, resized, kind, corners) == same, (size, resized)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear"])
@pytest.mark.parametrize("factor", [0.5, 2.0, 1.5, 0.75, 0.25, 3.0])
def test_interpolation_by_a_factor_agrees_with_brute_force(mode: str, factor: float) -> None:
    options = {"align_corners": False} if mode == "linear" else {}
    for size in range(4, 30):
        x = line(size, 4)
        still, moved = (F.interpolate(image, scale_factor=factor, mode=mode, **options) for image in (x, x.flip(-1)))
        same = bool((moved - still.flip(-1)).abs().max() < CLOSE)
        assert is_resize_exact(size, still.shape[-1], mode, False, factor) == same, (size, factor)


STEM = (AxisWindows(0, 7, 2, 3, 3), AxisWindows(0, 3, 2, 1, 1))
HALVE, SAME = AxisWindows(0, 3, 2, 1, 1), AxisWindows(0, 3, 1, 1, 1)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([SAME, HALVE, SAME, HALVE], Residue(4, 1)),  # a ResNet for small images
        ([SAME, HALVE, HALVE, HALVE], Residue(8, 1)),
        ([*STEM, HALVE, HALVE, HALVE], Residue(32, 1)),  # torchvision's ResNet-18
        ([SAME, SAME, AxisWindows(0, 2, 2)], Residue(2, 0)),  # P4CNN
        ([SAME, AxisWindows(0, 2, 2)] * 5, Residue(32, 0)),  # VGG-11
        ([AxisWindows(0, 4, 4), AxisWindows(0, 2, 2)], Residue(8, 0)),  # patches
        ([SAME], Residue(1, 0)),
    ],
)
def test_a_chain_is_exact_at_one_residue_class(layers: list[AxisWindows], expected: Residue) -> None:
    assert compute_chain_residue(layers) == expected


def test_chains_agree_with_brute_force() -> None:
    """200 random chains with non-linearities between: exact at a size if and only if it is in the residue class."""
    rng = torch.Generator().manual_seed(1)

    def drawn(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=rng))

    for _ in range(200):
        layers, weights = [], []
        for _ in range(drawn(2, 4)):
            kernel = drawn(1, 4)
            padding = drawn(0, (kernel - 1) // 2)
            layers.append(AxisWindows(0, kernel, drawn(1, min(3, kernel)), padding, padding))
            weights.append(torch.randn(6 if weights else 1, 6, kernel, generator=rng, dtype=torch.float64).mT.mT)
        residue = compute_chain_residue(layers)
        for size in range(40, 40 + min(residue.modulus, 12)):
            still, moved = line(size), line(size).flip(-1)
            for number, (layer, drawn_weight) in enumerate(zip(layers, weights, strict=True)):
                weight = drawn_weight.transpose(0, 1) if number == 0 else drawn_weight
                still = F.leaky_relu(F.conv1d(still, weight, stride=layer.stride, padding=layer.before))
                moved = F.leaky_relu(F.conv1d(moved, weight.flip(-1), stride=layer.stride, padding=layer.before))
            same = bool((still.flip(-1) - moved).abs().max() < CLOSE)
            assert (size in residue) == same, (layers, size)


def test_a_chain_with_unequal_padding_has_no_closed_form() -> None:
    with pytest.raises(ValueError, match=r"pads both sides alike, got before=0 and after=1. Audit the network"):
        compute_chain_residue([AxisWindows(0, 3, 2, 0, 1)])


def test_a_residue_is_told_in_words() -> None:
    assert str(Residue(32, 1)) == "n = 1 mod 32"
    assert str(Residue(1, 0)) == "any size"
