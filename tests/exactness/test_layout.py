"""Letters of dimensions, followed through changes of shape."""

import pytest
import torch

from equistudy.exactness.layout import NONE, Call, Layout, moved_dimensions, rearranged

H, W, G, HW = frozenset("h"), frozenset("w"), frozenset("g"), frozenset("hw")
ORDER = 4


@pytest.mark.parametrize(
    ("dims", "before", "after", "expected"),
    [
        ((NONE, NONE, H, W), (2, 3, 5, 7), (2, 3, 35), (NONE, NONE, HW)),
        ((NONE, NONE, H, W), (2, 3, 5, 7), (2, 105), (NONE, HW)),
        ((NONE, HW, NONE), (2, 35, 3), (2, 5, 7, 3), (NONE, H, W, NONE)),
        ((NONE, H, W, NONE), (2, 6, 8, 3), (2, 3, 2, 4, 2, 3), (NONE, H, H, W, W, NONE)),
        ((NONE, HW, NONE), (2, 35, 12), (2, 35, 3, 4), (NONE, HW, NONE, NONE)),
        ((NONE, G, H, W), (2, 12, 5, 7), (2, 3, 4, 5, 7), (NONE, NONE, G, H, W)),
        ((NONE, NONE, G, H, W), (2, 3, 4, 5, 7), (2, 12, 5, 7), (NONE, G, H, W)),
        ((NONE, NONE, G | H, W), (2, 3, 20, 7), (2, 3, 4, 5, 7), (NONE, NONE, G, H, W)),
        ((NONE, NONE, H, W), (2, 3, 1, 1), (2, 3), (NONE, NONE)),
        ((NONE, NONE, H, W), (1, 3, 5, 7), (3, 5, 7), (NONE, H, W)),
    ],
)
def test_reshaping_keeps_what_indices_stand_for(
    dims: tuple[frozenset[str], ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
    expected: tuple[frozenset[str], ...],
) -> None:
    assert rearranged(Layout(dims), before, after, ORDER).dims == expected


def test_what_was_joined_is_taken_apart_again() -> None:
    """Maps of 4 x 6 pixels, folded to sequences of the pixels at one place of their 2 x 2 patches, and back."""
    shape, layout = (5, 3, 4, 6), Layout((NONE, NONE, H, W))
    shapes: list[tuple[int, ...]] = [(30, 2, 3, 2), (5, 3, 6, 4), (20, 6, 3)]
    layout = rearranged(layout, shape, shapes[0], ORDER).taking((0, 2, 1, 3), (30, 3, 2, 2))
    layout = rearranged(layout, (30, 3, 2, 2), shapes[1], ORDER)
    assert layout.dims == (NONE, NONE, HW, HW)
    layout = rearranged(layout.taking((0, 3, 2, 1), (5, 4, 6, 3)), (5, 4, 6, 3), shapes[2], ORDER)
    assert layout.dims == (HW, HW, NONE)
    layout = layout.with_dims((HW, HW, NONE), (20, 6, 7))  # a linear layer to 7 channels
    layout = rearranged(layout, (20, 6, 7), (5, 4, 6, 7), ORDER)
    assert layout.dims == (NONE, HW, HW, NONE)
    layout = rearranged(layout.taking((0, 3, 2, 1), (5, 7, 6, 4)), (5, 7, 6, 4), (70, 3, 2, 2), ORDER)
    layout = rearranged(layout.taking((0, 2, 1, 3), (70, 2, 3, 2)), (70, 2, 3, 2), (5, 7, 4, 6), ORDER)
    assert layout.dims == (NONE, NONE, H, W)


def test_a_dimension_that_became_another_forgets_what_was_joined() -> None:
    tokens = rearranged(Layout((NONE, H, W)), (2, 3, 8), (2, 24), ORDER)
    assert tokens.factors[1] == ((3, H), (8, W))
    assert tokens.with_dims((NONE, HW), (4, 24)).factors[1] == tokens.factors[1]
    assert tokens.with_dims((NONE, HW), (2, 12)).factors[1] == ()
    assert tokens.with_dims((NONE, H), (2, 24)).factors[1] == ()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("permute", (0, 3, 1, 2)),
        ("permute", ((0, 2, 3, 1),)),
        ("movedim", (1, -1)),
        ("movedim", ((1, 3), (3, 0))),
        ("transpose", (1, -1)),
        ("swapaxes", (2, 3)),
    ],
)
def test_moved_dimensions_are_those_of_torch(name: str, arguments: tuple[int, ...]) -> None:
    tensor = torch.empty(2, 3, 5, 7)
    tensor.layout_of_positions = Layout((NONE, NONE, H, W))  # type: ignore[attr-defined]
    moved = getattr(tensor, name)(*arguments)
    order = moved_dimensions(Call(name, (tensor, *arguments), {}, moved))
    assert tuple(tensor.shape[dim] for dim in order) == tuple(moved.shape)
