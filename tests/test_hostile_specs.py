"""Every field of every built-in spec with hostile values: refused with rule, value and way out, or a working spec."""

import dataclasses
import math
import os
from enum import Enum
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import equistudy as eq
from equistudy.groups.group import Group
from equistudy.models.model import Model
from equistudy.spec import Spec, to_canonical_json
from tests.test_revisions import list_components

EXAMPLES = int(os.environ.get("EQUISTUDY_FUZZ_EXAMPLES", "0"))  # for each spec; 0 for the suite's few


class Stranger(Enum):
    NONE = "none"


HOSTILE = (
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, 10**30, 10**5000, 0.0, 0.5, 1.0, 1.5, -0.5, 1e-9, 1e300, 5e-324),
    *(math.nan, math.inf, -math.inf, 1j, "", "nan", "1", "float32", "\udc80", "\0", "../..", "=1+1", "\x1b[31m", b"1"),
    *((), (0,), (1.5,), (math.nan,), ("a",), (None,), ((),), (1,) * 50, (2**70,), [], [1], {}, {1: 2}, {1}, range(3)),
    *(
        Stranger.NONE,
        eq.Precision.FLOAT32,
        eq.SGD(),
        eq.SGD,
        eq.ResNet(8, 8),
        eq.Digits(),
        eq.Translation(pixels=(1,)),
        object(),
    ),
)
ABSTRACT = {"LieGenerator", "ColourGenerator", "_SpaceGenerator"}  # can be built, but their messages need a subclass
EXAMPLE_VALUES: dict[Any, Any] = {
    Model: eq.ResNet(8, 8),
    eq.Dataset: eq.Digits(),
    eq.Task: eq.Classification(),
    Group: eq.Translation(pixels=(1,)),
    int: 8,
    float: 0.5,
    str: "resnet18",
}


def list_specs() -> list[type[Spec]]:
    """The built-in specs that can be built from defaults and examples of what they need."""
    return [
        kind for kind in list_components().values() if kind.__name__ not in ABSTRACT and find_example(kind) is not None
    ]


def find_example(kind: type[Spec]) -> dict[str, Any] | None:
    """What a spec needs beside its defaults, or None where that is nothing simple."""
    needed = {
        field.name: EXAMPLE_VALUES.get(get_type_hints(kind)[field.name])
        for field in dataclasses.fields(kind)
        if field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    try:
        kind(**needed)
    except (TypeError, ValueError, OSError, NotImplementedError):  # abstract bases
        return None
    return needed


@pytest.mark.parametrize("kind", list_specs(), ids=lambda kind: kind.__name__)
def test_hostile_values_are_refused_in_a_sentence_or_work(kind: type[Spec]) -> None:
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    needed = find_example(kind) or {}

    @settings(
        max_examples=EXAMPLES or 10,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(names) if names else st.none(), st.sampled_from(HOSTILE) | st.integers() | st.floats())
    def check(name: str | None, value: Any) -> None:
        try:
            built = kind(**{**needed, **({name: value} if name else {})})
        except (TypeError, ValueError, OSError) as error:
            if ", got " not in str(error):
                raise AssertionError(f"{name}={value!r}: {error}") from error
            return
        to_canonical_json(built)
        str(built)

    check()
