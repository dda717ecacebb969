"""The symmetries by name: what each needs, which of them commute, and how filters move."""

import pytest
import torch

from equistudy.exactness.elements import (
    ALL_ELEMENTS,
    GROUPS_BY_NAME,
    SPRITE_NAMES,
    element_names,
    find_commuting_elements,
    find_preserved_elements,
    get_generators,
    get_group_name,
    identify_element,
    move_filters,
    move_image,
    required_symmetries,
)
from equistudy.groups.finite import DihedralGroup, Flip, Reflection

MOVES = {
    "identity": lambda x: x,
    "90 deg": lambda x: torch.rot90(x, 1, (-2, -1)),
    "180 deg": lambda x: torch.rot90(x, 2, (-2, -1)),
    "270 deg": lambda x: torch.rot90(x, 3, (-2, -1)),
    "left-right": lambda x: x.flip(-1),
    "top-bottom": lambda x: x.flip(-2),
    "transpose": lambda x: x.mT,
    "anti-transpose": lambda x: torch.rot90(x, 2, (-2, -1)).mT,
}


@pytest.mark.parametrize("row", SPRITE_NAMES)
def test_every_element_does_what_its_name_says(row: tuple[float, float]) -> None:
    image = torch.arange(12.0).view(3, 4)
    assert torch.equal(move_image(image, row), MOVES[SPRITE_NAMES[row]](image))


@pytest.mark.parametrize("row", SPRITE_NAMES)
def test_an_element_is_made_of_the_flips_and_the_exchange_that_it_needs(row: tuple[float, float]) -> None:
    image = torch.arange(16.0).view(4, 4)
    made = image
    for letter, axis in (("h", -2), ("w", -1)):
        made = made.flip(axis) if letter in required_symmetries(row) else made
    made = made.mT if "t" in required_symmetries(row) else made
    assert torch.equal(move_image(image, row), made)


def test_survivors_need_nothing_of_what_is_broken() -> None:
    assert find_preserved_elements("") == ALL_ELEMENTS
    assert element_names(find_preserved_elements("hw")) == ("identity", "transpose")
    assert element_names(find_preserved_elements("t")) == ("identity", "180 deg", "left-right", "top-bottom")
    assert element_names(find_preserved_elements("w")) == ("identity", "270 deg", "top-bottom", "transpose")
    assert element_names(find_preserved_elements("hwt")) == ("identity",)


def test_groups_have_one_name() -> None:
    assert [get_group_name(GROUPS_BY_NAME[name]) for name in ("p4m", "d4", "p4", "c4", "d2", "c2", "d1")] == [
        *("p4m", "p4m", "p4", "p4", "d2", "c2", "d1")
    ]
    assert get_group_name(Reflection(Flip.VERTICAL)) == "v1"
    assert get_group_name(DihedralGroup(1)) == get_group_name(Reflection()) == "d1"


def test_square_filters_move_and_others_are_flipped() -> None:
    square, wide = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 1, 5)
    for row in ALL_ELEMENTS:
        assert torch.equal(move_filters(square, row), move_image(square, row))
        assert torch.equal(move_filters(wide, row), wide.flip(-1) if "w" in required_symmetries(row) else wide)


@pytest.mark.parametrize("flipped", ["", "h", "w", "hw"])
@pytest.mark.parametrize("transposed", [False, True])
def test_commuting_elements_are_those_of_brute_force(flipped: str, transposed: bool) -> None:
    def move(x: torch.Tensor) -> torch.Tensor:
        x = x.flip([{"h": -2, "w": -1}[letter] for letter in flipped])
        return x.mT if transposed else x

    image = torch.randn(5, 5)
    expected = {row for row in ALL_ELEMENTS if torch.equal(move(move_image(image, row)), move_image(move(image), row))}
    assert find_commuting_elements(frozenset(flipped), transposed) == expected


@pytest.mark.parametrize("name", GROUPS_BY_NAME)
def test_generators_generate_the_whole_group(name: str) -> None:
    group = GROUPS_BY_NAME[name]
    reached, probe = {(0.0, 0.0)}, torch.arange(9).view(3, 3)
    for _ in range(group.order):
        reached |= {
            identify_element(move_image(move_image(probe, row), generator))
            for row in reached
            for generator in get_generators(group)
        }
    assert reached == set(group.element_parameters)
