"""Groups from the words of a command line."""

import pytest

from equistudy.cli.groups import Room, parse_groups
from equistudy.groups.finite import DihedralGroup, Reflection
from equistudy.groups.one_parameter import Rotation, Scaling, Shear
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("translation", Translation(4)),
        ("translation:3", Translation(3, pixels=(3,))),
        ("translation:1", Translation(1)),
        ("translation:1-3", Translation(3)),
        ("translation:1,2,3", Translation(3)),
        ("translation:2-4,8", Translation(8, pixels=(2, 3, 4, 8))),
        ("translation:-4", Translation(4, pixels=(-4,))),
        ("translation:1,32", Translation(32, pixels=(1, 32))),
        ("circular-translation:8,16", Translation(16, Border.CIRCULAR, (8, 16))),
        ("translation:0.5", SubpixelTranslation((0.5,), Border.WINDOW)),
        ("circular-translation:0.5,2", SubpixelTranslation((0.5, 2.0))),
        ("rotation", Rotation()),
        ("rotation:90", Rotation((90.0,))),
        ("rotation:7.5,30", Rotation((7.5, 30.0))),
        ("scaling:1.25", Scaling((1.25,))),
        ("shear", Shear()),
        ("dihedral", DihedralGroup()),
        ("reflection", Reflection()),
    ],
)
def test_exactly_the_sizes_that_are_written(name: str, group: object) -> None:
    assert parse_groups((name,), Room()) == (group,)
    _, _, sizes = name.partition(":")
    if sizes and "-" not in sizes and not name.startswith("scaling"):  # whose size is a logarithm
        assert {abs(element.magnitude) for element in group.elements()} == {  # type: ignore[attr-defined]
            abs(float(size)) for size in sizes.split(",")
        }


@pytest.mark.parametrize(
    ("room", "pixels", "border"),
    [
        (Room(224, 32), (1, 16), Border.WINDOW),
        (Room(256, 46), (1, 32), Border.WINDOW),
        (Room(1024, 100), (1, 32), Border.WINDOW),
        (Room(224, 10), (1, 8), Border.WINDOW),
        (Room(32, 6), (1, 4), Border.WINDOW),
        (Room(32, 0), (1, 4), Border.ZERO),
        (Room(8, 0), (1,), Border.ZERO),
        (Room(), (1, 32), Border.WINDOW),
    ],
)
def test_the_default_shifts_are_at_most_an_eighth_of_the_image(room: Room, pixels: tuple[int, ...], border: Border):
    told: list[str] = []
    assert parse_groups((), room, tell=told.append) == (Translation(pixels[-1], border, pixels), Rotation())
    assert f"by 1 and {pixels[-1]} pixels (at most an eighth" in told[0]
    assert ("so black enters when they shift" in told[-1]) == (border is Border.ZERO)


def test_the_border_that_was_asked_for() -> None:
    whole = Room(32, 0)
    for border in Border:
        assert parse_groups(("translation:1,2",), whole, border) == (Translation(2, border),)
    assert parse_groups((), whole, Border.CIRCULAR)[0] == Translation(4, Border.CIRCULAR, (1, 4))
    assert parse_groups(("circular-translation:2",), whole, Border.ZERO)[0] == Translation(2, Border.CIRCULAR, (2,))
    told: list[str] = []
    assert parse_groups(("translation:0.5",), whole, tell=told.append) == (SubpixelTranslation((0.5,)),)
    assert "what left on the other side enters when they shift by 0.5; --room and --border" in told[0]
    assert parse_groups(("translation:4",), Room(32, 4)) == (Translation(4, Border.WINDOW, (4,)),)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "rotate:90",
            "--group must be one of translation, circular-translation, rotation, .* got 'rotate:90'. Did you mean",
        ),
        ("translation:4-1", "must be NAME:SIZE,SIZE with numeric sizes, or NAME:FROM-TO, got 'translation:4-1'"),
        ("translation:1,,4", "must be NAME:SIZE,SIZE with numeric sizes, or NAME:FROM-TO, got 'translation:1,,4'"),
        (
            "translation:1-99999",
            "or NAME:FROM-TO, got 'translation:1-99999'",
        ),
        ("rotation:ninety", "must be NAME:SIZE,SIZE with numeric sizes, or NAME:FROM-TO, got 'rotation:ninety'"),
        ("translation:1.5,nan", "pixels must be one or more distinct finite shifts other than 0"),
        ("translation:0", "max_pixels must be at least 1"),
        ("dihedral:4", "--group must be one of"),
    ],
)
def test_groups_that_are_none(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_groups((name,), Room())
