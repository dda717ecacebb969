"""The checks of annotations that run beside all other tests."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from beartype.roar import BeartypeCallHintParamViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

import equistudy as eq
from equistudy.execution.ray_environment import find_obstacle
from tests.shape_checks import names_an_array


@pytest.mark.parametrize(
    ("annotation", "names_one"),
    [
        (Float[Tensor, "batch 3"], True),
        (dict[str, tuple[Float[Tensor, "..."], int]], True),
        (Callable[[Float[Tensor, "n"]], None], True),
        (Float[Tensor, "n"] | None, True),
        ("Float[Tensor, 'n']", True),
        (Tensor, False),
        (dict[str, tuple[int, ...]] | None, False),
        (Callable[..., Any], False),
        (None, False),
    ],
)
def test_an_array_is_found_anywhere_in_an_annotation(annotation: object, names_one: bool) -> None:
    assert names_an_array(annotation) == names_one


def test_shapes_are_checked_where_arrays_are_named() -> None:
    rotation = eq.Rotation()
    assert rotation.act(torch.zeros(2, 3, 8, 8), torch.zeros(2, 1)).shape == (2, 3, 8, 8)
    with pytest.raises(TypeCheckError, match=r"parameters of .*AffineGroup\.act"):
        rotation.act(torch.zeros(2, 3, 8, 8), torch.zeros(3, 1))


def test_types_are_checked_where_no_array_is_named() -> None:
    with pytest.raises(BeartypeCallHintParamViolation, match=r"violates type hint .*Path"):
        find_obstacle("text")  # type: ignore[arg-type]
