"""The words of a group: regions of a grid."""

from equistudy.groups.group import Region


def test_the_shape_of_a_region_is_never_negative() -> None:
    assert Region(slice(1, 5), slice(2, 4)).shape == (4, 2)
    assert Region(slice(5, 3), slice(0, 2)).shape == (0, 2)
