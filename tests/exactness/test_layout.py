"""Letters of dimensions, followed through changes of shape."""

import pytest
import torch

from equistudy.exactness.layout import NO_AXES, FunctionCall, TracedLayout, reshape_layout, source_dimensions

H, W, G, HW = frozenset("h"), frozenset("w"), frozenset("g"), frozenset("hw")
ORDER = 4


@pytest.mark.parametrize(
    ("dims", "before", "after", "expected"),
    [
        ((NO_AXES, NO_AXES, H, W), (2, 3, 5, 7), (2, 3, 35), (NO_AXES, NO_AXES, HW)),
        ((NO_AXES, NO_AXES, H, W), (2, 3, 5, 7), (2, 105), (NO_AXES, HW)),
        ((NO_AXES, HW, NO_AXES), (2, 35, 3), (2, 5, 7, 3), (NO_AXES, H, W, NO_AXES)),
        ((NO_AXES, H, W, NO_AXES), (2, 6, 8, 3), (2, 3, 2, 4, 2, 3), (NO_AXES, H, H, W, W, NO_AXES)),
        ((NO_AXES, HW, NO_AXES), (2, 35, 12), (2, 35, 3, 4), (NO_AXES, HW, NO_AXES, NO_AXES)),
        ((NO_AXES, G, H, W), (2, 12, 5, 7), (2, 3, 4, 5, 7), (NO_AXES, NO_AXES, G, H, W)),
        ((NO_AXES, NO_AXES, G, H, W), (2, 3, 4, 5, 7), (2, 12, 5, 7), (NO_AXES, G, H, W)),
        ((NO_AXES, NO_AXES, G | H, W), (2, 3, 20, 7), (2, 3, 4, 5, 7), (NO_AXES, NO_AXES, G, H, W)),
        ((NO_AXES, NO_AXES, H, W), (2, 3, 1, 1), (2, 3), (NO_AXES, NO_AXES)),
        ((NO_AXES, NO_AXES, H, W), (1, 3, 5, 7), (3, 5, 7), (NO_AXES, H, W)),
    ],
)
def test_reshaping_keeps_what_indices_stand_for(
    dims: tuple[frozenset[str], ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
    expected: tuple[frozenset[str], ...],
) -> None:
    assert reshape_layout(TracedLayout(dims), before, after, ORDER).dims == expected


def test_what_was_joined_is_taken_apart_again() -> None:
    """Maps of 4 x 6 pixels, folded to sequences of the pixels at one place of their 2 x 2 patches, and back."""
    shape, layout = (5, 3, 4, 6), TracedLayout((NO_AXES, NO_AXES, H, W))
    shapes: list[tuple[int, ...]] = [(30, 2, 3, 2), (5, 3, 6, 4), (20, 6, 3)]
    layout = reshape_layout(layout, shape, shapes[0], ORDER).with_places((0, 2, 1, 3), (30, 3, 2, 2))
    layout = reshape_layout(layout, (30, 3, 2, 2), shapes[1], ORDER)
    assert layout.dims == (NO_AXES, NO_AXES, HW, HW)
    layout = reshape_layout(layout.with_places((0, 3, 2, 1), (5, 4, 6, 3)), (5, 4, 6, 3), shapes[2], ORDER)
    assert layout.dims == (HW, HW, NO_AXES)
    layout = layout.with_dims((HW, HW, NO_AXES), (20, 6, 7))  # a linear layer to 7 channels
    layout = reshape_layout(layout, (20, 6, 7), (5, 4, 6, 7), ORDER)
    assert layout.dims == (NO_AXES, HW, HW, NO_AXES)
    layout = reshape_layout(layout.with_places((0, 3, 2, 1), (5, 7, 6, 4)), (5, 7, 6, 4), (70, 3, 2, 2), ORDER)
    layout = reshape_layout(layout.with_places((0, 2, 1, 3), (70, 2, 3, 2)), (70, 2, 3, 2), (5, 7, 4, 6), ORDER)
    assert layout.dims == (NO_AXES, NO_AXES, H, W)


def test_a_dimension_that_became_another_forgets_what_was_joined() -> None:
    tokens = reshape_layout(TracedLayout((NO_AXES, H, W)), (2, 3, 8), (2, 24), ORDER)
    assert tokens.factors[1] == ((3, H), (8, W))
    assert tokens.with_dims((NO_AXES, HW), (4, 24)).factors[1] == tokens.factors[1]
    assert tokens.with_dims((NO_AXES, HW), (2, 12)).factors[1] == ()
    assert tokens.with_dims((NO_AXES, H), (2, 24)).factors[1] == ()


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
    tensor.layout_of_positions = TracedLayout((NO_AXES, NO_AXES, H, W))  # type: ignore[attr-defined]
    moved = getattr(tensor, name)(*arguments)
    order = source_dimensions(FunctionCall(name, (tensor, *arguments), {}, moved))
    assert tuple(tensor.shape[dim] for dim in order) == tuple(moved.shape)
