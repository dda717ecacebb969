"""Rules for functions that sample rows and columns: convolutions, pooling, padding, slices, interpolation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any

from torch import Tensor

from equistudy.exactness.callsite import CallSite, Rule, Ruling
from equistudy.exactness.elements import find_side_symmetries
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import NO_AXES, AxisLetters, FunctionCall, PendingPadding, TracedLayout
from equistudy.exactness.padding import AXIS_NAMES, describe_axes, judge_pending_padding, pad_layout
from equistudy.exactness.windows import AxisWindows, is_resize_exact

__all__ = ["SAMPLING_RULES"]


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
        """Whether the mirror images of windows are windows."""
        return windows.is_pooling_exact(self.counts_padding) if self.pools else windows.is_exact

    @property
    def reads_single_cells(self) -> bool:
        """Whether every window is one cell and every cell has a window."""
        return self.kernel == self.stride == (1, 1) and self.pads == ((0, 0), (0, 0))

    @property
    def keeps_borders(self) -> bool:
        """Whether windows lie next to each other and within the map."""
        return self.stride == (1, 1) and self.pads == ((0, 0), (0, 0)) and self.is_square and not self.ceil

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
    """The parameters of the last two of three axes; the first must not hold positions."""
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
        detail = f"{max(extra)} more at the end of the {describe_axes(broken)}"
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
    """The rule shared by max and average pooling; `padding` and `ceil` are the positions of these arguments."""
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
    output = call.output[0] if isinstance(call.output, tuple) else call.output
    return _layout_of_map(place.layout, output), _find_unequal_sides(call, place, output)


def _find_unequal_sides(call: FunctionCall, place: CallSite, output: Tensor) -> list[BreakingLayer]:
    """A finding if square maps become rectangular."""
    rows, columns = output.shape[-2:]
    if rows == columns or call.input.shape[-2] != call.input.shape[-1] or not place.layout.letters >= {"h", "w"}:
        return []
    detail = f"square maps become maps of {rows} x {columns} cells"
    return [create_breaking_layer(place.name, Cause.RECTANGULAR, detail, "t")]


def _judge_windows(call: FunctionCall, place: CallSite, sampler: SamplingLayer) -> Ruling:
    """Judges the windows of a layer along both axes, together with pending padding."""
    output = call.output[0] if isinstance(call.output, tuple) else call.output
    if sampler.reads_single_cells:
        return _layout_of_map(place.layout, output), []
    before: list[BreakingLayer] = []
    if any(pad.rolled for pad in place.layout.pending.values()):
        layout, before = judge_pending_padding(place)
        place = replace(place, layout=layout)
    pads = place.layout.pending.values()
    if pads and sampler.keeps_borders and all(pad.lost == (0, 0) for pad in pads):
        return _move_pending(call, place.layout, sampler, output), before
    broken: dict[str, tuple[AxisWindows, SamplingLayer]] = {}
    whole, frames = sampler, {}
    for axis, dim in enumerate((-2, -1)):
        letters = place.layout.dims[dim] & frozenset("hw")
        if len(letters) == 2 and (sampler.kernel[axis] > 1 or sampler.stride[axis] > 1):
            finding = create_breaking_layer(place.name, Cause.MIXED, "windows over flattened rows and columns")
            return _layout_of_map(place.layout, output), [*before, finding]
        for letter in letters:
            pending = place.layout.pending.get(letter, PendingPadding(call.input.shape[dim], 0, 0, ""))
            padded = pending.add(*sampler.pads[axis])
            own = _absorb_pending(sampler, axis, padded) if letter in place.layout.pending else sampler
            windows = own.axis_windows(axis, pending.size)
            exact = own.is_exact(windows) and padded.lost[0] == padded.lost[1]
            if not exact:
                broken[letter] = windows, own
            after = windows.before if exact else windows.overhang
            frames[letter] = (windows.before, padded.lost[0]), (after, padded.lost[1])
            whole = replace(whole, pads=(own.pads[0], whole.pads[1]) if axis == 0 else (whole.pads[0], own.pads[1]))
    findings = [_create_misaligned_finding(place, broken)] if broken else []
    if not whole.is_square and len(place.layout.letters & {"h", "w"}) == len(AXIS_NAMES):
        findings.append(_create_rectangular_finding(place, sampler.kind, sampler.kernel))
    sides = [frames[letter] for letter in "hw" if letter in frames]
    if sampler.is_square and len(sides) == len(AXIS_NAMES) and call.input.shape[-1] == call.input.shape[-2]:
        findings = [replace(finding, survives=find_side_symmetries(*sides)) for finding in findings[:1]]
    layout = _layout_of_map(replace(place.layout, pending={}), output, Fraction(lcm(*sampler.stride)))
    return layout, [*before, *findings]


def _absorb_pending(sampler: SamplingLayer, axis: int, padded: PendingPadding) -> SamplingLayer:
    """The layer as one that pads by itself what was padded before it. Padding by values is seen by every pooling."""
    pads = list(sampler.pads)
    pads[axis] = padded.before, padded.after
    return replace(sampler, pads=(pads[0], pads[1]), pools=False)


def _move_pending(call: FunctionCall, layout: TracedLayout, sampler: SamplingLayer, output: Tensor) -> TracedLayout:
    """Unequal padding before windows with stride 1 and no padding of their own is a crop of what they give for more."""
    name = next(iter(layout.pending.values())).name
    pads = {}
    for axis, dim in enumerate((-2, -1)):
        for letter in layout.dims[dim] & frozenset("hw"):
            known = layout.pending.get(letter, PendingPadding(call.input.shape[dim], 0, 0, name))
            pads[letter] = replace(known, size=known.size - sampler.dilation[axis] * (sampler.kernel[axis] - 1))
    most = max(max(pad.before, pad.after) for pad in pads.values())
    moved = {letter: replace(pad.add(-most, -most), size=pad.size + 2 * most) for letter, pad in pads.items()}
    alike = len({pad.sides for pad in moved.values()}) == 1 and not any(pad.is_lopsided for pad in moved.values())
    kept = {} if alike else {letter: pad for letter, pad in moved.items() if pad.sides != ((0, 0), (0, 0))}
    return _layout_of_map(replace(layout, pending=kept), output)


def _layout_of_map(layout: TracedLayout, output: Tensor, stride: Fraction | int = 1) -> TracedLayout:
    """The layout of a new map. An axis that had one cell may have several again."""
    letters: list[AxisLetters] = [*layout.dims]
    if output.ndim != len(letters):
        return replace(layout, dims=(NO_AXES,) * output.ndim)
    missing = {"h", "w"} - set().union(*letters)
    for dim, letter in ((-2, "h"), (-1, "w")):
        letters[dim] = letters[dim] or (frozenset(letter) & missing)
    return replace(layout, stride=layout.stride * stride).with_dims(letters, output.shape)


def _create_misaligned_finding(
    place: CallSite, broken: Mapping[str, tuple[AxisWindows, SamplingLayer]]
) -> BreakingLayer:
    """The finding for windows whose mirror images are not windows, described for the first broken axis."""
    windows, _ = broken[min(broken)]
    dropped = windows.room - windows.stride * (windows.count - 1)
    both = windows.before == windows.after
    pads = f"2*{windows.before}" if both else f"{windows.before} + {windows.after}"
    rest = f"{windows.size} + {pads} - {windows.extent} = {windows.room} is no multiple of stride {windows.stride}"
    if not both:
        cause, detail = Cause.PADDING, f"{windows.before} before and {windows.after} after the {describe_axes(broken)}"
    elif windows.ceil:
        cause, detail = Cause.CEIL, f"a last window sticks out of the {describe_axes(broken)}; {rest}"
    elif dropped > windows.after:
        cause, detail = Cause.DROPPED, f"the last {dropped - windows.after} of the {describe_axes(broken)}; {rest}"
    else:
        cause, detail = Cause.WINDOWS, f"padding of the last {describe_axes(broken)} is not used; {rest}"
    return create_breaking_layer(place.name, cause, detail, "".join(broken))


def _create_rectangular_finding(place: CallSite, kind: str, kernel: tuple[int, int]) -> BreakingLayer:
    detail = f"{kind} {kernel[0]}x{kernel[1]} treats rows and columns differently"
    return create_breaking_layer(place.name, Cause.RECTANGULAR, detail, "t")


def _judge_padding(call: FunctionCall, place: CallSite) -> Ruling:
    pads = list(call.get_argument(1, "pad"))
    layout, adds_equals = place.layout, call.get_argument(2, "mode", "constant") == "constant"
    for number, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True), start=1):
        dim, size = len(layout.dims) - number, call.input.shape[-number]
        layout = pad_layout(layout, dim, size, (before, after), place.name, adds_equals)
    return layout.with_dims(layout.dims, call.output.shape), []


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
    return _layout_of_map(place.layout, call.output, stride), findings + _find_unequal_sides(call, place, call.output)


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
