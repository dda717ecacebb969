"""Rules for what samples the rows and columns of a map: convolutions, pooling, padding, slices, interpolation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any

from torch import Tensor

from equistudy.exactness.callsite import CallSite, Rule, Ruling
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import NO_AXES, AxisLetters, FunctionCall, PendingPadding, TracedLayout
from equistudy.exactness.windows import AxisWindows, is_resize_exact

__all__ = [
    "AXIS_NAMES",
    "SAMPLING_RULES",
    "judge_axis_windows",
    "judge_pending_padding",
    "pad_layout",
]

AXIS_NAMES = {"h": "rows", "w": "columns"}


@dataclass(frozen=True)
class SamplingLayer:
    """The kernel, stride, padding and dilation of a layer along rows and columns. `pads` is (before, after) of each."""

    kind: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    ceil: bool = False
    pools: bool = False
    counts_padding: bool | None = None

    def axis_windows(self, axis: int, size: int) -> AxisWindows:
        """The windows along rows (0) or columns (1)."""
        return AxisWindows(size, self.kernel[axis], self.stride[axis], *self.pads[axis], self.dilation[axis], self.ceil)

    def is_exact(self, windows: AxisWindows) -> bool:
        """Whether mirror images of windows are windows."""
        return windows.is_pooling_exact(self.counts_padding) if self.pools else windows.is_exact

    @property
    def reads_single_cells(self) -> bool:
        """Whether each window is one cell, and every cell is in one."""
        return self.kernel == self.stride == (1, 1) and self.pads == ((0, 0), (0, 0))

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are treated alike."""
        return all(a == b for a, b in (self.kernel, self.stride, self.pads, self.dilation))


def _to_pair(value: int | Sequence[int]) -> tuple[int, int]:
    values = [value] * 2 if isinstance(value, int) else list(value) * (2 if len(value) == 1 else 1)
    return values[0], values[1]


def _judge_convolution(call: FunctionCall, place: CallSite) -> Ruling:
    kernel = _to_pair(tuple(call.get_argument(1, "weight").shape[-2:]))
    dilation, padding = _to_pair(call.get_argument(5, "dilation", 1)), call.get_argument(4, "padding", 0)
    if padding == "same":
        totals = [spread * (size - 1) for spread, size in zip(dilation, kernel, strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in totals)
    else:
        pads = tuple((pad, pad) for pad in _to_pair(0 if padding == "valid" else padding))
    sampler = SamplingLayer(
        "convolution", kernel, _to_pair(call.get_argument(3, "stride", 1)), (pads[0], pads[1]), dilation
    )
    return _judge_windows(call, place, sampler)


def _judge_volume_convolution(call: FunctionCall, place: CallSite) -> Ruling:
    """The last two of three axes; the first must not hold positions."""
    if place.layout.dims[2]:
        place.note_uncovered("conv3d")
    args = tuple(_drop_depth(value) for value in call.args)
    kwargs = {key: _drop_depth(value) for key, value in call.kwargs.items()}
    return _judge_convolution(replace(call, args=args, kwargs=kwargs), place)


def _drop_depth(value: Any) -> Any:
    return value[-2:] if isinstance(value, (tuple, list)) and len(value) == 3 else value


def _judge_transposed_convolution(call: FunctionCall, place: CallSite) -> Ruling:
    extra = _to_pair(call.get_argument(5, "output_padding", 0))
    kernel = _to_pair(tuple(call.get_argument(1, "weight").shape[-2:]))
    stride, padding, dilation = (_to_pair(call.get_argument(i, name, d)) for i, name, d in STRIDES_OF_TRANSPOSED)
    findings = []
    broken = {letter for letter, pixels in zip("hw", extra, strict=True) if pixels}
    if broken:
        detail = f"{max(extra)} more at the end of the {_describe_axes(broken)}"
        findings.append(create_breaking_layer(place.name, Cause.OUTPUT_PADDING, detail, "".join(broken)))
    square = all(a == b for a, b in (kernel, stride, padding, dilation, extra))
    layout = _layout_of_map(place.layout, call.output, Fraction(1, stride[0]))
    return layout, findings + ([] if square else [_create_rectangular_finding(place, "transposed convolution", kernel)])


STRIDES_OF_TRANSPOSED = ((3, "stride", 1), (4, "padding", 0), (7, "dilation", 1))


def _judge_max_pool(call: FunctionCall, place: CallSite) -> Ruling:
    kernel = _to_pair(call.get_argument(1, "kernel_size"))
    return _judge_windows(
        call, place, _create_pooling_layer(call, kernel, 3, _to_pair(call.get_argument(4, "dilation", 1)), 5)
    )


def _judge_average_pool(call: FunctionCall, place: CallSite) -> Ruling:
    sampler = _create_pooling_layer(call, _to_pair(call.get_argument(1, "kernel_size")), 3, (1, 1), 4)
    counts = (
        bool(call.get_argument(5, "count_include_pad", True))
        if call.get_argument(6, "divisor_override") is None
        else None
    )
    return _judge_windows(call, place, replace(sampler, counts_padding=counts))


def _judge_power_pool(call: FunctionCall, place: CallSite) -> Ruling:
    kernel = _to_pair(call.get_argument(2, "kernel_size"))
    stride = _to_pair(call.get_argument(3, "stride") or kernel)
    ceil = bool(call.get_argument(4, "ceil_mode", False))
    return _judge_windows(
        call, place, SamplingLayer("pooling", kernel, stride, ceil=ceil, pools=True, counts_padding=False)
    )


def _create_pooling_layer(
    call: FunctionCall, kernel: tuple[int, int], padding: int, dilation: tuple[int, int], ceil: int
) -> SamplingLayer:
    """What maximum and average share; `padding` and `ceil` are the positions of these arguments."""
    pads = tuple((pad, pad) for pad in _to_pair(call.get_argument(padding, "padding", 0)))
    stride = _to_pair(call.get_argument(2, "stride") or kernel)
    mode = bool(call.get_argument(ceil, "ceil_mode", False))
    return SamplingLayer("pooling", kernel, stride, (pads[0], pads[1]), dilation, mode, pools=True)


def _judge_unfold(call: FunctionCall, place: CallSite) -> Ruling:
    pads = tuple((pad, pad) for pad in _to_pair(call.get_argument(3, "padding", 0)))
    dilation, stride = _to_pair(call.get_argument(2, "dilation", 1)), _to_pair(call.get_argument(4, "stride", 1))
    sampler = SamplingLayer(
        "unfolding", _to_pair(call.get_argument(1, "kernel_size")), stride, (pads[0], pads[1]), dilation
    )
    layout, findings = _judge_windows(call, place, sampler)
    assert isinstance(layout, TracedLayout)
    both = frozenset("hw")
    phases = both if max(sampler.kernel) > 1 else NO_AXES
    height, width = (sampler.axis_windows(axis, call.input.shape[dim]).count for axis, dim in enumerate((-2, -1)))
    h, w = frozenset("h"), frozenset("w")
    window = (call.input.shape[1], NO_AXES), (sampler.kernel[0], h), (sampler.kernel[1], w)
    factors = ((), window if phases else (), ((height, h), (width, w)))
    return replace(layout, dims=(NO_AXES, phases, both), factors=factors), findings


def _judge_adaptive_pool(call: FunctionCall, place: CallSite) -> Ruling:
    return _layout_of_map(place.layout, call.output[0] if isinstance(call.output, tuple) else call.output), []


def _judge_windows(call: FunctionCall, place: CallSite, sampler: SamplingLayer) -> Ruling:
    """Judges the windows of a layer along both axes, together with padding that waits for it."""
    output = call.output[0] if isinstance(call.output, tuple) else call.output
    if sampler.reads_single_cells:
        return _layout_of_map(place.layout, output), []
    findings: list[BreakingLayer] = []
    if any(pad.rolled for pad in place.layout.pending.values()):
        layout, findings = judge_pending_padding(place)
        place = replace(place, layout=layout)
    broken: dict[str, tuple[AxisWindows, SamplingLayer]] = {}
    whole = sampler
    for axis, dim in enumerate((-2, -1)):
        letters = place.layout.dims[dim] & frozenset("hw")
        if len(letters) == 2 and (sampler.kernel[axis] > 1 or sampler.stride[axis] > 1):
            finding = create_breaking_layer(place.name, Cause.MIXED, "windows over flattened rows and columns")
            return _layout_of_map(place.layout, output), [*findings, finding]
        for letter in letters:
            pending = place.layout.pending.get(letter)
            own = _absorb_pending(sampler, axis, pending)
            windows = own.axis_windows(axis, pending.size if pending else call.input.shape[dim])
            if not own.is_exact(windows):
                broken[letter] = windows, own
            whole = replace(whole, pads=(own.pads[0], whole.pads[1]) if axis == 0 else (whole.pads[0], own.pads[1]))
    findings += [_create_misaligned_finding(place, broken)] if broken else []
    if not whole.is_square and len(place.layout.letters & {"h", "w"}) == len(AXIS_NAMES):
        findings.append(_create_rectangular_finding(place, sampler.kind, sampler.kernel))
    return _layout_of_map(replace(place.layout, pending={}), output, Fraction(lcm(*sampler.stride))), findings


def judge_axis_windows(
    layout: TracedLayout, dim: int, windows: AxisWindows, place: CallSite
) -> tuple[TracedLayout, list[BreakingLayer]]:
    """The layout after windows along one dimension, such as a slice with a step, and what is misaligned."""
    letters = layout.dims[dim] & frozenset("hw")
    if not letters:
        return layout, []
    findings: list[BreakingLayer] = []
    if set(layout.pending) & letters:
        layout, findings = judge_pending_padding(replace(place, layout=layout))
    layout = replace(layout, stride=layout.stride * windows.stride)
    if windows.is_exact and len(letters) == 1:
        return layout, findings
    detail = f"every {windows.stride}. of {windows.size} cells, from number {-windows.before}"
    return layout, [*findings, create_breaking_layer(place.name, Cause.DROPPED, detail, "".join(letters))]


def _absorb_pending(sampler: SamplingLayer, axis: int, pending: PendingPadding | None) -> SamplingLayer:
    """The layer as one that pads by itself what was padded before it. Padding by values is seen by every pooling."""
    if pending is None:
        return sampler
    pads = list(sampler.pads)
    pads[axis] = pads[axis][0] + pending.before, pads[axis][1] + pending.after
    return replace(sampler, pads=(pads[0], pads[1]), pools=False)


def _layout_of_map(layout: TracedLayout, output: Tensor, stride: Fraction | int = 1) -> TracedLayout:
    """The layout of a new map. An axis that had one cell may have several again."""
    letters: list[AxisLetters] = [*layout.dims]
    if output.ndim != len(letters):
        return replace(layout, dims=(NO_AXES,) * output.ndim)
    missing = {"h", "w"} - set().union(*letters)
    for dim, letter in ((-2, "h"), (-1, "w")):
        letters[dim] = letters[dim] or (frozenset(letter) & missing)
    return replace(layout, stride=layout.stride * stride).with_dims(letters, output.shape)


def _describe_axes(letters: Iterable[str]) -> str:
    return " and ".join(AXIS_NAMES[letter] for letter in sorted(letters))


def _create_misaligned_finding(
    place: CallSite, broken: Mapping[str, tuple[AxisWindows, SamplingLayer]]
) -> BreakingLayer:
    """The finding for windows whose mirror images are no windows, told for the first broken axis."""
    windows, _ = broken[min(broken)]
    dropped = windows.room - windows.stride * (windows.count - 1)
    both = windows.before == windows.after
    pads = f"2*{windows.before}" if both else f"{windows.before} + {windows.after}"
    rest = f"{windows.size} + {pads} - {windows.extent} = {windows.room} is no multiple of stride {windows.stride}"
    if not both:
        cause, detail = Cause.PADDING, f"{windows.before} before and {windows.after} after the {_describe_axes(broken)}"
    elif windows.ceil:
        cause, detail = Cause.CEIL, f"a last window sticks out of the {_describe_axes(broken)}; {rest}"
    elif dropped > windows.after:
        cause, detail = Cause.DROPPED, f"the last {dropped - windows.after} of the {_describe_axes(broken)}; {rest}"
    else:
        cause, detail = Cause.WINDOWS, f"padding of the last {_describe_axes(broken)} is not used; {rest}"
    return create_breaking_layer(place.name, cause, detail, "".join(broken))


def _create_rectangular_finding(place: CallSite, kind: str, kernel: tuple[int, int]) -> BreakingLayer:
    detail = f"{kind} {kernel[0]}x{kernel[1]} treats rows and columns differently"
    return create_breaking_layer(place.name, Cause.RECTANGULAR, detail, "t")


def _judge_padding(call: FunctionCall, place: CallSite) -> Ruling:
    pads = list(call.get_argument(1, "pad"))
    layout = place.layout
    for number, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True), start=1):
        layout = pad_layout(layout, len(layout.dims) - number, call.input.shape[-number], (before, after), place.name)
    return layout.with_dims(layout.dims, call.output.shape), []


def pad_layout(layout: TracedLayout, dim: int, size: int, pads: tuple[int, int], name: str) -> TracedLayout:
    """The layout with (before, after) cells more along a dimension; unequal ones wait for the layer that reads them."""
    letters = layout.dims[dim]
    if pads == (0, 0) or len(letters) != 1 or letters == {"g"}:
        return layout
    (letter,) = letters
    known = layout.pending.get(letter)
    if known is None and pads[0] == pads[1]:
        return layout
    known = known or PendingPadding(size, 0, 0, name)
    together = replace(known, before=known.before + pads[0], after=known.after + pads[1])
    rest = {other: pad for other, pad in layout.pending.items() if other != letter}
    equal = together.before == together.after
    return replace(layout, pending=rest if equal else {**rest, letter: together})


def judge_pending_padding(place: CallSite) -> tuple[TracedLayout, list[BreakingLayer]]:
    """Finds unequal padding that no layer with windows has read."""
    findings = []
    for name in dict.fromkeys(pad.name for pad in place.layout.pending.values()):
        pads = {letter: pad for letter, pad in place.layout.pending.items() if pad.name == name}
        first = pads[min(pads)]
        cause, detail = Cause.PADDING, f"{first.before} before and {first.after} after the {_describe_axes(pads)}"
        if first.rolled:
            cause, detail = Cause.SHIFTED, f"{_describe_axes(pads)} are rolled by {first.before} cells"
        alike = len({(pad.before, pad.after) for pad in pads.values()}) == 1 and len(pads) == len(AXIS_NAMES)
        findings.append(create_breaking_layer(name, cause, detail, "".join(pads) + ("" if alike else "t")))
    return replace(place.layout, pending={}), findings


def _judge_interpolation(call: FunctionCall, place: CallSite) -> Ruling:
    mode, aligned = call.get_argument(3, "mode", "nearest"), bool(call.get_argument(4, "align_corners", False))
    given = call.get_argument(2, "scale_factor") if not call.get_argument(5, "recompute_scale_factor") else None
    factors = [given] * 2 if given is None or isinstance(given, (int, float)) else list(given)
    shape, broken = call.output.shape, NO_AXES
    for dim, factor in zip((-2, -1), factors, strict=True):
        exact = is_resize_exact(call.input.shape[dim], shape[dim], mode, aligned, factor)
        broken |= NO_AXES if exact else place.layout.dims[dim] & frozenset("hw")
    findings = []
    if broken:
        detail = f"{mode} from {call.input.shape[-1]} to {shape[-1]} cells takes them unevenly"
        findings = [create_breaking_layer(place.name, Cause.INTERPOLATION, detail, "".join(broken))]
    scale = call.get_argument(2, "scale_factor")
    scales = [scale] * 2 if scale is None or isinstance(scale, (int, float)) else list(scale)
    stride = Fraction(1) if scales[0] is None else 1 / Fraction(scales[0]).limit_denominator(MAX_DENOMINATOR)
    return _layout_of_map(place.layout, call.output, stride), findings


MAX_DENOMINATOR = 64  # of scale factors: 1/3 is not a binary fraction


SAMPLING_RULES: Mapping[str, Rule] = {
    "conv2d": _judge_convolution,
    "conv3d": _judge_volume_convolution,
    "conv_transpose2d": _judge_transposed_convolution,
    "max_pool2d": _judge_max_pool,
    "max_pool2d_with_indices": _judge_max_pool,
    "avg_pool2d": _judge_average_pool,
    "lp_pool2d": _judge_power_pool,
    "unfold": _judge_unfold,
    "adaptive_avg_pool2d": _judge_adaptive_pool,
    "adaptive_max_pool2d": _judge_adaptive_pool,
    "adaptive_max_pool2d_with_indices": _judge_adaptive_pool,
    "pad": _judge_padding,
    "interpolate": _judge_interpolation,
    "upsample": _judge_interpolation,
}
