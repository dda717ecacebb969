import dataclasses
import inspect
import math
import pickle
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import equistudy as eq
from equistudy.code_digest import compute_code_digest
from equistudy.field_values import find_unusable
from equistudy.spec import Spec, to_canonical_json

Value = TypeVar("Value")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner(Spec):
    size: int = 1


@dataclass(frozen=True)
class Each(Spec):
    """One field of every kind that is checked."""

    count: int = 1
    share: float = 0.5
    flag: bool = False
    name: str = ""
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    limit: int | None = None
    pair: tuple[int, float] = (1, 2.0)
    rows: tuple[tuple[int, ...], ...] = ()
    mode: Literal["fast", 1] = "fast"
    bound: float = math.inf

    def __post_init__(self) -> None:
        assert self.count < 10**30, "compared before it was checked"


GOOD: dict[str, st.SearchStrategy[Any]] = {
    "count": st.integers(-(2**62), 2**62),
    "share": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**62), 2**62),
    "flag": st.booleans(),
    "name": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "colour": st.sampled_from(Colour),
    "inner": st.just(Inner(2)),
    "limit": st.none() | st.integers(-(2**62), 2**62),
    "pair": st.tuples(st.integers(0, 9), st.floats(0, 1) | st.integers(0, 9)),
    "rows": st.lists(st.lists(st.integers(0, 9)).map(tuple)).map(tuple),
    "mode": st.sampled_from(["fast", 1]),
    "bound": st.just(math.inf) | st.floats(0, 1),
}
BAD: dict[str, list[Any]] = {
    "count": [True, 1.0, 1.5, "1", None, math.nan, 2**70, 10**5000, Colour.RED],
    "share": [True, "0.5", None, math.nan, math.inf, -math.inf, 2**70, 1j],
    "flag": [0, 1, 1.0, "yes", None],
    "name": [1, b"a", None, "\udc80", "a\0b"],
    "colour": ["red", "RED", 0, None, Inner()],
    "inner": [Inner, "Inner", None, Colour.RED, 1],
    "limit": [True, 1.0, "none", 2**63],
    "pair": [[1, 2.0], (1,), (1, 2.0, 3), (1.0, 2.0), (1, math.nan), (True, 1.0), 1, None],
    "rows": [((1.0,),), (1,), ([1],), ((2**80,),)],
    "mode": ["slow", 1.0, True, None],
    "bound": ["inf", True, None],
}


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_values_of_the_annotated_type_are_kept_as_they_are(name: str, data: st.DataObject) -> None:
    value = data.draw(GOOD[name])
    by_name = Each(**{name: value})
    position = [each.name for each in dataclasses.fields(Each)].index(name)
    before = [getattr(Each(), each.name) for each in dataclasses.fields(Each)][:position]
    assert getattr(by_name, name) is value
    assert Each(*before, value) == by_name == dataclasses.replace(by_name) == pickle.loads(pickle.dumps(by_name))


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in BAD for value in BAD[name]], ids=lambda value: type(value).__name__
)
def test_other_values_are_refused_with_rule_value_and_way_out(name: str, value: Any) -> None:
    position = [each.name for each in dataclasses.fields(Each)].index(name)
    before = [getattr(Each(), each.name) for each in dataclasses.fields(Each)][:position]
    for build in (lambda: Each(**{name: value}), lambda: Each(*before, value), lambda: build_changed(name, value)):
        with pytest.raises((TypeError, ValueError), match=rf"^Each.{name} (must be|takes) .+, got {name}=.+\. .+\.$"):
            build()


def build_changed(name: str, value: Any) -> Each:
    return dataclasses.replace(Each(), **{name: value})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: eq.Recipe(epochs=1.5), "an integer, got epochs=1.5. Use a whole number, not a value of type float."),
        (lambda: eq.Recipe(batch_size=2.0), "an integer, got batch_size=2.0. Write 2."),
        (
            lambda: eq.Recipe(optimiser=None),
            r"an Optimiser, got optimiser=None. Write a call such as the default, SGD\(...\).",
        ),
        (lambda: eq.Recipe(optimiser=eq.AdamW), r"got optimiser=<class .*AdamW'>. Call the class: AdamW\(...\)."),
        (lambda: eq.Recipe(precision="bfloat16"), "a Precision, got precision='bfloat16'. Use Precision.BFLOAT16."),
        (lambda: eq.Recipe(precision="half"), "got precision='half'. Use one of Precision.FLOAT32, Precision.BFLOAT16"),
        (
            lambda: eq.SGD(learning_rate=math.nan),
            "must be positive and finite, got learning_rate=nan. Use 0.1 for SGD.",
        ),
        (lambda: eq.Recipe(epochs=10**5000), r"at most 63 bits, got epochs=\(an integer of 16610 bits\)."),
        (
            lambda: eq.AdamW(betas=[0.9, 0.99]),
            r"a tuple \(float, float\), got betas=\[0.9, 0.99\]. Write it as a tuple",
        ),
        (lambda: eq.CIFAR10(folder="\udc80"), r"text without NUL and surrogate characters, got folder='\\udc80'"),
    ],
    ids=[f"message{number}" for number in range(10)],
)
def test_messages_say_what_to_write_instead(build: Callable[[], Spec], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        build()


@dataclass(frozen=True)
class Unusual(Spec, ABC, Generic[Value]):
    """A user's spec with annotations that are not understood."""

    anything: Any = None
    unknown: "NotDefinedAnywhere" = None  # type: ignore[name-defined]
    variable: Value | None = None
    function: Callable[[int], int] | None = None
    marked: Annotated[int, "metadata"] = 1
    items: list[int] = field(default_factory=list)
    count: "int" = 1
    secret: float = field(default=0.5, kw_only=True)


def test_what_is_not_understood_is_left_alone_and_the_rest_is_checked() -> None:
    odd = object()
    built = Unusual(odd, odd, odd, odd, 2, [1], 3, secret=1)
    assert (built.unknown, built.variable, built.function, built.secret) == (odd, odd, odd, 1)
    for name in ("marked", "count", "secret"):
        with pytest.raises(TypeError, match=rf"Unusual.{name} must be .*, got {name}='1'"):
            Unusual(**{name: "1"})


def test_a_class_with_its_own_init_takes_what_it_wants() -> None:
    @dataclass(frozen=True)
    class Own(Spec):
        size: int = 1

        def __init__(self, size: str) -> None:
            object.__setattr__(self, "size", int(size))

    assert Own("3").size == 3


def test_unknown_fields_are_named_with_those_that_are_near() -> None:
    with pytest.raises(TypeError, match=r"Inner has no field 'sizes'. Did you mean size\?"):
        Inner(sizes=1)
    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments but 3 were given"):
        Inner(1, 2)


def test_the_signature_is_that_of_the_fields() -> None:
    assert str(inspect.signature(Inner)) == "(size: int = 1) -> None"


def test_checks_enter_neither_the_code_digest_nor_the_class() -> None:
    before = compute_code_digest(Each)
    Each(count=2)
    assert compute_code_digest(Each) == before
    assert not {"__new__", "__init_subclass__"} & set(vars(Each))
    assert type(Each) is type
    assert "wrapped" not in vars(vars(Each)["__post_init__"])


def test_an_integer_for_a_number_is_one_level() -> None:
    assert to_canonical_json(eq.Recipe(label_smoothing=0)) == to_canonical_json(eq.Recipe(label_smoothing=0.0))


@given(st.text() | st.floats() | st.integers())
def test_usable_values_can_be_written_and_read(value: Any) -> None:
    usable = find_unusable((value,)) is None
    try:
        written = str(value).encode()
    except UnicodeEncodeError:
        written = b"\0"
    fits = not isinstance(value, int) or -(2**63) < value < 2**63
    assert usable == (b"\0" not in written and fits and (isinstance(value, str) or math.isfinite(value)))
