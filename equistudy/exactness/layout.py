"""Layouts: which dimensions of a tensor are rows, columns or group elements, tracked through every operation.

A letter says what a dimension indexes: "h" rows, "w" columns, "g" elements of the group; tokens, one per position, have
"hw". Dimensions without letters, such as channels, are not affected when the image is transformed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from torch import Tensor

__all__ = [
    "NO_AXES",
    "AxisLetters",
    "FunctionCall",
    "PendingPadding",
    "get_layout",
    "merge_layouts",
    "reduce_layout",
    "reshape_layout",
    "source_dimensions",
]

AxisLetters = frozenset[str]
NO_AXES: AxisLetters = frozenset()
Shape = Sequence[int]
AxisFactors = tuple[tuple[int, AxisLetters], ...]


@dataclass(frozen=True)
class PendingPadding:
    """Padding (or, if negative, a crop) that differs between the sides of an axis, judged by the layer that reads it.

    Padding of one axis alone is pending until the other axis gets the same. A circular shift by k cells is represented
    by padding by k before and a crop by k after, with `rolled` set. `adds_equals` says whether all added cells hold the
    same value, and `lost` how many cells were cropped and then padded again on each side.
    """

    size: int
    before: int
    after: int
    name: str
    rolled: bool = False
    adds_equals: bool = True
    lost: tuple[int, int] = (0, 0)

    @property
    def sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """What was added and lost before and after the axis."""
        return (self.before, self.lost[0]), (self.after, self.lost[1])

    @property
    def is_lopsided(self) -> bool:
        """Whether the two sides differ."""
        return self.sides[0] != self.sides[1]

    def add(self, before: int, after: int) -> "PendingPadding":
        """This padding followed by more. Padding does not restore what was cropped."""
        lost = tuple(
            max(lost, min(-known, more)) if known < 0 < more else lost
            for known, more, lost in zip((self.before, self.after), (before, after), self.lost, strict=True)
        )
        return replace(self, before=self.before + before, after=self.after + after, lost=(lost[0], lost[1]))


@dataclass(frozen=True)
class TracedLayout:
    """The letters of each dimension, the pixels between neighbouring cells, and padding not yet judged, by letter.

    `factors` holds, for a flattened dimension, the sizes and letters of its parts, outermost first; it is empty for a
    dimension that was never flattened or has changed since. `flipped` are the letters whose order is reversed relative
    to the image, and `mover` is the layer that last reversed or exchanged axes. `steps` are strides and windows along
    one axis that are pending until the other axis gets the same, and `reduced` is how one axis was reduced first.
    """

    dims: tuple[AxisLetters, ...]
    stride: Fraction = Fraction(1)
    pending: Mapping[str, PendingPadding] = field(default_factory=dict)
    factors: tuple[AxisFactors, ...] = ()
    flipped: AxisLetters = NO_AXES
    mover: str = ""
    steps: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    reduced: str = ""

    @property
    def letters(self) -> AxisLetters:
        """The letters of all dimensions together."""
        return NO_AXES.union(*self.dims)

    @property
    def is_transposed(self) -> bool:
        """Whether columns come before rows; False if their order is unknown."""
        known = self.factors or ((),) * len(self.dims)
        order = [letters for dim, parts in zip(self.dims, known, strict=True) for _, letters in parts or ((0, dim),)]
        single = [letters & {"h", "w"} for letters in order if len(letters & {"h", "w"}) == 1]
        return bool(single) and frozenset("h") in single and single[0] == frozenset("w")

    @property
    def frame(self) -> tuple[AxisLetters, bool]:
        """Which axes are reversed, and whether rows and columns are exchanged, relative to the image."""
        return self.flipped & self.letters, self.is_transposed

    def with_dims(self, dims: Iterable[AxisLetters], shape: Shape) -> "TracedLayout":
        """The layout with other dimensions; a dimension of size 1 gets no letters.

        The factors of a dimension are kept if its position, letters and size stay the same.
        """
        new = tuple(NO_AXES if size == 1 else dim for dim, size in zip(dims, shape, strict=True))
        known = self.factors if len(self.factors) == len(new) else ((),) * len(new)
        kept = (
            parts if parts and math.prod(count for count, _ in parts) == size and letters == self.dims[place] else ()
            for place, (parts, letters, size) in enumerate(zip(known, new, shape, strict=True))
        )
        flipped = self.flipped & NO_AXES.union(*new)
        return replace(self, dims=new, factors=tuple(kept), flipped=flipped)

    def with_places(self, places: Sequence[int], shape: Shape) -> "TracedLayout":
        """The layout with the dimensions permuted to this order."""
        known = self.factors or ((),) * len(self.dims)
        moved = replace(
            self, dims=tuple(self.dims[place] for place in places), factors=tuple(known[place] for place in places)
        )
        return moved.with_dims(moved.dims, shape)


def get_layout(value: Any) -> TracedLayout | None:
    """The layout of a tensor; None for anything that does not depend on the image or is not a tensor."""
    return getattr(value, "layout_of_positions", None) if isinstance(value, Tensor) else None


@dataclass(frozen=True)
class FunctionCall:
    """A call of a torch function: its name, its arguments and its result."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any

    def get_argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments, including those in lists."""
        found: list[Tensor] = []
        for value in (*self.args, *self.kwargs.values()):
            found.extend(item for item in (value if isinstance(value, (list, tuple)) else [value]) if _is_tensor(item))
        return found

    @property
    def input(self) -> Tensor:
        """The first tensor that depends on the image."""
        return next(tensor for tensor in self.tensors if get_layout(tensor) is not None)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def merge_layouts(tensors: Iterable[Tensor], shape: Shape) -> TracedLayout:
    """The layout of the result of an elementwise operation, aligned at the last dimension as in broadcasting."""
    found = [(tensor, layout) for tensor in tensors if (layout := get_layout(tensor)) is not None]
    dims = [NO_AXES] * len(shape)
    for _, layout in found:
        for back, letters in enumerate(reversed(layout.dims[-len(shape) :] if shape else ()), start=1):
            clash = len(dims[-back]) == len(letters) == 1 and dims[-back] | letters == {"h", "w"}
            dims[-back] |= NO_AXES if clash else letters
    largest = max(
        (layout for _, layout in found), key=lambda layout: (bool(layout.letters & {"h", "w"}), layout.stride)
    )
    pending = {letter: pad for _, layout in found for letter, pad in layout.pending.items()}
    return replace(largest, pending=pending).with_dims(dims, shape)


def reshape_layout(layout: TracedLayout, before: Shape, after: Shape, order: int) -> TracedLayout:
    """The layout after a reshape: dimensions are split and joined in groups of equal product.

    Tokens of unknown origin that are split in two become rows and columns. Group elements are the last factor of their
    dimension.
    """
    known = layout.factors or ((),) * len(before)
    dims, factors = [NO_AXES] * len(after), [()] * len(after)  # type: list[AxisLetters], list[AxisFactors]
    for sources, targets in _matching_runs(before, after):
        letters = NO_AXES.union(*(layout.dims[source] for source in sources))
        if "g" not in letters:
            parts = [part for d in sources for part in known[d] or ((before[d], layout.dims[d]),)]
            split = _split_factors(parts, [after[target] for target in targets])
            for target, part in zip(targets, split or (), strict=False):
                dims[target], factors[target] = NO_AXES.union(*(letters for _, letters in part)), part
            if split is not None:
                continue
        if "g" in letters and len(letters) > 1 and len(targets) == 2 and after[targets[0]] == order:
            dims[targets[0]], dims[targets[1]] = frozenset("g"), letters - {"g"}
            continue
        for target in targets:
            inner = target == targets[-1] or after[targets[-1]] != order
            dims[target] = letters if inner else letters - {"g"}
    return replace(layout, dims=tuple(dims), factors=tuple(factors)).with_dims(dims, after)


def _split_factors(parts: Sequence[tuple[int, AxisLetters]], sizes: Sequence[int]) -> list[AxisFactors] | None:
    """The parts, outermost first, distributed over dimensions of these sizes; None if a boundary cuts through a part.

    A part that is split keeps its letters on both sides, except tokens, which become rows, then columns.
    """
    left, found = list(parts), []
    for size in sizes:
        taken: list[tuple[int, AxisLetters]] = []
        room = size
        while room > 1:
            count, letters = left.pop(0)
            if count > room:
                if count % room:
                    return None
                tokens = letters == {"h", "w"}
                left.insert(0, (count // room, frozenset("w") if tokens else letters))
                count, letters = room, frozenset("h") if tokens else letters
            elif room % count:
                return None
            taken.append((count, letters))
            room //= count
        found.append(tuple(taken))
    return found


def _matching_runs(before: Shape, after: Shape) -> Iterable[tuple[list[int], list[int]]]:
    """Dimensions, without those of size 1, in the shortest runs with equal products."""
    left = [dim for dim, size in enumerate(before) if size != 1]
    right = [dim for dim, size in enumerate(after) if size != 1]
    while left and right:
        sources, targets = [left.pop(0)], [right.pop(0)]
        while (a := math.prod(before[d] for d in sources)) != (b := math.prod(after[d] for d in targets)):
            grows, rest = (sources, left) if a < b else (targets, right)
            if not rest:
                break
            grows.append(rest.pop(0))
        yield sources, targets


def source_dimensions(call: FunctionCall) -> tuple[int, ...]:
    """For transpose, permute and similar functions: the old dimension of each new one."""
    count = call.input.ndim
    order = list(range(count))
    if call.name == "permute":
        dims = call.args[1] if len(call.args) == 2 and not isinstance(call.args[1], int) else call.args[1:]
        return tuple(dim % count for dim in (dims or call.kwargs["dims"]))
    if call.name in ("movedim", "moveaxis"):
        first, then = (_to_sequence(call.get_argument(i, name)) for i, name in ((1, "source"), (2, "destination")))
        rest = [dim for dim in order if dim not in {d % count for d in first}]
        for target, source in sorted(zip((d % count for d in then), (d % count for d in first), strict=True)):
            rest.insert(target, source)
        return tuple(rest)
    exchanged = (
        (call.get_argument(1, "dim0", -1), call.get_argument(2, "dim1", -2))
        if call.name in ("transpose", "swapaxes")
        else (-1, -2)
    )
    first_dim, second_dim = (dim % count for dim in exchanged)
    order[first_dim], order[second_dim] = second_dim, first_dim
    return tuple(order)


def _to_sequence(value: int | Sequence[int]) -> Sequence[int]:
    return [value] if isinstance(value, int) else value


def reduce_layout(call: FunctionCall, layout: TracedLayout, shape: Shape) -> TracedLayout:
    """The layout after a sum, mean or extremum over some dimensions."""
    count = len(layout.dims)
    given = call.get_argument(1, "dim", call.kwargs.get("axis"))
    over = {dim % count for dim in _to_sequence(given)} if given is not None else set(range(count))
    kept = [dim for number, dim in enumerate(layout.dims) if number not in over]
    if len(shape) == count:
        kept = [NO_AXES if number in over else dim for number, dim in enumerate(layout.dims)]
    return layout.with_dims(kept, shape) if len(kept) == len(shape) else layout.with_dims([NO_AXES] * len(shape), shape)
