"""Rules for what moves positions without weights: flips, shifts, slices, reshapes, reductions and concatenations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

from torch import Tensor

from equistudy.exactness.callsite import CallSite, Rule, Ruling
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import (
    NO_AXES,
    AxisLetters,
    FunctionCall,
    PendingPadding,
    TracedLayout,
    get_layout,
    merge_layouts,
    reduce_layout,
    reshape_layout,
    source_dimensions,
)
from equistudy.exactness.padding import judge_axis_windows, pad_layout
from equistudy.exactness.windows import AxisWindows

__all__ = ["MOVING_RULES", "REDUCTIONS", "RESHAPE_FUNCTIONS", "judge_reshape"]

SPATIAL_AXES: AxisLetters = frozenset("hw")
REDUCTIONS = (
    *("mean", "sum", "amax", "amin", "max", "min", "std", "var", "var_mean", "std_mean"),
    *("logsumexp", "prod", "norm", "median", "linalg_vector_norm"),
)
MOST_PREFIX_TOKENS = 8
RESHAPE_FUNCTIONS = frozenset(
    {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel"}
)


def judge_reshape(call: FunctionCall, place: CallSite) -> Ruling:
    """A reshape: the same numbers in another shape."""
    return reshape_layout(place.layout, call.input.shape, call.output.shape, place.order), []


def _judge_flip(call: FunctionCall, place: CallSite) -> Ruling:
    sides = {"fliplr": [1], "flipud": [0]}
    given = call.args[1] if len(call.args) == 2 else call.args[1:] or call.kwargs.get("dims", sides.get(call.name))
    dims = [given] if isinstance(given, int) else list(given)
    return _flip_layout(place.layout, dims, place), []


def _flip_layout(layout: TracedLayout, dims: Sequence[int], place: CallSite) -> TracedLayout:
    """The layout with these dimensions reversed; in a flattened dimension rows and columns are both reversed."""
    for dim in dims:
        letters = layout.dims[dim] & SPATIAL_AXES
        if "g" in layout.dims[dim] or sum(bool(letters & other) for other in layout.dims) > 1:
            place.note_uncovered("flip")
        pending = {
            letter: replace(pad, before=pad.after, after=pad.before) if letter in letters else pad
            for letter, pad in layout.pending.items()
        }
        mover = place.name if letters else layout.mover
        layout = replace(layout, flipped=layout.flipped ^ letters, pending=pending, mover=mover)
    return layout


def _judge_quarter_turns(call: FunctionCall, place: CallSite) -> Ruling:
    """A quarter turn from the first towards the second dimension: a transposition, then a flip of the first."""
    turns, dims = call.get_argument(1, "k", 1) % 4, call.get_argument(2, "dims", (0, 1))
    first, second = (dim % call.input.ndim for dim in dims)
    layout = place.layout
    for _ in range(turns):
        order = list(range(call.input.ndim))
        order[first], order[second] = second, first
        sizes = [0] * call.input.ndim
        layout = _flip_layout(layout.with_places(order, sizes), [first], place)
    return layout.with_dims(layout.dims, call.output.shape), []


def _judge_roll(call: FunctionCall, place: CallSite) -> Ruling:
    shifts, dims = call.get_argument(1, "shifts"), call.get_argument(2, "dims")
    if dims is None or dims == ():
        place.note_uncovered("roll")
        return place.layout, []
    pairs = zip(*([value] if isinstance(value, int) else list(value) for value in (shifts, dims)), strict=True)
    layout = place.layout
    for shift, dim in pairs:
        letters, size = layout.dims[dim] & SPATIAL_AXES, call.input.shape[dim]
        if "g" in layout.dims[dim] or len(letters) > 1:
            place.note_uncovered("roll")
        elif letters:
            layout = _roll_letter(layout, next(iter(letters)), shift, size, place)
    return layout, []


def _roll_letter(layout: TracedLayout, letter: str, shift: int, size: int, place: CallSite) -> TracedLayout:
    known = layout.pending.get(letter)
    if known is not None and not known.rolled:
        place.note_uncovered("roll")
    total = (shift + (known.before if known else 0)) % size
    rest = {other: pad for other, pad in layout.pending.items() if other != letter}
    if 2 * total % size == 0:  # nothing, or half a turn, which commutes with mirror images
        return replace(layout, pending=rest)
    rolled = PendingPadding(size, total, -total, place.name, rolled=True)
    return replace(layout, pending={**rest, letter: rolled})


def _judge_permutation(call: FunctionCall, place: CallSite) -> Ruling:
    layout = place.layout.with_places(source_dimensions(call), call.output.shape)
    moved = layout.is_transposed != place.layout.is_transposed
    return replace(layout, mover=place.name) if moved else layout, []


def _judge_slice(call: FunctionCall, place: CallSite) -> Ruling:
    """x[...] with integers, slices, None and an ellipsis; the rules do not cover other indices of positions."""
    given = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    indices: list[Any] = list(given)
    shape = call.input.shape
    used = sum(index is not None and index is not Ellipsis for index in indices)
    gap = next((number for number, index in enumerate(indices) if isinstance(index, EllipsisType)), len(indices))
    indices[gap : gap + 1] = [slice(None)] * (len(shape) - used)
    if not all(index is None or isinstance(index, (int, slice)) for index in indices):
        return _judge_table_of_indices(call, place, indices)
    layout, kept, findings, dim = place.layout, [], [], 0
    for index in indices:
        if index is None:
            kept.append(NO_AXES)
            continue
        if isinstance(index, slice):
            layout, found = _slice_dimension(layout, dim, shape[dim], index, place)
            findings += found
            kept.append(layout.dims[dim])
        else:
            findings += _judge_single_index(layout.dims[dim], index, shape[dim], place)
        dim += 1
    return layout.with_dims(kept, call.output.shape), findings


def _judge_single_index(letters: AxisLetters, index: int, size: int, place: CallSite) -> list[BreakingLayer]:
    """A single row, column or group element; a class token in front of the other tokens is not a position."""
    if "g" in letters:
        place.note_uncovered("indexing")
    if len(letters & SPATIAL_AXES) != 1 or (size % 2 and index % size == size // 2):
        return []
    (letter,) = letters & SPATIAL_AXES
    detail = f"only number {index} of {size} is read"
    return [create_breaking_layer(place.name, Cause.DROPPED, detail, f"{letter}t")]


def _judge_table_of_indices(call: FunctionCall, place: CallSite, indices: Sequence[Any]) -> Ruling:
    """Indexing by tensors or lists. If they do not index positions, the other dimensions stay as they are."""
    counted = [index for index in indices if index is not None]
    touched = [
        number
        for number, index in enumerate(counted)
        if not (isinstance(index, slice) and index == slice(None)) and place.layout.dims[number]
    ]
    if touched or len(counted) != call.input.ndim or call.output.ndim != call.input.ndim or None in indices:
        place.note_uncovered("indexing by a table")
        layout = merge_layouts([call.input], call.input.shape)
        same = call.output.ndim == call.input.ndim
        return layout.with_dims(layout.dims if same else [NO_AXES] * call.output.ndim, call.output.shape), []
    return place.layout.with_dims(place.layout.dims, call.output.shape), []


def _slice_dimension(
    layout: TracedLayout, dim: int, size: int, index: slice, place: CallSite
) -> tuple[TracedLayout, list[BreakingLayer]]:
    """A slice along one dimension: a crop, or windows of one cell with a stride. It may drop prefix tokens."""
    start, stop, step = index.indices(size)
    letters = layout.dims[dim]
    if "g" in letters and (start, stop, step) != (0, size, 1) and (start % place.order or stop % place.order):
        place.note_uncovered("slicing of a regular field")
    if step == 1:
        joined = len(letters & SPATIAL_AXES) > 1
        if joined and start == 0 and stop <= MOST_PREFIX_TOKENS and not (layout.factors and layout.factors[dim]):
            dims = [NO_AXES if number == dim else kept for number, kept in enumerate(layout.dims)]
            return replace(layout, dims=tuple(dims)), []  # class and register tokens, which are no positions
        if joined and stop < size:
            place.note_uncovered("slicing of tokens")
        return pad_layout(layout, dim, size, (-start, stop - size), place.name), []
    return judge_axis_windows(layout, dim, AxisWindows(size, 1, step, -start, stop - size), place)


def _judge_narrow(call: FunctionCall, place: CallSite) -> Ruling:
    start, length = int(call.get_argument(2, "start")), call.get_argument(3, "length")
    dim = call.get_argument(1, "dim") % call.input.ndim
    size = call.input.shape[dim]
    layout, findings = _slice_dimension(place.layout, dim, size, slice(start % size, start % size + length), place)
    return layout.with_dims(layout.dims, call.output.shape), findings


def _judge_pieces(call: FunctionCall, place: CallSite) -> Ruling:
    """chunk, split and tensor_split: one crop for each piece."""
    dim = (call.kwargs["dim"] if "dim" in call.kwargs else call.get_argument(2, "dim", 0)) % call.input.ndim
    layouts, start, size = [], 0, call.input.shape[dim]
    for piece in call.output:
        stop = start + piece.shape[dim]
        layout, _ = _slice_dimension(place.layout, dim, size, slice(start, stop), place)
        layouts.append(layout.with_dims(layout.dims, piece.shape))
        start = stop
    return layouts, []


def _judge_tensor_unfold(call: FunctionCall, place: CallSite) -> Ruling:
    """Windows along one dimension, whose cells become a new last dimension."""
    dim = call.get_argument(1, "dimension") % call.input.ndim
    kernel, stride = call.get_argument(2, "size"), call.get_argument(3, "step")
    windows = AxisWindows(call.input.shape[dim], kernel, stride)
    layout, findings = judge_axis_windows(place.layout, dim, windows, place)
    return layout.with_dims([*layout.dims, layout.dims[dim]], call.output.shape), findings


def _judge_reduction(call: FunctionCall, place: CallSite) -> Ruling:
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    layout = reduce_layout(call, place.layout, output.shape)
    one_left = place.layout.letters >= SPATIAL_AXES and len(layout.letters & SPATIAL_AXES) == 1
    return replace(layout, reduced=call.name if one_left else ""), []


def _judge_unbind(call: FunctionCall, place: CallSite) -> Ruling:
    dim = call.get_argument(1, "dim", 0) % call.input.ndim
    kept = [number for number in range(call.input.ndim) if number != dim]
    results = [call.output] if isinstance(call.output, Tensor) else list(call.output)
    size, findings = call.input.shape[dim], []
    for number in [call.get_argument(2, "index")] if call.name == "select" else range(size):
        findings += _judge_single_index(place.layout.dims[dim], number, size, place)
    return place.layout.with_places(kept, results[0].shape), findings


def _judge_stack(call: FunctionCall, place: CallSite) -> Ruling:
    layout, dim = merge_layouts(call.tensors, call.input.shape), call.get_argument(1, "dim", 0) % call.output.ndim
    dims = [*layout.dims]
    dims.insert(dim, NO_AXES)
    constants = [tensor for tensor in call.tensors if get_layout(tensor) is None]
    findings = place.judge_constants(constants, layout, call.input.shape, call.name)
    return layout.with_dims(dims, call.output.shape), findings


def _judge_concatenation(call: FunctionCall, place: CallSite) -> Ruling:
    """Concatenation of channels, or of tokens from several sources; along rows or columns it is not covered."""
    dim = call.get_argument(1, "dim", call.kwargs.get("axis", 0)) % call.output.ndim
    layout = merge_layouts(call.tensors, call.output.shape)
    constants = [tensor for tensor in call.tensors if get_layout(tensor) is None]
    if "g" in layout.dims[dim] and not all(_has_group(tensor, dim) for tensor in call.tensors):
        place.note_uncovered(call.name)
    if len(layout.dims[dim] & SPATIAL_AXES) == 1:
        place.note_uncovered(call.name)
        return layout, []
    others = replace(
        layout, dims=tuple(NO_AXES if d == dim else letters for d, letters in enumerate(layout.dims)), factors=()
    )
    factors = tuple(() if d == dim else parts for d, parts in enumerate(layout.factors))
    others = replace(others, factors=factors)
    return layout, place.judge_constants(constants, others, call.output.shape, call.name)


def _has_group(tensor: Tensor, dim: int) -> bool:
    layout = get_layout(tensor)
    return layout is not None and "g" in layout.dims[dim]


def _judge_pixel_unshuffle(call: FunctionCall, place: CallSite) -> Ruling:
    dims = [*place.layout.dims]
    dims[-3] = dims[-3] | dims[-2] | dims[-1]
    return place.layout.with_dims(dims, call.output.shape), []


def _judge_pixel_shuffle(call: FunctionCall, place: CallSite) -> Ruling:
    layout = place.layout.with_dims(place.layout.dims, call.output.shape)
    return layout, [create_breaking_layer(place.name, Cause.PHASES, "neighbouring pixels come from different channels")]


def _judge_along_dimension(call: FunctionCall, place: CallSite) -> Ruling:
    """Functions along one dimension, such as a cumulative sum: covered if the dimension has no positions."""
    dim = call.kwargs.get("dim", next((arg for arg in call.args[1:] if isinstance(arg, int)), -1))
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    if place.layout.dims[dim]:
        place.note_uncovered(call.name)
    same = output.ndim == len(place.layout.dims)
    dims = place.layout.dims if same else [NO_AXES] * output.ndim
    if output.ndim == len(place.layout.dims) - 1:
        dims = [letters for number, letters in enumerate(place.layout.dims) if number != dim % call.input.ndim]
    return place.layout.with_dims(dims, output.shape), []


_BY_RULE: Mapping[Rule, str] = {
    _judge_flip: "flip fliplr flipud",
    _judge_quarter_turns: "rot90",
    _judge_roll: "roll",
    _judge_permutation: "permute transpose transpose_ swapaxes swapdims movedim moveaxis t T mT",
    _judge_slice: "__getitem__",
    _judge_narrow: "narrow",
    _judge_pieces: "chunk split tensor_split split_with_sizes",
    _judge_reduction: " ".join(REDUCTIONS),
    _judge_unbind: "unbind select",
    _judge_stack: "stack",
    _judge_concatenation: "cat concat concatenate",
    _judge_pixel_unshuffle: "pixel_unshuffle",
    _judge_pixel_shuffle: "pixel_shuffle",
    _judge_along_dimension: "cumsum cumprod logcumsumexp cummax cummin sort argsort topk kthvalue argmax argmin"
    " index_select gather diff repeat_interleave glu",
}
MOVING_RULES: Mapping[str, Rule] = {name: rule for rule, names in _BY_RULE.items() for name in names.split()}
MOVING_RULES = {**MOVING_RULES, "Tensor.unfold": _judge_tensor_unfold}
