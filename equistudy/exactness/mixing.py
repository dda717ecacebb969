"""Rules for weights that tell positions or group elements apart, and for what moves dimensions without weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

from torch import Tensor

from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import (
    NO_AXES,
    AxisLetters,
    FunctionCall,
    TracedLayout,
    get_layout,
    merge_layouts,
    reduce_layout,
    reshape_layout,
    source_dimensions,
)
from equistudy.exactness.sampling import CallSite, pad_layout
from equistudy.exactness.windows import AxisWindows

__all__ = ["ELEMENTWISE_FUNCTIONS", "MIXING_RULES", "RESHAPE_FUNCTIONS", "judge_elementwise", "judge_reshape"]

Ruling = tuple[TracedLayout, list[BreakingLayer]]
SPATIAL_AXES: AxisLetters = frozenset("hw")

HEAD_REPAIRS = {
    True: "pooling over the group (coset pooling) before the linear layer",
    False: "global pooling before the linear layer",
}


def _judge_linear(call: FunctionCall, place: CallSite) -> Ruling:
    letters = place.layout.dims[-1]
    layout = place.layout.with_dims([*place.layout.dims[:-1], NO_AXES], call.output.shape)
    return layout, _find_mixed_axes(letters, call.input.ndim == 2, call.input.shape[-1], place)


def _find_mixed_axes(letters: AxisLetters, head: bool, count: int, place: CallSite) -> list[BreakingLayer]:
    """A finding if weights are summed over a dimension of `count` indices that moves."""
    if not letters:
        return []
    what = " and ".join(name for letter, name in MOVING_AXES.items() if letters & set(letter))
    group = letters == {"g"}
    if head or group:
        detail = f"{count} inputs hold {what}, each with its own weight"
        return [create_breaking_layer(place.name, Cause.HEAD, detail, HEAD_REPAIRS[group])]
    detail = f"one weight for every pair of {count} indices, which hold {what}"
    return [create_breaking_layer(place.name, Cause.MIXED, detail, "convolution or attention over positions")]


MOVING_AXES = {"hw": "positions", "g": "group elements"}


def _judge_matrix_product(call: FunctionCall, place: CallSite) -> Ruling:
    """A matrix product: rows of the first and columns of the second factor stay, the rest is summed."""
    left, right = call.tensors[:2]
    if "rmatmul" in call.name:
        left, right = right, left
    dims = _get_dims(left), _get_dims(right)
    letters = dims[0][-1] | (dims[1][-2] if right.ndim > 1 else dims[1][0])
    constant = get_layout(left) is None or get_layout(right) is None
    findings = _find_mixed_axes(letters, left.ndim == 2, left.shape[-1], place) if constant else []
    leading = merge_layouts([tensor for tensor in (left, right) if get_layout(tensor) is not None], call.output.shape)
    kept = [*leading.dims]
    if right.ndim > 1 and kept:
        kept[-1] = dims[1][-1]
    if left.ndim > 1 and len(kept) > 1:
        kept[-2] = dims[0][-2]
    return leading.with_dims(kept, call.output.shape), findings


def _get_dims(tensor: Tensor) -> tuple[AxisLetters, ...]:
    layout = get_layout(tensor)
    return (NO_AXES,) * tensor.ndim if layout is None else layout.dims


def _judge_einsum(call: FunctionCall, place: CallSite) -> Ruling:
    equation, operands = call.args[0].replace(" ", ""), call.tensors
    inputs, _, output = equation.partition("->")
    known: dict[str, AxisLetters] = {}
    for term, tensor in zip(inputs.split(","), operands, strict=True):
        for index, letters in zip(term, _get_dims(tensor), strict=False):
            known[index] = known.get(index, NO_AXES) | letters
    constant = {
        index for term, t in zip(inputs.split(","), operands, strict=True) if not get_layout(t) for index in term
    }
    findings = [
        finding
        for index in sorted(constant - set(output))
        for finding in _find_mixed_axes(
            known.get(index, NO_AXES), False, _einsum_index_size(index, inputs, operands), place
        )
    ]
    kept = [known.get(index, NO_AXES) for index in output]
    layout = merge_layouts([call.input], call.input.shape)
    return (layout.with_dims(kept, call.output.shape) if len(kept) == call.output.ndim else layout), findings


def _einsum_index_size(index: str, inputs: str, operands: Sequence[Tensor]) -> int:
    pairs = zip(inputs.split(","), operands, strict=True)
    return next(tensor.shape[term.index(index)] for term, tensor in pairs if index in term)


def _judge_attention(call: FunctionCall, place: CallSite) -> Ruling:
    layout = merge_layouts([call.tensors[0]], call.tensors[0].shape)
    first = call.output[0] if isinstance(call.output, tuple) else call.output
    mask = call.get_argument(3, "attn_mask")
    findings: list[BreakingLayer] = []
    if isinstance(mask, Tensor) and get_layout(mask) is None and max(mask.shape[-2:]) > 1:
        findings = [_create_embedding_finding(place, mask, "attention shifted")]
    return layout.with_dims(layout.dims, first.shape), findings


def _create_embedding_finding(place: CallSite, numbers: Tensor, how: str, broken: str = "hwt") -> BreakingLayer:
    return create_breaking_layer(
        getattr(numbers, "path_in_network", place.name),
        Cause.POSITION,
        f"{how} by numbers of their own for every position",
        "none at all, or one computed by convolutions with symmetric windows",
        broken,
    )


def _judge_batch_norm(call: FunctionCall, place: CallSite) -> Ruling:
    return place.layout, _find_channel_wise(call, place, place.layout.dims[1], "statistics and weights")


def _judge_group_norm(call: FunctionCall, place: CallSite) -> Ruling:
    letters, groups = place.layout.dims[1], call.get_argument(1, "num_groups", 1)
    whole = letters <= {"g"} and (call.input.shape[1] // max(place.order, 1)) % groups == 0
    told = call.get_argument(2, "weight") is not None or not (groups == 1 or whole)
    return place.layout, _find_channel_wise(call, place, letters if told else NO_AXES, "weights")


def _judge_instance_norm(call: FunctionCall, place: CallSite) -> Ruling:
    affine = call.get_argument(3, "weight") is not None
    return place.layout, _find_channel_wise(call, place, place.layout.dims[1] if affine else NO_AXES, "weights")


def _judge_layer_norm(call: FunctionCall, place: CallSite) -> Ruling:
    over = place.layout.dims[-len(call.get_argument(1, "normalized_shape")) :]
    affine = call.get_argument(2, "weight") is not None
    return place.layout, _find_channel_wise(call, place, NO_AXES.union(*over) if affine else NO_AXES, "weights")


def _judge_response_norm(call: FunctionCall, place: CallSite) -> Ruling:
    return place.layout, _find_channel_wise(call, place, place.layout.dims[1] & {"g"}, "neighbours")


def _judge_slopes(call: FunctionCall, place: CallSite) -> Ruling:
    own = call.get_argument(1, "weight").numel() > 1
    return place.layout, _find_channel_wise(call, place, place.layout.dims[1] if own else NO_AXES, "slopes")


def _find_channel_wise(call: FunctionCall, place: CallSite, letters: AxisLetters, what: str) -> list[BreakingLayer]:
    if not letters:
        return []
    of = " and ".join(name for moving, name in MOVING_AXES.items() if letters & set(moving))
    detail = f"{call.name} has other {what} for different {of}"
    return [create_breaking_layer(place.name, Cause.NORM, detail, f"the same {what} for all {of}")]


def _find_constants(call: FunctionCall, layout: TracedLayout) -> dict[str, Tensor]:
    """Tensors that do not depend on the image, by the letters of the dimensions along which they vary."""
    found: dict[str, Tensor] = {}
    for tensor in call.tensors:
        if get_layout(tensor) is None:
            pairs = zip(reversed(tensor.shape), reversed(layout.dims), strict=False)
            letters = NO_AXES.union(*(dim for size, dim in pairs if size > 1))
            found |= dict.fromkeys(sorted(letters), tensor)
    return found


def judge_elementwise(call: FunctionCall, place: CallSite) -> Ruling:
    """Anything that treats every position alike, except where it meets a tensor that does not depend on the image."""
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    layout = merge_layouts(call.tensors, output.shape)
    if call.name not in ELEMENTWISE_FUNCTIONS:
        return layout, []
    found = _find_constants(call, layout)
    broken = "".join(letter for letter in "hw" if letter in found)
    if broken:
        how = "multiplied" if "mul" in call.name else "shifted"
        return layout, [_create_embedding_finding(place, found[broken[0]], how, f"{broken}t")]
    return layout, _find_channel_wise(call, place, frozenset("g") if found else NO_AXES, "numbers")


_BASE = ("add", "sub", "mul", "div", "rsub", "true_divide", "where", "maximum", "minimum")
ELEMENTWISE_FUNCTIONS = frozenset(
    name for base in _BASE for name in (base, f"{base}_", f"__{base}__", f"__r{base}__", f"__i{base}__")
)


def _judge_sequence_convolution(call: FunctionCall, place: CallSite) -> Ruling:
    """A convolution along one dimension, of tokens or of channels."""
    channels, along = place.layout.dims[1] & SPATIAL_AXES, place.layout.dims[-1]
    layout = place.layout.with_dims([*place.layout.dims[:-2], NO_AXES, along], call.output.shape)
    if channels:
        detail = "the convolution sums over neighbouring pixels as over channels"
        return layout, [create_breaking_layer(place.name, Cause.PHASES, detail, "a two-dimensional convolution")]
    return layout, _find_mixed_axes(
        along if call.get_argument(1, "weight").shape[-1] > 1 else NO_AXES, False, call.input.shape[-1], place
    )


def _judge_roll(call: FunctionCall, place: CallSite) -> Ruling:
    shifts, dims = call.get_argument(1, "shifts"), call.get_argument(2, "dims")
    pairs = (
        zip(*([v] if isinstance(v, int) else list(v) for v in (shifts, dims)), strict=True) if dims is not None else ()
    )
    broken = NO_AXES.union(
        *(place.layout.dims[dim] & SPATIAL_AXES for shift, dim in pairs if shift % call.input.shape[dim])
    )
    detail = f"content moves by {shifts} cells in a circle"
    alike = broken == SPATIAL_AXES and (isinstance(shifts, int) or len(set(shifts)) == 1)
    letters = "".join(broken) + ("" if alike else "t")
    findings = (
        [create_breaking_layer(place.name, Cause.SHIFTED, detail, "windows without shifts", letters)] if broken else []
    )
    return place.layout, findings


def _judge_permutation(call: FunctionCall, place: CallSite) -> Ruling:
    return place.layout.with_places(source_dimensions(call), call.output.shape), []


def _judge_slice(call: FunctionCall, place: CallSite) -> Ruling:
    """x[...] with integers, slices, None and an ellipsis; other indices leave nothing known."""
    given = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    indices: list[Any] = list(given)
    shape = call.input.shape
    used = sum(index is not None and index is not Ellipsis for index in indices)
    gap = next((number for number, index in enumerate(indices) if isinstance(index, EllipsisType)), len(indices))
    indices[gap : gap + 1] = [slice(None)] * (len(shape) - used)
    if not all(index is None or isinstance(index, (int, slice)) for index in indices):
        return place.layout.with_dims([NO_AXES] * call.output.ndim, call.output.shape), []
    layout, kept, findings, dim = place.layout, [], [], 0
    for index in indices:
        if index is None:
            kept.append(NO_AXES)
            continue
        if isinstance(index, slice):
            layout, found = _slice_dimension(layout, dim, shape[dim], index, place)
            findings += found
            kept.append(layout.dims[dim])
        elif len(layout.dims[dim] & SPATIAL_AXES) == 1:
            detail, broken = f"only number {index} of {shape[dim]} is read", "".join(layout.dims[dim] & SPATIAL_AXES)
            findings.append(
                create_breaking_layer(place.name, Cause.DROPPED, detail, "a mean over all of them", f"{broken}t")
            )
        dim += 1
    return layout.with_dims(kept, call.output.shape), findings


def _slice_dimension(
    layout: TracedLayout, dim: int, size: int, index: slice, place: CallSite
) -> tuple[TracedLayout, list[BreakingLayer]]:
    """A slice along one dimension: a crop, or windows of one cell with a stride. Tokens may leave a prefix."""
    start, stop, step = index.indices(size)
    letters = layout.dims[dim] & SPATIAL_AXES
    if step == 1:
        return pad_layout(layout, dim, size, (-start, stop - size), place.name), []
    windows = AxisWindows(size, 1, step, -start, stop - size)
    if not letters or (windows.is_exact and len(letters) == 1):
        return layout, []
    detail, repair = f"every {step}. of {size}, from number {start}", f"average pooling with stride {step}"
    return layout, [create_breaking_layer(place.name, Cause.DROPPED, detail, repair, "".join(letters))]


def _judge_reduction(call: FunctionCall, place: CallSite) -> Ruling:
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    return reduce_layout(call, place.layout, output.shape), []


def _judge_unbind(call: FunctionCall, place: CallSite) -> Ruling:
    dim = call.get_argument(1, "dim", 0) % call.input.ndim
    kept = [number for number in range(call.input.ndim) if number != dim]
    return place.layout.with_places(kept, call.output[0].shape), []


def _judge_stack(call: FunctionCall, place: CallSite) -> Ruling:
    layout, dim = merge_layouts(call.tensors, call.input.shape), call.get_argument(1, "dim", 0) % call.output.ndim
    dims = [*layout.dims]
    dims.insert(dim, NO_AXES)
    return layout.with_dims(dims, call.output.shape), []


def _judge_pixel_unshuffle(call: FunctionCall, place: CallSite) -> Ruling:
    dims = [*place.layout.dims]
    dims[-3] = dims[-3] | dims[-2] | dims[-1]
    return place.layout.with_dims(dims, call.output.shape), []


def _judge_pixel_shuffle(call: FunctionCall, place: CallSite) -> Ruling:
    detail, repair = "neighbouring pixels come from different channels", "interpolation, then a convolution"
    layout = replace(place.layout).with_dims(place.layout.dims, call.output.shape)
    return layout, [create_breaking_layer(place.name, Cause.PHASES, detail, repair)]


Rule = Callable[[FunctionCall, CallSite], Ruling]
_BY_RULE: Mapping[Rule, str] = {
    _judge_linear: "linear",
    _judge_matrix_product: "matmul mm bmm __matmul__ __rmatmul__",
    _judge_einsum: "einsum",
    _judge_attention: "scaled_dot_product_attention multi_head_attention_forward",
    _judge_batch_norm: "batch_norm",
    _judge_group_norm: "group_norm",
    _judge_instance_norm: "instance_norm",
    _judge_layer_norm: "layer_norm",
    _judge_response_norm: "local_response_norm",
    _judge_slopes: "prelu",
    _judge_sequence_convolution: "conv1d",
    _judge_roll: "roll",
    _judge_permutation: "permute transpose swapaxes movedim moveaxis t T mT",
    _judge_slice: "__getitem__",
    _judge_reduction: "mean sum amax amin max min std var logsumexp prod norm",
    _judge_unbind: "unbind select",
    _judge_stack: "stack",
    _judge_pixel_unshuffle: "pixel_unshuffle",
    _judge_pixel_shuffle: "pixel_shuffle",
}
MIXING_RULES: Mapping[str, Rule] = {name: rule for rule, names in _BY_RULE.items() for name in names.split()}
RESHAPE_FUNCTIONS = frozenset(
    {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}
)


def judge_reshape(call: FunctionCall, place: CallSite) -> Ruling:
    """The same numbers under another shape."""
    return reshape_layout(place.layout, call.input.shape, call.output.shape, place.order), []
