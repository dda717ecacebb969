"""One forward pass of a network, without data, in which every operation is judged by its rule."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from equistudy.exactness.elements import names_of
from equistudy.exactness.findings import Cause, Finding, breaks
from equistudy.exactness.layout import NONE, Call, Layout, layout_of
from equistudy.exactness.mixing import MIXING, RESHAPES, elementwise, reshaped
from equistudy.exactness.sampling import SAMPLING, Place, judged_padding
from equistudy.groups.finite import FiniteGroup
from equistudy.networks.equivariant.convolution import GroupConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm

__all__ = ["GroupConvolution", "RefusedError", "Tracer", "groups_of", "replica", "tensors_in"]

BATCH = 2
COPIES = frozenset({"clone", "contiguous", "to", "detach", "float", "double", "half", "type_as", "requires_grad_"})
# torch takes 5 ms for the shape of a batch norm's output
SHAPE_KEEPING = frozenset({"batch_norm", "group_norm", "layer_norm", "silu", "gelu", "sigmoid", "hardswish"})


class RefusedError(Exception):
    """The network does not take images of a size."""


class _EnoughError(Exception):
    """A finding that ends the pass early."""


def groups_of(network: nn.Module) -> list[FiniteGroup]:
    """The groups of a network's group convolutions."""
    found = [module.group for module in network.modules() if isinstance(module, GroupConvolution)]
    return list(dict.fromkeys(found))


def replica(network: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy in evaluation mode, every parameter and buffer converted while it is copied: nothing is there twice."""
    copied: dict[int, Tensor] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        new = convert(tensor.detach())
        copied[id(tensor)] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
    return copy.deepcopy(network, copied).eval()


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


class Tracer:
    """Finds what breaks exact equivariance in a network at any input size. It works on a copy without numbers."""

    def __init__(self, network: nn.Module, group: FiniteGroup, channels: int) -> None:
        self.group, self.channels = group, channels
        self.own_groups = groups_of(network)
        self.order = self.own_groups[0].order if self.own_groups else 0
        self._network = replica(network, lambda tensor: tensor.to("meta"))
        for path, tensor in (*self._network.named_parameters(), *self._network.named_buffers()):
            tensor.path_in_network = path  # type: ignore[attr-defined]
        self.period = 1
        self.hopeless = False  # whether a layer was seen that breaks the features at every size

    def findings(self, height: int, width: int) -> list[Finding]:
        """What breaks the group in images of this size, in the order of the pass; or RefusedError."""
        found: dict[tuple[str, Cause], Finding] = {}

        def keep(finding: Finding) -> None:
            known = found.setdefault((finding.name, finding.cause), finding)
            found[finding.name, finding.cause] = replace(known, survives=known.survives & finding.survives)

        self._pass(height, width, keep)
        self.hopeless |= any(finding.cause.at_every_size and not finding.head for finding in found.values())
        return list(found.values())

    def takes(self, size: int) -> bool:
        """Whether square images of this size are taken."""
        try:
            self._pass(size, size, lambda finding: None)
        except RefusedError:
            return False
        return True

    def exact(self, size: int) -> bool:
        """Whether features are exact for square images of this size; False also where it is refused."""

        def stop(finding: Finding) -> None:
            if not finding.head:
                raise _EnoughError

        try:
            self._pass(size, size, stop)
        except (_EnoughError, RefusedError):
            return False
        return True

    def _pass(self, height: int, width: int, tell: Callable[[Finding], object]) -> None:
        images = torch.empty(BATCH, self.channels, height, width, device="meta")
        mode = _Judge(self, tell)
        dims = (NONE, NONE, frozenset("h"), frozenset("w"))
        images.layout_of_positions = Layout(dims).with_dims(dims, images.shape)  # type: ignore[attr-defined]
        try:
            with torch.no_grad(), _named(self._network, mode), mode:
                output = self._network(images)
        except _EnoughError:
            raise
        except Exception as error:  # every network has its own way of refusing a size
            raise RefusedError(f"{type(error).__name__}: {error}".rstrip(".")) from error
        for tensor in tensors_in(output):
            mode.conclude(tensor)


@contextmanager
def _named(network: nn.Module, mode: "_Judge") -> Iterator[None]:
    """While it lasts, the judge knows in which module of the network it is."""
    handles = []
    for path, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(_entering(mode, path)))
        handles.append(module.register_forward_hook(_leaving(mode)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(mode: "_Judge", path: str) -> Callable[..., None]:
    return lambda module, arguments: mode.stack.append((path, module))


def _leaving(mode: "_Judge") -> Callable[..., None]:
    return lambda module, arguments, output: mode.left(arguments, output)


class _Judge(TorchFunctionMode):
    """Follows the layout through every torch function, and tells what breaks the group."""

    def __init__(self, tracer: Tracer, tell: Callable[[Finding], object]) -> None:
        super().__init__()
        self.tracer, self._tell = tracer, tell
        self.stack: list[tuple[str, nn.Module]] = []

    def tell(self, findings: list[Finding]) -> None:
        """Tells those that concern an element of the group."""
        for finding in findings:
            if not set(self.tracer.group.rows) <= finding.survives:
                self._tell(finding)

    @property
    def path(self) -> str:
        """The module that runs."""
        return self.stack[-1][0] if self.stack else ""

    def left(self, arguments: Any, output: Any) -> None:
        """A module has ended. What came out of compiled code keeps the layout of what went in."""
        self.stack.pop()
        given = [tensor for tensor in tensors_in(arguments) if layout_of(tensor) is not None]
        for tensor in tensors_in(output):
            if given and layout_of(tensor) is None and tensor.ndim == given[0].ndim:
                tensor.layout_of_positions = layout_of(given[0])  # type: ignore[attr-defined]

    def conclude(self, tensor: Tensor) -> None:
        """Judges padding that nothing has read, at the end."""
        layout = layout_of(tensor)
        if layout is not None and layout.pending:
            self.tell(judged_padding(Place(self.path, layout))[1])

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function and judges it."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":  # a property, such as x.mT
            name = getattr(func.__self__, "__name__", "")
        kept = name in SHAPE_KEEPING and isinstance(args[0], Tensor)
        output = torch.empty_like(args[0]) if kept else func(*args, **kwargs)
        call = Call(name, args, kwargs, output)
        results = list(tensors_in(output)) if isinstance(output, (Tensor, tuple, list)) else []
        if results and any(layout_of(tensor) is not None for tensor in call.tensors):
            layout = self._judged(call)
            for tensor in results:
                known = layout if tensor.ndim == len(layout.dims) else None
                tensor.layout_of_positions = known  # type: ignore[attr-defined]
        return output

    def _judged(self, call: Call) -> Layout:
        """The layout of the output; findings are told."""
        layout = layout_of(call.input)
        assert layout is not None
        place = Place(self.path or "(the network itself)", layout, self.tracer.order)
        if layout.pending and not _keeps_padding(call):
            settled, findings = judged_padding(place)
            self.tell(findings)
            place = replace(place, layout=settled)
        if any(isinstance(module, GroupBatchNorm) for _, module in self.stack[-2:]):
            return layout  # its numbers are the same for all elements of the group
        if call.name in RESHAPES:
            layout, findings = reshaped(call, place)
        else:
            rule = SAMPLING.get(call.name) or MIXING.get(call.name, elementwise)
            layout, findings = rule(call, place)
        self.tell(findings)
        if call.name in ("conv2d", "conv_transpose2d"):
            layout = self._channels(call, place, layout)
        self.tracer.period = max(self.tracer.period, layout.stride.numerator)
        return layout

    def _channels(self, call: Call, place: Place, layout: Layout) -> Layout:
        """Judges what a convolution does to channels, and says which channels of its output move."""
        moving = place.layout.dims[1]
        if moving & {"h", "w"}:
            detail, repair = (
                "the convolution sums over neighbouring pixels as over channels",
                "a convolution with stride",
            )
            self.tell([breaks(place.name, Cause.PHASES, detail, repair)])
        inside = next((m for _, m in reversed(self.stack) if isinstance(m, GroupConvolution)), None)
        dims = [*layout.dims]
        dims[1] = frozenset() if inside is None else frozenset("g")
        if inside is not None:
            self.tell(_of_smaller_group(place.name, inside.group, self.tracer.group))
        elif self.tracer.own_groups:
            weight = call.get(1, "weight")
            if not weight.requires_grad:  # a fixed filter, such as a blur: the same for every channel
                dims[1] = moving
            elif moving or max(weight.shape[-2:]) > 1:
                detail = "learned filters that are not copies of each other, in a group-equivariant network"
                self.tell([breaks(place.name, Cause.ORDINARY, detail, "a group convolution")])
        return layout.with_dims(dims, call.output.shape)


def _keeps_padding(call: Call) -> bool:
    """Whether padding stays to be judged: by windows, by more padding, or through what acts on single cells."""
    if call.name in SAMPLING or call.name == "__getitem__" or call.name in COPIES:
        return call.name not in ("interpolate", "upsample", "unfold")
    positional = sum(layout_of(tensor) is not None for tensor in call.tensors)
    return positional == 1 and call.name not in MIXING and call.name not in RESHAPES


def _of_smaller_group(name: str, own: FiniteGroup, asked: FiniteGroup) -> list[Finding]:
    """A finding if a layer's group lacks elements."""
    survives = frozenset(own.rows)
    if set(asked.rows) <= survives:
        return []
    detail = f"the layer is built for {', '.join(names_of(survives))} only"
    return [Finding(name, Cause.GROUP, detail, f"a group convolution of {asked}", survives)]
