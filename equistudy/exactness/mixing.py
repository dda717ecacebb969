"""Rules for weights and constants that tell positions or group elements apart, and for what treats all alike."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from equistudy.exactness.callsite import CallSite, Rule, Ruling
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import NO_AXES, AxisLetters, FunctionCall, get_layout, merge_layouts

__all__ = ["ELEMENTWISE_FUNCTIONS", "MIXING_RULES", "judge_elementwise"]

SPATIAL_AXES: AxisLetters = frozenset("hw")
MOVING_AXES = {"hw": "positions", "g": "group elements"}


def _judge_linear(call: FunctionCall, place: CallSite) -> Ruling:
    letters = place.layout.dims[-1]
    layout = place.layout.with_dims([*place.layout.dims[:-1], NO_AXES], call.output.shape)
    return layout, _find_mixed_axes(letters, call.input.ndim == 2, call.input.shape[-1], place)


def _find_mixed_axes(letters: AxisLetters, head: bool, count: int, place: CallSite) -> list[BreakingLayer]:
    """A finding if weights are summed over a dimension of `count` indices that moves."""
    if not letters:
        return []
    what = " and ".join(name for letter, name in MOVING_AXES.items() if letters & set(letter))
    if head or letters == {"g"}:
        return [create_breaking_layer(place.name, Cause.HEAD, f"{count} inputs hold {what}, each with its own weight")]
    detail = f"one weight for every pair of {count} indices, which hold {what}"
    return [create_breaking_layer(place.name, Cause.MIXED, detail)]


def _judge_matrix_product(call: FunctionCall, place: CallSite) -> Ruling:
    """A matrix product: rows of the first and columns of the second factor stay, the rest is summed."""
    left, right = call.tensors[:2]
    if "rmatmul" in call.name:
        left, right = right, left
    if right is not left and place.judge_streams(call):
        place.note_uncovered(call.name)
    dims = _get_dims(left), _get_dims(right)
    letters = dims[0][-1] | (dims[1][-2] if right.ndim > 1 else dims[1][0])
    constant = get_layout(left) is None or get_layout(right) is None
    findings = _find_mixed_axes(letters, left.ndim == 2, left.shape[-1], place) if constant else []
    if not constant and len(letters & SPATIAL_AXES) == 1:
        place.note_uncovered(call.name)
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
    inputs, arrow, output = equation.partition("->")
    if not arrow or "." in equation:
        place.note_uncovered("einsum")
        return merge_layouts([call.input], call.output.shape), []
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
    if any(call.tensors[0] is not tensor for tensor in call.tensors[1:3]) and place.judge_streams(call):
        place.note_uncovered(call.name)
    layout = merge_layouts([call.tensors[0]], call.tensors[0].shape)
    first = call.output[0] if isinstance(call.output, tuple) else call.output
    mask = call.get_argument(3, "attn_mask")
    findings: list[BreakingLayer] = []
    if isinstance(mask, Tensor) and get_layout(mask) is None and max(mask.shape[-2:]) > 1:
        detail = "attention weights are shifted by numbers of their own for every position"
        findings = [create_breaking_layer(getattr(mask, "path_in_network", place.name), Cause.POSITION, detail)]
    if call.name == "scaled_dot_product_attention":
        findings += _find_single_axis(place, NO_AXES.union(*layout.dims[-2:-1]), "attention")
    return layout.with_dims(layout.dims, first.shape), findings


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
    findings = _find_channel_wise(call, place, NO_AXES.union(*over) if affine else NO_AXES, "weights")
    return place.layout, findings + _find_single_axis(place, NO_AXES.union(*over), "layer_norm")


def _judge_response_norm(call: FunctionCall, place: CallSite) -> Ruling:
    return place.layout, _find_channel_wise(call, place, place.layout.dims[1] & {"g"}, "neighbours")


def _judge_slopes(call: FunctionCall, place: CallSite) -> Ruling:
    own = call.get_argument(1, "weight").numel() > 1
    return place.layout, _find_channel_wise(call, place, place.layout.dims[1] if own else NO_AXES, "slopes")


def _find_channel_wise(call: FunctionCall, place: CallSite, letters: AxisLetters, what: str) -> list[BreakingLayer]:
    if not letters:
        return []
    of = " and ".join(name for moving, name in MOVING_AXES.items() if letters & set(moving))
    return [create_breaking_layer(place.name, Cause.NORM, f"{call.name} has other {what} for different {of}")]


def judge_elementwise(call: FunctionCall, place: CallSite) -> Ruling:
    """Functions that treat all positions alike, unless they combine features with a constant."""
    output = call.output if isinstance(call.output, Tensor) else call.output[0]
    layout = merge_layouts(call.tensors, output.shape)
    if call.name not in ELEMENTWISE_FUNCTIONS:
        place.note_uncovered(call.name)
        return layout, []
    constants = [tensor for tensor in call.tensors if get_layout(tensor) is None]
    findings = place.judge_constants(constants, layout, output.shape, call.name) if constants else []
    if call.name in NORMALISED_BY_DEFAULT_OVER:
        dim = call.get_argument(2 if call.name == "normalize" else 1, "dim", NORMALISED_BY_DEFAULT_OVER[call.name])
        findings += _find_single_axis(place, layout.dims[dim] if isinstance(dim, int) else SPATIAL_AXES, call.name)
    return layout, findings


NORMALISED_BY_DEFAULT_OVER = {"softmax": -1, "log_softmax": -1, "softmin": -1, "normalize": 1}


def _find_single_axis(place: CallSite, letters: AxisLetters, function: str) -> list[BreakingLayer]:
    """A finding if a function runs along rows or columns only."""
    if len(letters & SPATIAL_AXES) != 1 or not place.layout.letters >= SPATIAL_AXES:
        return []
    detail = f"{function} runs along one axis alone"
    return [create_breaking_layer(place.name, Cause.RECTANGULAR, detail, "t")]


_ELEMENTWISE = """
    relu relu6 leaky_relu elu selu celu gelu silu mish sigmoid logsigmoid tanh softplus softsign softshrink
    hardshrink tanhshrink threshold hardswish hardsigmoid hardtanh rrelu exp expm1 log log1p log2 log10 sqrt
    rsqrt square pow float_power abs absolute neg negative positive reciprocal sin cos tan sinh cosh atan asin
    acos atan2 erf erfc sign sgn round floor ceil trunc frac clamp clip clamp_min clamp_max nan_to_num softmax
    log_softmax softmin normalize add sub subtract mul multiply div divide true_divide floor_divide rsub where
    maximum minimum fmax fmin lerp addcmul addcdiv masked_fill eq ne lt le gt ge equal logical_and logical_or
    logical_not logical_xor bitwise_and bitwise_or bitwise_not isnan isinf isfinite fmod remainder logaddexp
    hypot heaviside xlogy expand expand_as broadcast_to repeat tile clone contiguous to detach float double
    half bfloat16 type type_as int long bool requires_grad_ data real fill_ zero_ copy_ alias view_as_real
    cosine_similarity cpu cuda
"""
_OPERATORS = """add sub mul div truediv rdiv floordiv mod pow and or xor eq ne lt le gt ge neg abs invert"""
ELEMENTWISE_FUNCTIONS = frozenset(
    [form for name in _ELEMENTWISE.split() for form in (name, f"{name}_")]
    + [form for name in _OPERATORS.split() for form in (f"__{name}__", f"__r{name}__", f"__i{name}__")]
)


def _judge_dropout(call: FunctionCall, place: CallSite) -> Ruling:
    """Nothing in evaluation mode; otherwise random numbers per position do not move with the image."""
    if call.get_argument(2, "training", True) and call.get_argument(1, "p", 0.5):
        place.note_uncovered(call.name)
    return place.layout, []


def _judge_sequence_convolution(call: FunctionCall, place: CallSite) -> Ruling:
    """A convolution along one dimension, of tokens or of channels."""
    channels, along = place.layout.dims[1] & SPATIAL_AXES, place.layout.dims[-1]
    layout = place.layout.with_dims([*place.layout.dims[:-2], NO_AXES, along], call.output.shape)
    if channels:
        detail = "the convolution sums over neighbouring pixels as over channels"
        return layout, [create_breaking_layer(place.name, Cause.PHASES, detail)]
    return layout, _find_mixed_axes(
        along if call.get_argument(1, "weight").shape[-1] > 1 else NO_AXES, False, call.input.shape[-1], place
    )


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
    _judge_dropout: "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout",
}
MIXING_RULES: Mapping[str, Rule] = {name: rule for rule, names in _BY_RULE.items() for name in names.split()}
