"""Rules for weights that tell positions or group elements apart, and for what moves dimensions without weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

from torch import Tensor

from equistudy.exactness.findings import Cause, Finding, breaks
from equistudy.exactness.layout import (
    NONE,
    Call,
    Layout,
    Letters,
    layout_of,
    merged,
    moved_dimensions,
    rearranged,
    reduced,
)
from equistudy.exactness.sampling import Place, cropped
from equistudy.exactness.windows import Windows

__all__ = ["ELEMENTWISE", "MIXING", "RESHAPES", "elementwise", "reshaped"]

Ruling = tuple[Layout, list[Finding]]
SPACE: Letters = frozenset("hw")

HEAD_REPAIRS = {
    True: "pooling over the group (coset pooling) before the linear layer",
    False: "global pooling before the linear layer",
}


def _linear(call: Call, place: Place) -> Ruling:
    letters = place.layout.dims[-1]
    layout = place.layout.with_dims([*place.layout.dims[:-1], NONE], call.output.shape)
    return layout, _mixed(letters, call.input.ndim == 2, call.input.shape[-1], place)


def _mixed(letters: Letters, head: bool, count: int, place: Place) -> list[Finding]:
    """A finding if weights are summed over a dimension of `count` indices that moves."""
    if not letters:
        return []
    what = " and ".join(name for letter, name in MOVING.items() if letters & set(letter))
    group = letters == {"g"}
    if head or group:
        detail = f"{count} inputs hold {what}, each with its own weight"
        return [breaks(place.name, Cause.HEAD, detail, HEAD_REPAIRS[group])]
    detail = f"one weight for every pair of {count} indices, which hold {what}"
    return [breaks(place.name, Cause.MIXED, detail, "convolution or attention over positions")]


MOVING = {"hw": "positions", "g": "group elements"}


def _product(call: Call, place: Place) -> Ruling:
    """A matrix product: rows of the first and columns of the second factor stay, the rest is summed."""
    left, right = call.tensors[:2]
    if "rmatmul" in call.name:
        left, right = right, left
    dims = _dims(left), _dims(right)
    letters = dims[0][-1] | (dims[1][-2] if right.ndim > 1 else dims[1][0])
    constant = layout_of(left) is None or layout_of(right) is None
    findings = _mixed(letters, left.ndim == 2, left.shape[-1], place) if constant else []
    leading = merged([tensor for tensor in (left, right) if layout_of(tensor) is not None], call.output.shape)
    kept = [*leading.dims]
    if right.ndim > 1 and kept:
        kept[-1] = dims[1][-1]
    if left.ndim > 1 and len(kept) > 1:
        kept[-2] = dims[0][-2]
    return leading.with_dims(kept, call.output.shape), findings


def _dims(tensor: Tensor) -> tuple[Letters, ...]:
    layout = layout_of(tensor)
    return (NONE,) * tensor.ndim if layout is None else layout.dims


def _einsum(call: Call, place: Place) -> Ruling:
    equation, operands = call.args[0].replace(" ", ""), call.tensors
    inputs, _, output = equation.partition("->")
    known: dict[str, Letters] = {}
    for term, tensor in zip(inputs.split(","), operands, strict=True):
        for index, letters in zip(term, _dims(tensor), strict=False):
            known[index] = known.get(index, NONE) | letters
    constant = {
        index for term, t in zip(inputs.split(","), operands, strict=True) if not layout_of(t) for index in term
    }
    findings = [
        finding
        for index in sorted(constant - set(output))
        for finding in _mixed(known.get(index, NONE), False, _size(index, inputs, operands), place)
    ]
    kept = [known.get(index, NONE) for index in output]
    layout = merged([call.input], call.input.shape)
    return (layout.with_dims(kept, call.output.shape) if len(kept) == call.output.ndim else layout), findings


def _size(index: str, inputs: str, operands: Sequence[Tensor]) -> int:
    pairs = zip(inputs.split(","), operands, strict=True)
    return next(tensor.shape[term.index(index)] for term, tensor in pairs if index in term)


def _attention(call: Call, place: Place) -> Ruling:
    layout = merged([call.tensors[0]], call.tensors[0].shape)
    first = call.output[0] if isinstance(call.output, tuple) else call.output
    mask = call.get(3, "attn_mask")
    findings: list[Finding] = []
    if isinstance(mask, Tensor) and layout_of(mask) is None and max(mask.shape[-2:]) > 1:
        findings = [_embedding(place, mask, "attention shifted")]
    return layout.with_dims(layout.dims, first.shape), findings


def _embedding(place: Place, numbers: Tensor, how: str, broken: str = "hwt") -> Finding:
    return breaks(
        getattr(numbers, "path_in_network", place.name),
        Cause.POSITION,
        f"{how} by numbers of their own for every position",
        "none at all, or one computed by convolutions with symmetric windows",
        broken,
    )


def _batch_norm(call: Call, place: Place) -> Ruling:
    return place.layout, _channel_wise(call, place, place.layout.dims[1], "statistics and weights")


def _group_norm(call: Call, place: Place) -> Ruling:
    letters, groups = place.layout.dims[1], call.get(1, "num_groups", 1)
    whole = letters <= {"g"} and (call.input.shape[1] // max(place.order, 1)) % groups == 0
    told = call.get(2, "weight") is not None or not (groups == 1 or whole)
    return place.layout, _channel_wise(call, place, letters if told else NONE, "weights")


def _instance_norm(call: Call, place: Place) -> Ruling:
    affine = call.get(3, "weight") is not None
    return place.layout, _channel_wise(call, place, place.layout.dims[1] if affine else NONE, "weights")


def _layer_norm(call: Call, place: Place) -> Ruling:
    over = place.layout.dims[-len(call.get(1, "normalized_shape")) :]
    affine = call.get(2, "weight") is not None
    return place.layout, _channel_wise(call, place, NONE.union(*over) if affine else NONE, "weights")


def _response_norm(call: Call, place: Place) -> Ruling:
    return place.layout, _channel_wise(call, place, place.layout.dims[1] & {"g"}, "neighbours")


def _slopes(call: Call, place: Place) -> Ruling:
    own = call.get(1, "weight").numel() > 1
    return place.layout, _channel_wise(call, place, place.layout.dims[1] if own else NONE, "slopes")


def _channel_wise(call: Call, place: Place, letters: Letters, what: str) -> list[Finding]:
    if not letters:
        return []
    of = " and ".join(name for moving, name in MOVING.items() if letters & set(moving))
    detail = f"{call.name} has other {what} for different {of}"
    return [breaks(place.name, Cause.NORM, detail, f"the same {what} for all {of}")]


def _constants(call: Call, layout: Layout) -> dict[str, Tensor]:
    """Tensors that do not depend on the image, by the letters of the dimensions along which they vary."""
    found: dict[str, Tensor] = {}
    for tensor in call.tensors:
        if layout_of(tensor) is None:
            pairs = zip(reversed(tensor.shape), reversed(layout.dims), strict=False)
            letters = NONE.union(*(dim for size, dim in pairs if size > 1))
            found |= dict.fromkeys(sorted(letters), tensor)
    return found


def elementwise(call: Call, place: Place) -> Ruling:
    """Anything that treats every position alike, except where it meets a tensor that does not depend on the image."""
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    layout = merged(call.tensors, output.shape)
    if call.name not in ELEMENTWISE:
        return layout, []
    found = _constants(call, layout)
    broken = "".join(letter for letter in "hw" if letter in found)
    if broken:
        how = "multiplied" if "mul" in call.name else "shifted"
        return layout, [_embedding(place, found[broken[0]], how, f"{broken}t")]
    return layout, _channel_wise(call, place, frozenset("g") if found else NONE, "numbers")


_BASE = ("add", "sub", "mul", "div", "rsub", "true_divide", "where", "maximum", "minimum")
ELEMENTWISE = frozenset(
    name for base in _BASE for name in (base, f"{base}_", f"__{base}__", f"__r{base}__", f"__i{base}__")
)


def _sequence(call: Call, place: Place) -> Ruling:
    """A convolution along one dimension, of tokens or of channels."""
    channels, along = place.layout.dims[1] & SPACE, place.layout.dims[-1]
    layout = place.layout.with_dims([*place.layout.dims[:-2], NONE, along], call.output.shape)
    if channels:
        detail = "the convolution sums over neighbouring pixels as over channels"
        return layout, [breaks(place.name, Cause.PHASES, detail, "a two-dimensional convolution")]
    return layout, _mixed(along if call.get(1, "weight").shape[-1] > 1 else NONE, False, call.input.shape[-1], place)


def _roll(call: Call, place: Place) -> Ruling:
    shifts, dims = call.get(1, "shifts"), call.get(2, "dims")
    pairs = (
        zip(*([v] if isinstance(v, int) else list(v) for v in (shifts, dims)), strict=True) if dims is not None else ()
    )
    broken = NONE.union(*(place.layout.dims[dim] & SPACE for shift, dim in pairs if shift % call.input.shape[dim]))
    detail = f"content moves by {shifts} cells in a circle"
    alike = broken == SPACE and (isinstance(shifts, int) or len(set(shifts)) == 1)
    letters = "".join(broken) + ("" if alike else "t")
    findings = [breaks(place.name, Cause.SHIFTED, detail, "windows without shifts", letters)] if broken else []
    return place.layout, findings


def _moved(call: Call, place: Place) -> Ruling:
    return place.layout.taking(moved_dimensions(call), call.output.shape), []


def _slice(call: Call, place: Place) -> Ruling:
    """x[...] with integers, slices, None and an ellipsis; other indices leave nothing known."""
    given = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    indices: list[Any] = list(given)
    shape = call.input.shape
    used = sum(index is not None and index is not Ellipsis for index in indices)
    gap = next((number for number, index in enumerate(indices) if isinstance(index, EllipsisType)), len(indices))
    indices[gap : gap + 1] = [slice(None)] * (len(shape) - used)
    if not all(index is None or isinstance(index, (int, slice)) for index in indices):
        return place.layout.with_dims([NONE] * call.output.ndim, call.output.shape), []
    layout, kept, findings, dim = place.layout, [], [], 0
    for index in indices:
        if index is None:
            kept.append(NONE)
            continue
        if isinstance(index, slice):
            layout, found = _along(layout, dim, shape[dim], index, place)
            findings += found
            kept.append(layout.dims[dim])
        elif len(layout.dims[dim] & SPACE) == 1:
            detail, broken = f"only number {index} of {shape[dim]} is read", "".join(layout.dims[dim] & SPACE)
            findings.append(breaks(place.name, Cause.DROPPED, detail, "a mean over all of them", f"{broken}t"))
        dim += 1
    return layout.with_dims(kept, call.output.shape), findings


def _along(layout: Layout, dim: int, size: int, index: slice, place: Place) -> tuple[Layout, list[Finding]]:
    """A slice along one dimension: a crop, or windows of one cell with a stride. Tokens may leave a prefix."""
    start, stop, step = index.indices(size)
    letters = layout.dims[dim] & SPACE
    if step == 1:
        return cropped(layout, dim, size, (-start, stop - size), place.name), []
    windows = Windows(size, 1, step, -start, stop - size)
    if not letters or (windows.exact and len(letters) == 1):
        return layout, []
    detail, repair = f"every {step}. of {size}, from number {start}", f"average pooling with stride {step}"
    return layout, [breaks(place.name, Cause.DROPPED, detail, repair, "".join(letters))]


def _reduced(call: Call, place: Place) -> Ruling:
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    return reduced(call, place.layout, output.shape), []


def _removed(call: Call, place: Place) -> Ruling:
    dim = call.get(1, "dim", 0) % call.input.ndim
    kept = [number for number in range(call.input.ndim) if number != dim]
    return place.layout.taking(kept, call.output[0].shape), []


def _stacked(call: Call, place: Place) -> Ruling:
    layout, dim = merged(call.tensors, call.input.shape), call.get(1, "dim", 0) % call.output.ndim
    dims = [*layout.dims]
    dims.insert(dim, NONE)
    return layout.with_dims(dims, call.output.shape), []


def _unshuffled(call: Call, place: Place) -> Ruling:
    dims = [*place.layout.dims]
    dims[-3] = dims[-3] | dims[-2] | dims[-1]
    return place.layout.with_dims(dims, call.output.shape), []


def _shuffled(call: Call, place: Place) -> Ruling:
    detail, repair = "neighbouring pixels come from different channels", "interpolation, then a convolution"
    layout = replace(place.layout).with_dims(place.layout.dims, call.output.shape)
    return layout, [breaks(place.name, Cause.PHASES, detail, repair)]


Rule = Callable[[Call, Place], Ruling]
_BY_RULE: Mapping[Rule, str] = {
    _linear: "linear",
    _product: "matmul mm bmm __matmul__ __rmatmul__",
    _einsum: "einsum",
    _attention: "scaled_dot_product_attention multi_head_attention_forward",
    _batch_norm: "batch_norm",
    _group_norm: "group_norm",
    _instance_norm: "instance_norm",
    _layer_norm: "layer_norm",
    _response_norm: "local_response_norm",
    _slopes: "prelu",
    _sequence: "conv1d",
    _roll: "roll",
    _moved: "permute transpose swapaxes movedim moveaxis t T mT",
    _slice: "__getitem__",
    _reduced: "mean sum amax amin max min std var logsumexp prod norm",
    _removed: "unbind select",
    _stacked: "stack",
    _unshuffled: "pixel_unshuffle",
    _shuffled: "pixel_shuffle",
}
MIXING: Mapping[str, Rule] = {name: rule for rule, names in _BY_RULE.items() for name in names.split()}
RESHAPES = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"})


def reshaped(call: Call, place: Place) -> Ruling:
    """The same numbers under another shape."""
    return rearranged(place.layout, call.input.shape, call.output.shape, place.order), []
