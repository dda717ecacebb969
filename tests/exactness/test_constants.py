"""Symmetries of constants against brute force."""

import pytest
import torch

from equistudy.exactness.constants import ConstantMemory, align_constant, find_constant_symmetries
from equistudy.exactness.elements import ALL_ELEMENTS, element_names, move_image
from equistudy.exactness.layout import NO_AXES, TracedLayout, reshape_layout

H, W, HW = frozenset("h"), frozenset("w"), frozenset("hw")
RAMP = torch.linspace(-1, 1, 5)
CONSTANTS = {
    "noise": torch.randn(5, 5),
    "ramp": RAMP.expand(5, 5),
    "ramps": RAMP[:, None] + RAMP,
    "saddle": RAMP[:, None] * RAMP,
    "bowl": RAMP.square()[:, None] + RAMP.square(),
    "valley": RAMP.square().expand(5, 5),
    "ones": torch.ones(5, 5),
    "pinwheel": sum(torch.rot90(torch.eye(5)[1][:, None] * RAMP, k) for k in range(4)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_symmetries_are_those_of_brute_force(name: str) -> None:
    constant = CONSTANTS[name]
    expected = {row for row in ALL_ELEMENTS if torch.allclose(move_image(constant, row), constant, atol=1e-6)}
    assert find_constant_symmetries(constant[None, None], (NO_AXES, NO_AXES, H, W)) == expected
    layout = TracedLayout((NO_AXES, NO_AXES, H, W))
    tokens = reshape_layout(layout, (1, 1, 5, 5), (1, 25, 1), 0)
    aligned, dims = align_constant(constant.flatten()[None, :, None], tokens, (2, 25, 3))
    assert find_constant_symmetries(aligned, dims) == expected
    windows = reshape_layout(layout, (1, 1, 10, 10), (1, 2, 5, 2, 5), 0)
    aligned, dims = align_constant(constant.reshape(1, 1, 5, 1, 5), windows, (1, 2, 5, 2, 5))
    assert find_constant_symmetries(aligned, dims) == expected


def test_what_is_broadcast_is_the_same_along_what_it_lacks() -> None:
    aligned, dims = align_constant(RAMP, TracedLayout((NO_AXES, NO_AXES, H, W)), (2, 3, 5, 5))
    assert aligned.shape == (1, 1, 5, 5)
    assert element_names(find_constant_symmetries(aligned, dims)) == ("identity", "top-bottom")


def test_tokens_in_an_unknown_order_have_a_symmetry_only_if_all_are_equal() -> None:
    assert find_constant_symmetries(torch.ones(1, 26, 3), (NO_AXES, HW, NO_AXES)) == ALL_ELEMENTS
    assert element_names(find_constant_symmetries(torch.randn(1, 26, 3), (NO_AXES, HW, NO_AXES))) == ("identity",)
    assert find_constant_symmetries(torch.randn(1, 26, 3), (NO_AXES, NO_AXES, NO_AXES)) == ALL_ELEMENTS


def test_without_numbers_what_was_found_with_them_counts() -> None:
    memory, dims = ConstantMemory(), (H, W)
    assert memory.find_symmetries(("layer", "add"), torch.empty(5, 5, device="meta"), dims) is None
    assert memory.find_symmetries(("layer", "add"), CONSTANTS["valley"], dims) is not None
    known = memory.find_symmetries(("layer", "add"), torch.empty(7, 7, device="meta"), dims)
    assert known is not None
    assert element_names(known) == ("identity", "180 deg", "left-right", "top-bottom")
