import json
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equistudy.code_digest import compute_code_digest
from equistudy.spec import (
    Spec,
    added_field,
    compute_digest,
    flatten_spec,
    format_label,
    location_field,
    to_canonical_json,
    to_plain_data,
)


class Shape(Enum):
    ROUND = "round"
    SQUARE = "square"


@dataclass(frozen=True)
class Part(Spec):
    REVISION: ClassVar[int] = 3
    size: int = 4
    rate: float = 0.5


@dataclass(frozen=True)
class Whole(Spec):
    part: Part = Part()
    shape: Shape = Shape.ROUND
    steps: tuple[float, ...] = (1, 2)
    limit: float | None = None
    folder: str | None = location_field(None)


@dataclass(frozen=True)
class Loose(Spec):
    anything: object = None


def test_canonical_text_is_pinned() -> None:
    # ids of stored trials depend on this text: it may only change together with the results' schema version
    name = f"{__name__}."
    codes = [f'"code":"{compute_code_digest(kind)}"' for kind in (Part, Whole)]
    part = f'{{{codes[0]},"rate":0.5,"revision":3,"size":4,"spec":"{name}Part"}}'
    whole = f'{{{codes[1]},"limit":null,"part":{part},"revision":1,"shape":"round"'
    expected = f'{whole},"spec":"{name}Whole","steps":[1.0,2.0]}}'
    assert to_canonical_json(Whole()) == expected


@given(st.integers(-1000, 1000), st.floats(allow_nan=False, allow_infinity=False))
def test_canonical_tells_specs_apart_and_survives_json(size: int, rate: float) -> None:
    spec = Part(size, rate)
    data = json.loads(to_canonical_json(spec))
    assert (data["size"], data["rate"]) == (size, rate)
    assert (to_canonical_json(spec) == to_canonical_json(Part())) == (spec == Part())


def test_an_int_in_a_float_field_is_that_float() -> None:
    assert to_canonical_json(Part(rate=1)) == to_canonical_json(Part(rate=1.0))
    assert to_canonical_json(Whole(steps=(1, 2))) == to_canonical_json(Whole(steps=(1.0, 2.0)))
    assert to_canonical_json(Whole(limit=3)) == to_canonical_json(Whole(limit=3.0))


def test_revision_is_part_of_the_identity_and_location_is_not() -> None:
    @dataclass(frozen=True)
    class Newer(Part):
        REVISION: ClassVar[int] = 4

    assert to_plain_data(Newer())["revision"] == 4
    assert to_canonical_json(Whole(folder="/here")) == to_canonical_json(Whole(folder="/there"))
    assert "folder" not in format_label(Whole(folder="/here"))
    assert "folder" not in flatten_spec(Whole(folder="/here"))


def test_an_added_field_at_its_default_leaves_the_identity_as_it_was() -> None:
    @dataclass(frozen=True)
    class Longer(Part):
        length: int | None = added_field(None)

    own = {"spec": f"{__name__}.Longer", "code": compute_code_digest(Longer)}
    assert to_plain_data(Longer()) == {**to_plain_data(Part()), **own}
    assert to_plain_data(Longer(length=2))["length"] == 2
    assert to_canonical_json(Longer(length=2)) != to_canonical_json(Longer())
    assert format_label(Longer()) == "Longer"
    assert flatten_spec(Longer())["length"] is None


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, object()])
def test_a_spec_refuses_what_has_no_canonical_text(value: object) -> None:
    with pytest.raises(TypeError, match=r"A spec holds numbers.*got Loose.anything=.*Use a tuple for a list"):
        to_plain_data(Loose(value))


def test_not_a_number_has_no_canonical_text() -> None:
    part = Part()
    object.__setattr__(part, "rate", float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_canonical_json(part)


def test_label_shows_what_differs_from_the_defaults() -> None:
    assert format_label(Part()) == "Part"
    assert format_label(Part(size=8)) == "Part(size=8)"
    assert format_label(Whole(part=Part(rate=1.0), steps=(3,))) == "Whole(part=Part(rate=1), steps=(3))"
    assert format_label(Shape.SQUARE) == "square"
    assert str(Part(size=8)) == "Part(size=8)"


def test_flattened_gives_labels_fields_and_revisions() -> None:
    columns = flatten_spec(Whole(part=Part(size=8)))
    assert columns["part"] == "Part(size=8)"
    assert columns["part.size"] == 8
    assert columns["part.revision"] == 3
    assert columns["shape"] == "round"
    assert columns["steps"] == "(1, 2)"


def test_digest_begins_with_its_letter() -> None:
    # SHA-256 of the empty text
    assert compute_digest("", "t") == "t_e3b0c44298fc1c14"
