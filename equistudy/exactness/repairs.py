"""Searches for edits of layers that make a network exact at a size, and confirms the edited network numerically."""

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import torch
from torch import nn

from equistudy.exactness.copies import copy_network, find_groups
from equistudy.exactness.edits import Edit, HeadInput, propose_edits
from equistudy.exactness.findings import BreakingLayer
from equistudy.exactness.numerics import NumericalJudge
from equistudy.exactness.trace import WHOLE_NETWORK, SymmetryTracer

__all__ = ["Repair", "find_repair"]

MOST_EDITS = 400  # of layers, one after another
MOST_CANDIDATES = 24  # for one layer


class Repair(NamedTuple):
    """An edited copy of a network, and the edits by the names of the layers."""

    network: nn.Module
    edits: Mapping[str, str]


def find_repair(network: nn.Module, tracer: SymmetryTracer, size: tuple[int, int]) -> Repair | None:
    """Edits that make the network commute exactly with the tracer's group at a size; None if none are found.

    Layer by layer, in the order of the forward pass, the smallest edit is chosen that removes the findings of the layer
    and keeps the number of cells. A numerical check of the edited network decides. `tracer` has judged the network at
    this size.
    """
    empty, edits = tracer.copy_empty(), []
    for _ in range(MOST_EDITS):
        current = tracer.create_successor(empty)
        findings = current.find_breaking_layers_by_shape(*size)
        if findings is None:
            return None
        if not findings:
            break
        edit, empty = _find_edit(empty, findings, current, size)
        if edit is None:
            return None
        edits.append(HeadChoice(findings[0], current.head_inputs.get(findings[0].name), edit.description))
    edited = _apply_all(network, edits)
    exact = bool(edits) and NumericalJudge(edited, tracer.group, tracer.channels).is_exact(*size)
    return Repair(edited, {choice.finding.name: choice.description for choice in edits}) if exact else None


class HeadChoice(NamedTuple):
    """An edit that was found on meta tensors, to be found again with numbers."""

    finding: BreakingLayer
    head_input: HeadInput | None
    description: str


def _find_edit(
    empty: nn.Module, findings: list[BreakingLayer], tracer: SymmetryTracer, size: tuple[int, int]
) -> tuple[Edit | None, nn.Module]:
    """The first edit that leaves no finding in its layer and causes none in other layers.

    Returned with the edited network, or with the original one if there is no such edit.
    """
    first, known = findings[0], {finding.name for finding in findings}
    shape = None
    for edit in islice(_propose(empty, first, tracer.head_inputs.get(first.name)), MOST_CANDIDATES):
        if edit.keeps_cells and isinstance(edit.replacement, nn.Module):
            shape = shape or _record_input(empty, _get_path(first), tracer.channels, size)
            if shape is None or not _keeps_cells(empty.get_submodule(_get_path(first)), edit.replacement, shape):
                continue
        candidate = _replace(empty, _get_path(first), edit.replacement)
        left = tracer.create_successor(candidate.network).find_breaking_layers_by_shape(*size)
        if left is not None and {finding.name for finding in left} <= known - {first.name}:
            return edit, candidate.network
        candidate.undo()
    return None, empty


def _propose(network: nn.Module, finding: BreakingLayer, head_input: HeadInput | None) -> Iterator[Edit]:
    groups = find_groups(network)
    order = groups[0].order if groups else 0
    return propose_edits(network, _get_path(finding), finding.cause, order, head_input)


def _get_path(finding: BreakingLayer) -> str:
    return "" if finding.name == WHOLE_NETWORK else finding.name


def _apply_all(network: nn.Module, choices: list[HeadChoice]) -> nn.Module:
    """A copy of the network with the edits."""
    edited = copy.deepcopy(network)
    for choice in choices:
        proposals = _propose(edited, choice.finding, choice.head_input)
        edit = next(edit for edit in proposals if edit.description == choice.description)
        edited = _replace(edited, _get_path(choice.finding), edit.replacement).network
    return edited


class Replacement(NamedTuple):
    """A network with a replacement, and how to undo it."""

    network: nn.Module
    undo: Callable[[], object]


def _replace(network: nn.Module, path: str, replacement: nn.Module | torch.Tensor) -> Replacement:
    """Replaces the module or tensor at this path by a module or a fixed tensor."""
    if not path and isinstance(replacement, nn.Module):
        return Replacement(replacement.train(network.training), lambda: None)
    parent, _, last = path.rpartition(".")
    owner = network.get_submodule(parent)
    known = getattr(owner, last)
    if isinstance(replacement, nn.Module):
        setattr(owner, last, replacement.train(owner.training))
        return Replacement(network, lambda: setattr(owner, last, known))
    delattr(owner, last)
    owner.register_buffer(last, replacement)

    def undo() -> None:
        delattr(owner, last)
        setattr(owner, last, known)

    return Replacement(network, undo)


def _record_input(empty: nn.Module, path: str, channels: int, size: tuple[int, int]) -> torch.Size | None:
    """The shape of the input of a layer."""
    shapes: list[torch.Size] = []
    layer = empty.get_submodule(path)
    handle = layer.register_forward_pre_hook(lambda module, arguments: shapes.append(arguments[0].shape))
    with torch.no_grad():
        empty(torch.empty(2, channels, *size, device="meta", dtype=torch.float64))
    handle.remove()
    return shapes[0] if shapes else None


def _keeps_cells(layer: nn.Module, replacement: nn.Module, shape: torch.Size) -> bool:
    """Whether the outputs have the same shape. Both networks run on meta tensors."""
    given, outputs = torch.empty(shape, device="meta", dtype=torch.float64), []
    for module in (layer, replacement):
        try:
            with torch.no_grad():
                outputs.append(copy_network(module, lambda tensor: tensor.to("meta"))(given))
        except RuntimeError:  # a window that does not fit
            return False
    return outputs[0].shape == outputs[1].shape
