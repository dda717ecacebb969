"""One forward pass of a network in which every operation is judged by its rule."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from equistudy.exactness.constants import ConstantMemory
from equistudy.exactness.copies import (
    RefusedError,
    copy_network,
    describe_error,
    find_groups,
    iterate_tensors,
    mark_parameters,
)
from equistudy.exactness.findings import BreakingLayer, Cause
from equistudy.exactness.layout import NO_AXES, TracedLayout
from equistudy.exactness.layout_judge import WHOLE_NETWORK, LayoutJudge, StopPassError
from equistudy.exactness.precision import run_in_float64
from equistudy.groups.finite import FiniteGroup

__all__ = ["WHOLE_NETWORK", "SymmetryTracer"]

BATCH_SIZE = 2
_PRECISE = dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), torch.float64)


class SymmetryTracer:
    """Finds what breaks exact equivariance in a network, by rules.

    The first pass runs with numbers, so that constants can be inspected. Passes at other sizes run on meta tensors and
    assume that the constants of a layer have the symmetries found in the first pass.
    """

    def __init__(self, network: nn.Module, group: FiniteGroup, channels: int) -> None:
        self.group, self.channels = group, channels
        self.own_groups = find_groups(network)
        self.order = self.own_groups[0].order if self.own_groups else 0
        self.network = network
        self.constants = ConstantMemory()
        self.uncovered: set[tuple[str, str]] = set()
        self.period = 1
        self.head_inputs: dict[str, tuple[TracedLayout, tuple[int, ...]]] = {}  # of layers that read moving features
        self.hopeless = False  # whether a layer was seen that breaks the features at every size
        self._empty: nn.Module | None = None
        self._exact: dict[int, bool] = {}

    def find_breaking_layers(self, image: Tensor) -> list[BreakingLayer]:
        """The layers that break the group for this image, in the order of the pass; RefusedError if it is refused."""
        found: dict[tuple[str, Cause], BreakingLayer] = {}

        def keep(finding: BreakingLayer) -> None:
            known = found.setdefault((finding.name, finding.cause), finding)
            found[finding.name, finding.cause] = replace(known, survives=known.survives & finding.survives)

        self._run_pass(self.network, image.expand(BATCH_SIZE, -1, -1, -1).clone(), keep)
        self.hopeless |= any(finding.cause.is_at_every_size and not finding.is_head for finding in found.values())
        return list(found.values())

    def create_successor(self, empty: nn.Module) -> "SymmetryTracer":
        """A tracer of another network on meta tensors, which knows the constants that this one has seen."""
        successor = SymmetryTracer(empty, self.group, self.channels)
        successor.constants, successor._empty = self.constants, empty
        return successor

    def find_breaking_layers_by_shape(self, height: int, width: int) -> list[BreakingLayer] | None:
        """The layers that break the group at a size, on meta tensors; None if the network does not run on them."""
        found: dict[tuple[str, Cause], BreakingLayer] = {}
        images = torch.empty(BATCH_SIZE, self.channels, height, width, device="meta")
        try:
            self._run_pass(
                self._get_empty(), images, lambda finding: found.setdefault((finding.name, finding.cause), finding)
            )
        except RefusedError:
            return None
        return list(found.values())

    def accepts_size(self, size: int) -> bool:
        """Whether square images of this size pass, as far as shapes are concerned."""
        return self._run_empty_pass(size, lambda finding: None)

    def is_exact(self, size: int) -> bool:
        """Whether rules find features exact for square images of this size; False if the size is refused."""

        def stop(finding: BreakingLayer) -> None:
            if not finding.is_head:
                raise StopPassError

        if size not in self._exact:
            self._exact[size] = self._run_empty_pass(size, stop)
        return self._exact[size]

    def _run_empty_pass(self, size: int, tell: Callable[[BreakingLayer], object]) -> bool:
        try:
            self._run_pass(self._get_empty(), torch.empty(BATCH_SIZE, self.channels, size, size, device="meta"), tell)
        except (StopPassError, RefusedError):
            return False
        return True

    def copy_empty(self) -> nn.Module:
        """A copy of the network on meta tensors, except for its buffers."""
        return copy.deepcopy(self._get_empty())

    def _get_empty(self) -> nn.Module:
        if self._empty is None:
            self._empty = copy_network(self.network, lambda tensor: tensor.to("meta", _PRECISE.get(tensor.dtype)))
            for empty, buffer in zip(self._empty.buffers(), self.network.buffers(), strict=True):
                empty.numbers = buffer  # type: ignore[attr-defined]  # for what looks at constants
        return self._empty

    def _run_pass(self, network: nn.Module, images: Tensor, tell: Callable[[BreakingLayer], object]) -> None:
        judge = LayoutJudge(self, tell)
        mark_parameters(network)
        dims = (NO_AXES, NO_AXES, frozenset("h"), frozenset("w"))
        images.layout_of_positions = TracedLayout(dims).with_dims(dims, images.shape)  # type: ignore[attr-defined]
        try:
            with torch.random.fork_rng(devices=[]), _track_modules(network, judge), run_in_float64(judge):
                torch.manual_seed(0)
                output = network(images)
        except StopPassError:
            raise
        except Exception as error:  # every network has its own way of refusing a size
            raise RefusedError(describe_error(error)) from error
        for tensor in iterate_tensors(output):
            judge.judge_output(tensor)


@contextmanager
def _track_modules(network: nn.Module, judge: LayoutJudge) -> Iterator[None]:
    """Tells the judge which module of the network is running."""
    handles = []
    for path, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(_create_enter_hook(judge, path)))
        handles.append(module.register_forward_hook(_create_leave_hook(judge)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _create_enter_hook(judge: LayoutJudge, path: str) -> Callable[..., None]:
    return lambda module, arguments: judge.stack.append((path, module))


def _create_leave_hook(judge: LayoutJudge) -> Callable[..., None]:
    return lambda module, arguments, output: judge.leave_module(arguments, output)
