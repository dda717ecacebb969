"""One forward pass of a network, without data, in which every operation is judged by its rule."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from equistudy.exactness.elements import element_names
from equistudy.exactness.findings import BreakingLayer, Cause, create_breaking_layer
from equistudy.exactness.layout import NO_AXES, FunctionCall, TracedLayout, get_layout
from equistudy.exactness.mixing import MIXING_RULES, RESHAPE_FUNCTIONS, judge_elementwise, judge_reshape
from equistudy.exactness.sampling import SAMPLING_RULES, CallSite, judge_pending_padding
from equistudy.groups.finite import FiniteGroup
from equistudy.networks.equivariant.convolution import GroupConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm

__all__ = ["GroupConvolution", "RefusedError", "SymmetryTracer", "copy_network", "find_groups", "iterate_tensors"]

BATCH_SIZE = 2
COPY_FUNCTIONS = frozenset(
    {"clone", "contiguous", "to", "detach", "float", "double", "half", "type_as", "requires_grad_"}
)
# torch takes 5 ms for the shape of a batch norm's output
SHAPE_KEEPING_FUNCTIONS = frozenset({"batch_norm", "group_norm", "layer_norm", "silu", "gelu", "sigmoid", "hardswish"})


class RefusedError(Exception):
    """The network does not take images of a size."""


class _StopPassError(Exception):
    """A finding that ends the pass early."""


def find_groups(network: nn.Module) -> list[FiniteGroup]:
    """The groups of a network's group convolutions."""
    found = [module.group for module in network.modules() if isinstance(module, GroupConvolution)]
    return list(dict.fromkeys(found))


def copy_network(network: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy in evaluation mode, every parameter and buffer converted while it is copied: nothing is there twice."""
    copied: dict[int, Tensor] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        new = convert(tensor.detach())
        copied[id(tensor)] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
    return copy.deepcopy(network, copied).eval()


def iterate_tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from iterate_tensors(item)
    elif isinstance(value, dict):
        yield from iterate_tensors(list(value.values()))


class SymmetryTracer:
    """Finds what breaks exact equivariance in a network at any input size. It works on a copy without numbers."""

    def __init__(self, network: nn.Module, group: FiniteGroup, channels: int) -> None:
        self.group, self.channels = group, channels
        self.own_groups = find_groups(network)
        self.order = self.own_groups[0].order if self.own_groups else 0
        self._network = copy_network(network, lambda tensor: tensor.to("meta"))
        for path, tensor in (*self._network.named_parameters(), *self._network.named_buffers()):
            tensor.path_in_network = path  # type: ignore[attr-defined]
        self.period = 1
        self.hopeless = False  # whether a layer was seen that breaks the features at every size

    def find_breaking_layers(self, height: int, width: int) -> list[BreakingLayer]:
        """What breaks the group in images of this size, in the order of the pass; or RefusedError."""
        found: dict[tuple[str, Cause], BreakingLayer] = {}

        def keep(finding: BreakingLayer) -> None:
            known = found.setdefault((finding.name, finding.cause), finding)
            found[finding.name, finding.cause] = replace(known, survives=known.survives & finding.survives)

        self._run_pass(height, width, keep)
        self.hopeless |= any(finding.cause.is_at_every_size and not finding.is_head for finding in found.values())
        return list(found.values())

    def accepts_size(self, size: int) -> bool:
        """Whether square images of this size are taken."""
        try:
            self._run_pass(size, size, lambda finding: None)
        except RefusedError:
            return False
        return True

    def is_exact(self, size: int) -> bool:
        """Whether features are exact for square images of this size; False also where it is refused."""

        def stop(finding: BreakingLayer) -> None:
            if not finding.is_head:
                raise _StopPassError

        try:
            self._run_pass(size, size, stop)
        except (_StopPassError, RefusedError):
            return False
        return True

    def _run_pass(self, height: int, width: int, tell: Callable[[BreakingLayer], object]) -> None:
        images = torch.empty(BATCH_SIZE, self.channels, height, width, device="meta")
        mode = _LayoutJudge(self, tell)
        dims = (NO_AXES, NO_AXES, frozenset("h"), frozenset("w"))
        images.layout_of_positions = TracedLayout(dims).with_dims(dims, images.shape)  # type: ignore[attr-defined]
        try:
            with torch.no_grad(), _track_modules(self._network, mode), mode:
                output = self._network(images)
        except _StopPassError:
            raise
        except Exception as error:  # every network has its own way of refusing a size
            raise RefusedError(f"{type(error).__name__}: {error}".rstrip(".")) from error
        for tensor in iterate_tensors(output):
            mode.judge_final_padding(tensor)


@contextmanager
def _track_modules(network: nn.Module, mode: "_LayoutJudge") -> Iterator[None]:
    """While it lasts, the judge knows in which module of the network it is."""
    handles = []
    for path, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(_create_enter_hook(mode, path)))
        handles.append(module.register_forward_hook(_create_leave_hook(mode)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _create_enter_hook(mode: "_LayoutJudge", path: str) -> Callable[..., None]:
    return lambda module, arguments: mode.stack.append((path, module))


def _create_leave_hook(mode: "_LayoutJudge") -> Callable[..., None]:
    return lambda module, arguments, output: mode.leave_module(arguments, output)


class _LayoutJudge(TorchFunctionMode):
    """Follows the layout through every torch function, and tells what breaks the group."""

    def __init__(self, tracer: SymmetryTracer, tell: Callable[[BreakingLayer], object]) -> None:
        super().__init__()
        self.tracer, self._tell = tracer, tell
        self.stack: list[tuple[str, nn.Module]] = []

    def report(self, findings: list[BreakingLayer]) -> None:
        """Tells those that concern an element of the group."""
        for finding in findings:
            if not set(self.tracer.group.element_parameters) <= finding.survives:
                self._tell(finding)

    @property
    def path(self) -> str:
        """The module that runs."""
        return self.stack[-1][0] if self.stack else ""

    def leave_module(self, arguments: Any, output: Any) -> None:
        """A module has ended. What came out of compiled code keeps the layout of what went in."""
        self.stack.pop()
        given = [tensor for tensor in iterate_tensors(arguments) if get_layout(tensor) is not None]
        for tensor in iterate_tensors(output):
            if given and get_layout(tensor) is None and tensor.ndim == given[0].ndim:
                tensor.layout_of_positions = get_layout(given[0])  # type: ignore[attr-defined]

    def judge_final_padding(self, tensor: Tensor) -> None:
        """Judges padding that nothing has read, at the end."""
        layout = get_layout(tensor)
        if layout is not None and layout.pending:
            self.report(judge_pending_padding(CallSite(self.path, layout))[1])

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function and judges it."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":  # a property, such as x.mT
            name = getattr(func.__self__, "__name__", "")
        kept = name in SHAPE_KEEPING_FUNCTIONS and isinstance(args[0], Tensor)
        output = torch.empty_like(args[0]) if kept else func(*args, **kwargs)
        call = FunctionCall(name, args, kwargs, output)
        results = list(iterate_tensors(output)) if isinstance(output, (Tensor, tuple, list)) else []
        if results and any(get_layout(tensor) is not None for tensor in call.tensors):
            layout = self._judge_call(call)
            for tensor in results:
                known = layout if tensor.ndim == len(layout.dims) else None
                tensor.layout_of_positions = known  # type: ignore[attr-defined]
        return output

    def _judge_call(self, call: FunctionCall) -> TracedLayout:
        """The layout of the output; findings are told."""
        layout = get_layout(call.input)
        assert layout is not None
        place = CallSite(self.path or "(the network itself)", layout, self.tracer.order)
        if layout.pending and not _keeps_padding(call):
            settled, findings = judge_pending_padding(place)
            self.report(findings)
            place = replace(place, layout=settled)
        if any(isinstance(module, GroupBatchNorm) for _, module in self.stack[-2:]):
            return layout  # its numbers are the same for all elements of the group
        if call.name in RESHAPE_FUNCTIONS:
            layout, findings = judge_reshape(call, place)
        else:
            rule = SAMPLING_RULES.get(call.name) or MIXING_RULES.get(call.name, judge_elementwise)
            layout, findings = rule(call, place)
        self.report(findings)
        if call.name in ("conv2d", "conv_transpose2d"):
            layout = self._judge_channels(call, place, layout)
        self.tracer.period = max(self.tracer.period, layout.stride.numerator)
        return layout

    def _judge_channels(self, call: FunctionCall, place: CallSite, layout: TracedLayout) -> TracedLayout:
        """Judges what a convolution does to channels, and says which channels of its output move."""
        moving = place.layout.dims[1]
        if moving & {"h", "w"}:
            detail, repair = (
                "the convolution sums over neighbouring pixels as over channels",
                "a convolution with stride",
            )
            self.report([create_breaking_layer(place.name, Cause.PHASES, detail, repair)])
        inside = next((m for _, m in reversed(self.stack) if isinstance(m, GroupConvolution)), None)
        dims = [*layout.dims]
        dims[1] = frozenset() if inside is None else frozenset("g")
        if inside is not None:
            self.report(_check_layer_group(place.name, inside.group, self.tracer.group))
        elif self.tracer.own_groups:
            weight = call.get_argument(1, "weight")
            if not weight.requires_grad:  # a fixed filter, such as a blur: the same for every channel
                dims[1] = moving
            elif moving or max(weight.shape[-2:]) > 1:
                detail = "learned filters that are not copies of each other, in a group-equivariant network"
                self.report([create_breaking_layer(place.name, Cause.ORDINARY, detail, "a group convolution")])
        return layout.with_dims(dims, call.output.shape)


def _keeps_padding(call: FunctionCall) -> bool:
    """Whether padding stays to be judged: by windows, by more padding, or through what acts on single cells."""
    if call.name in SAMPLING_RULES or call.name == "__getitem__" or call.name in COPY_FUNCTIONS:
        return call.name not in ("interpolate", "upsample", "unfold")
    positional = sum(get_layout(tensor) is not None for tensor in call.tensors)
    return positional == 1 and call.name not in MIXING_RULES and call.name not in RESHAPE_FUNCTIONS


def _check_layer_group(name: str, own: FiniteGroup, asked: FiniteGroup) -> list[BreakingLayer]:
    """A finding if a layer's group lacks elements."""
    survives = frozenset(own.element_parameters)
    if set(asked.element_parameters) <= survives:
        return []
    detail = f"the layer is built for {', '.join(element_names(survives))} only"
    return [BreakingLayer(name, Cause.GROUP, detail, f"a group convolution of {asked}", survives)]
