"""Tracks the layout of features through every torch function and applies the rules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from equistudy.exactness.callsite import CallSite, Rule
from equistudy.exactness.constants import ConstantMemory
from equistudy.exactness.copies import LIKE_FUNCTIONS, is_learned, iterate_tensors, propagate_learned
from equistudy.exactness.elements import ALL_ELEMENTS, element_names
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import NO_AXES, FunctionCall, PendingPadding, TracedLayout, get_layout, reduce_layout
from equistudy.exactness.mixing import MIXING_RULES, judge_elementwise
from equistudy.exactness.moving import MOVING_RULES, REDUCTIONS, RESHAPE_FUNCTIONS, judge_reshape
from equistudy.exactness.padding import judge_pending_padding
from equistudy.exactness.precision import Float64Mode
from equistudy.exactness.sampling import SAMPLING_RULES
from equistudy.groups.finite import FiniteGroup
from equistudy.networks.equivariant.convolution import GroupConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm

__all__ = ["WHOLE_NETWORK", "LayoutJudge", "StopPassError"]

WHOLE_NETWORK = "(the network itself)"  # the name of what happens in no module of its own

COPY_FUNCTIONS = frozenset(
    {"clone", "contiguous", "to", "detach", "float", "double", "half", "type_as", "requires_grad_", "alias"}
)
# On meta tensors torch takes 5 ms for the shape of a batch norm's output.
SHAPE_KEEPING_FUNCTIONS = frozenset({"batch_norm", "group_norm", "layer_norm", "silu", "gelu", "sigmoid", "hardswish"})
COMBINING_FUNCTIONS = frozenset({"cat", "concat", "concatenate", "stack"})
CONVOLUTIONS = frozenset({"conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d"})
NEW_FUNCTIONS = frozenset(
    {f"{name}_like" for name in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")}
    | {f"new_{name}" for name in ("zeros", "ones", "empty", "full", "tensor")}
)
POINTWISE_FUNCTIONS = frozenset(
    {
        "permute",
        "transpose",
        "movedim",
        "mT",
        "chunk",
        "split",
        "tensor_split",
        "cat",
        "batch_norm",
        "prelu",
        "linear",
        "layer_norm",
    }
)
SETTLING_FUNCTIONS = frozenset({"interpolate", "upsample", "unfold", "conv_transpose2d"})
READING_FUNCTIONS = frozenset({"__bool__", "__float__", "__int__", "__index__", "item", "tolist", "numpy", "nonzero"})
RULES: dict[str, Rule] = {**SAMPLING_RULES, **MIXING_RULES, **MOVING_RULES}


class StopPassError(Exception):
    """A finding that ends the pass early."""


@runtime_checkable
class Tracer(Protocol):
    """What the judge needs from the tracer: the groups, and where to record its findings."""

    group: FiniteGroup
    own_groups: list[FiniteGroup]
    order: int
    constants: ConstantMemory
    uncovered: set[tuple[str, str]]
    period: int
    head_inputs: dict[str, tuple[TracedLayout, tuple[int, ...]]]


class LayoutJudge(Float64Mode):
    """Tracks the layout through every torch function and reports what breaks the group."""

    def __init__(self, tracer: Tracer, tell: Callable[[BreakingLayer], object]) -> None:
        super().__init__()
        self.tracer, self._tell = tracer, tell
        self.stack: list[tuple[str, nn.Module]] = []

    def report(self, findings: list[BreakingLayer]) -> None:
        """Reports the findings that concern an element of the group."""
        for finding in findings:
            if not set(self.tracer.group.element_parameters) <= finding.survives:
                self._tell(finding)

    @property
    def place_name(self) -> str:
        """The module that is running."""
        return (self.stack[-1][0] if self.stack else "") or WHOLE_NETWORK

    def create_place(self, layout: TracedLayout) -> CallSite:
        """Where a call with an input of this layout happens."""
        tracer = self.tracer
        return CallSite(self.place_name, layout, tracer.order, tracer.uncovered, tracer.constants)

    def leave_module(self, arguments: Any, output: Any) -> None:
        """Handles the end of a module: outputs of compiled code keep the layout of its input but are not covered."""
        given = [tensor for tensor in iterate_tensors(arguments) if get_layout(tensor) is not None]
        for tensor in iterate_tensors(output):
            if given and get_layout(tensor) is None and tensor.ndim == given[0].ndim:
                layout = get_layout(given[0])
                tensor.layout_of_positions = layout  # type: ignore[attr-defined]
                if layout is not None and layout.letters and not _is_scripted(self.stack[-1][1]):
                    self.create_place(layout).note_uncovered("a function that torch does not report")
        self.stack.pop()

    def judge_output(self, tensor: Tensor) -> None:
        """Judges what is pending at the end: unread padding, and flipped features."""
        layout = get_layout(tensor)
        if layout is not None:
            place = self.create_place(layout)
            place = self._settle_single_axes(FunctionCall("", (tensor,), {}, tensor), place)
            self.report(judge_pending_padding(place)[1] if layout.pending else [])
            self.report(place.judge_frame())

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Runs the function and judges it."""
        if name == "__get__":  # a property, such as x.mT
            name = getattr(func.__self__, "__name__", "")
        if name == "unfold" and len(args) + len(kwargs) == 4 and isinstance(args[1] if len(args) > 1 else 0, int):
            name = "Tensor.unfold"
        kept = name in SHAPE_KEEPING_FUNCTIONS and isinstance(args[0], Tensor) and args[0].is_meta
        output = torch.empty_like(args[0]) if kept else func(*args, **kwargs)
        call = FunctionCall(name, args, kwargs, output)
        results = list(iterate_tensors(output)) if isinstance(output, (Tensor, tuple, list)) else []
        positional = [tensor for tensor in call.tensors if get_layout(tensor) is not None]
        if name in LIKE_FUNCTIONS and get_layout(args[0]) is None:
            positional = []
        if name in NEW_FUNCTIONS:
            return output  # its numbers do not depend on the image
        propagate_learned(name, args, kwargs, output)
        if positional and (name in READING_FUNCTIONS or name == "__setitem__"):
            self._note_reading(call, positional)
        elif positional and results:
            self._attach(results, self._judge_call(call))
        return output

    def _attach(self, results: list[Tensor], found: TracedLayout | list[TracedLayout]) -> None:
        layouts = found if isinstance(found, list) else [found] * len(results)
        for tensor, layout in zip(results, layouts, strict=True):
            known = layout if tensor.ndim == len(layout.dims) else TracedLayout((NO_AXES,) * tensor.ndim)
            tensor.layout_of_positions = known  # type: ignore[attr-defined]

    def _note_reading(self, call: FunctionCall, positional: list[Tensor]) -> None:
        """Records control flow that depends on the image, and writes into other tensors: no rule covers these."""
        layout = get_layout(positional[0])
        assert layout is not None
        what = "assignment" if call.name == "__setitem__" else "control flow that depends on the image"
        self.create_place(layout).note_uncovered(what)
        if call.name == "__setitem__" and get_layout(call.args[0]) is None:
            same = call.args[0].ndim == len(layout.dims)
            dims = layout.dims if same else (NO_AXES,) * call.args[0].ndim
            call.args[0].layout_of_positions = layout.with_dims(dims, call.args[0].shape)

    def _judge_call(self, call: FunctionCall) -> TracedLayout | list[TracedLayout]:
        """The layout of the output; reports findings."""
        layout = get_layout(call.input)
        assert layout is not None
        moving = [found for tensor in call.tensors if (found := get_layout(tensor)) is not None and found.letters]
        if not moving:
            return TracedLayout((NO_AXES,) * next(iterate_tensors(call.output)).ndim, layout.stride)
        place = self.create_place(layout)
        if any(found.pending for found in moving) and not _keeps_padding(call, moving):
            place = self._settle_padding(call, place)
        place = self._settle_single_axes(call, place)
        if any(isinstance(module, GroupBatchNorm) for _, module in self.stack[-2:]):
            return place.layout  # its numbers are the same for all elements of the group
        rule = judge_reshape if call.name in RESHAPE_FUNCTIONS else RULES.get(call.name, judge_elementwise)
        output, findings = rule(call, place)
        self.report(findings)
        if any(finding.is_head for finding in findings):
            self.tracer.head_inputs[place.name] = place.layout, tuple(call.input.shape)
        if call.name in COMBINING_FUNCTIONS or call.name not in RULES:
            self.report(place.judge_streams(call))
        if call.name in CONVOLUTIONS and isinstance(output, TracedLayout):
            output = self._judge_channels(call, place, output)
        self._extend_period(call, place, output)
        return output

    def _settle_padding(self, call: FunctionCall, place: CallSite) -> CallSite:
        """Judges pending padding before a function that does not treat it as padding."""
        total = _reduces_all(call)
        for tensor in call.tensors:
            layout = get_layout(tensor)
            if layout is not None and layout.pending:
                if total:  # where equal cells lie makes no difference to a mean over all
                    left = {letter: pad for letter, pad in layout.pending.items() if not _is_lost_in_total(pad)}
                    layout = replace(layout, pending=left)
                settled, findings = judge_pending_padding(replace(place, layout=layout))
                self.report(findings)
                tensor.layout_of_positions = settled  # type: ignore[attr-defined]
        layout = get_layout(call.input)
        assert layout is not None
        return replace(place, layout=layout)

    def _settle_single_axes(self, call: FunctionCall, place: CallSite) -> CallSite:
        """Judges what was done to only one axis, unless this call may do the same to the other."""
        layout = place.layout
        if layout.reduced and call.name not in (*COPY_FUNCTIONS, *RESHAPE_FUNCTIONS, layout.reduced):
            detail = f"{layout.reduced} of one axis before the other"
            self.report([create_breaking_layer(place.name, Cause.RECTANGULAR, detail, "t")])
            layout = replace(layout, reduced="")
        if layout.steps and call.name not in (*COPY_FUNCTIONS, "__getitem__", "narrow", "Tensor.unfold"):
            if layout.letters >= {"h", "w"}:
                detail = "rows and columns are read with different steps"
                self.report([create_breaking_layer(place.name, Cause.RECTANGULAR, detail, "t")])
            layout = replace(layout, steps={})
        if layout is not place.layout:
            call.input.layout_of_positions = layout  # type: ignore[attr-defined]
        return replace(place, layout=layout)

    def _extend_period(self, call: FunctionCall, place: CallSite, found: TracedLayout | list[TracedLayout]) -> None:
        """Exact sizes repeat with the stride of every map, and with windows into which a reshape divides an axis."""
        layouts = found if isinstance(found, list) else [found]
        steps = [layout.stride.numerator for layout in layouts]
        if call.name in RESHAPE_FUNCTIONS and isinstance(call.output, Tensor):
            dims = [letters & {"h", "w"} for letters in layouts[0].dims]
            split = [d for d, letters in enumerate(dims) if letters and dims.count(letters) > 1]
            if len(split) > sum(bool(letters & {"h", "w"}) for letters in place.layout.dims):
                steps += [place.layout.stride.numerator * call.output.shape[d] for d in split]
        if next(iterate_tensors(call.output)).is_meta:
            return  # the period is that of the size that was asked for
        for step in steps:
            together = torch.tensor(self.tracer.period).lcm(torch.tensor(step)).item()
            self.tracer.period = int(together) if together <= MAX_PERIOD else max(self.tracer.period, step)

    def _judge_channels(self, call: FunctionCall, place: CallSite, layout: TracedLayout) -> TracedLayout:
        """Judges what a convolution does to channels, and which of its output channels transform."""
        moving = place.layout.dims[1]
        if moving & {"h", "w"}:
            detail = "the convolution sums over neighbouring pixels as over channels"
            self.report([create_breaking_layer(place.name, Cause.PHASES, detail)])
        inside = next((m for _, m in reversed(self.stack) if isinstance(m, GroupConvolution)), None)
        weight, dims = call.get_argument(1, "weight"), [*layout.dims]
        dims[1] = NO_AXES if inside is None else frozenset("g")
        learned = is_learned(weight)
        if inside is not None:
            self.report(_check_layer_group(place.name, inside.group, self.tracer.group))
        elif not learned:
            dims[1] = moving  # a fixed filter, such as a blur, is the same for every channel
            self.report(_judge_fixed_filter(place, weight))
        elif self.tracer.own_groups and (moving or max(weight.shape[-2:]) > 1):
            detail = "learned filters that are not copies of each other, in a group-equivariant network"
            self.report([create_breaking_layer(place.name, Cause.ORDINARY, detail)])
        if inside is None and max(weight.shape[-2:]) > 1 and learned:
            self.report(place.judge_frame())
        return layout.with_dims(dims, call.output.shape)


MAX_PERIOD = 512


def _is_scripted(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def _keeps_padding(call: FunctionCall, moving: list[TracedLayout]) -> bool:
    """Whether padding stays pending: for windows, more padding, or functions that act on single cells."""
    if call.name in SAMPLING_RULES or call.name in ("__getitem__", "narrow", "flip", "roll", *COPY_FUNCTIONS):
        return call.name not in SETTLING_FUNCTIONS and not call.name.startswith("adaptive")
    alike = all(layout.pending == moving[0].pending for layout in moving)
    if call.name in POINTWISE_FUNCTIONS:
        over = -1 if call.name == "linear" else 0
        over = -len(call.get_argument(1, "normalized_shape")) if call.name == "layer_norm" else over
        return alike and not NO_AXES.union(*moving[0].dims[over:] if over else ()) & {"h", "w"}
    return alike and call.name not in RULES and call.name not in RESHAPE_FUNCTIONS


def _reduces_all(call: FunctionCall) -> bool:
    """Whether the output has no rows or no columns."""
    if call.name.startswith("adaptive"):
        output = next(iterate_tensors(call.output))
        return max(output.shape[-2:]) == 1
    layout = get_layout(call.input)
    if call.name not in REDUCTIONS or layout is None:
        return False
    return not reduce_layout(call, layout, next(iterate_tensors(call.output)).shape).letters & {"h", "w"}


def _is_lost_in_total(pad: PendingPadding) -> bool:
    return pad.rolled or (min(pad.before, pad.after) >= 0 and pad.adds_equals and pad.lost == (0, 0))


def _judge_fixed_filter(place: CallSite, weight: Tensor) -> list[BreakingLayer]:
    """A finding for a fixed filter that changes under some elements."""
    dims = [NO_AXES] * (weight.ndim - 2) + [frozenset("h"), frozenset("w")]
    survives = place.constants.find_symmetries((place.name, "filter"), weight, dims)
    if survives is None or survives == ALL_ELEMENTS:
        return []
    detail = "the filter is not learned, so it does not move with the image"
    return [BreakingLayer(place.name, Cause.FIXED, detail, survives)]


def _check_layer_group(name: str, own: FiniteGroup, asked: FiniteGroup) -> list[BreakingLayer]:
    """A finding if a layer's group lacks elements."""
    survives = frozenset(own.element_parameters)
    if set(asked.element_parameters) <= survives:
        return []
    detail = f"the layer is built for {', '.join(element_names(survives))} only"
    return [BreakingLayer(name, Cause.GROUP, detail, survives)]
