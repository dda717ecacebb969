"""Outputs of every form move as they should, and are found out where they do not."""

import pytest
import torch

from equistudy.exactness.elements import ALL_ELEMENTS, element_names, find_commuting_elements, move_image
from equistudy.exactness.outputs import measure_relative_errors
from equistudy.groups.finite import CyclicGroup, FiniteGroup

SIZE = (4, 6)
TURN = (90.0, 0.0)


ROWS = sorted(ALL_ELEMENTS)


def measure(still: torch.Tensor, moved: torch.Tensor, row: tuple[float, float], group: FiniteGroup | None) -> float:
    return measure_relative_errors(still, {row: moved}, SIZE, group)[row]


def maps() -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, *SIZE, generator=rng, dtype=torch.float64)


FORMS = {
    "maps": lambda x: x,
    "channels last": lambda x: x.movedim(1, -1),
    "tokens": lambda x: x.flatten(2).mT,
    "tokens behind a class token": lambda x: torch.cat([x.mean((2, 3))[:, None], x.flatten(2).mT], 1),
    "tokens last": lambda x: x.flatten(2),
    "classes of pixels": lambda x: x.argmax(1),
    "vectors": lambda x: x.amax((2, 3)),
    "one cell": lambda x: x.mean((2, 3), keepdim=True),
    "complex": lambda x: torch.complex(x, x.square()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(element_names([row])))
def test_what_moves_with_the_image_has_no_error(form: str, row: tuple[float, float]) -> None:
    still, moved = FORMS[form](maps()), FORMS[form](move_image(maps(), row))
    assert measure(still, moved, row, None) < 1e-14


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("vectors", "one cell")])
def test_what_moves_otherwise_has_an_error(form: str) -> None:
    """Elements that do not commute with a mirror image are found out, in one reading for all of them."""
    still = FORMS[form](maps())
    moved = {row: FORMS[form](move_image(maps().flip(3), row).flip(3)) for row in ROWS}
    errors = measure_relative_errors(still, moved, SIZE, None)
    commuting = find_commuting_elements(frozenset("w"), transposed=False)
    assert {row for row, error in errors.items() if error < 1e-14} == commuting


def test_the_channels_of_regular_fields_move() -> None:
    group = CyclicGroup(4)
    fields = maps().unflatten(1, (2, 4))
    moved = torch.rot90(fields, 1, (-2, -1)).roll(1, 2)
    assert measure(fields.flatten(1, 2), moved.flatten(1, 2), TURN, group) < 1e-14
    assert measure(fields.flatten(1, 2), moved.flatten(1, 2), TURN, None) > 0.1
    pooled = fields.mean((3, 4))
    assert measure(pooled.flatten(1), pooled.roll(1, 2).flatten(1), TURN, group) < 1e-14


def test_other_shapes_and_no_numbers_are_infinite() -> None:
    still = torch.ones(1, 2)
    assert measure(still, torch.ones(1, 3), TURN, None) == float("inf")
    assert measure(still, still * float("nan"), TURN, None) == float("inf")
    assert measure(still * 0, still * 0, TURN, None) == 0
