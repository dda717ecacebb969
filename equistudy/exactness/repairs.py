"""Searches edits of layers that make a network exact at a size, and confirms the edited network by numbers."""

import copy
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

import torch
from torch import nn

from equistudy.exactness.copies import copy_network, find_groups
from equistudy.exactness.edits import Edit, propose_edits
from equistudy.exactness.findings import BreakingLayer
from equistudy.exactness.numerics import NumericalJudge
from equistudy.exactness.trace import WHOLE_NETWORK, SymmetryTracer

__all__ = ["Repair", "find_repair"]

MOST_EDITS = 400  # of layers, one after another
MOST_CANDIDATES = 24  # for one layer


class Repair(NamedTuple):
    """An edited copy of a network, and what was done to its layers, by their names."""

    network: nn.Module
    edits: Mapping[str, str]


def find_repair(network: nn.Module, tracer: SymmetryTracer, size: tuple[int, int]) -> Repair | None:
    """Edits with which the network commutes exactly with the tracer's group at a size; None if none were found.

    Layer by layer in the order of the pass, the smallest edit is taken that removes what breaks the group there and
    leaves the number of cells as it is. The numbers of the edited network have the last word. `tracer` has judged
    the network at this size.
    """
    edited, edits = copy.deepcopy(network), {}
    for _ in range(MOST_EDITS):
        current = tracer.create_successor(edited)
        findings = current.find_breaking_layers_by_shape(*size)
        if findings is None:
            return None
        if not findings:
            break
        edit = _find_edit(edited, findings, current, size)
        if edit is None:
            return None
        edits[findings[0].name] = edit.description
        edited = _apply(edited, findings[0].name, edit)
    exact = bool(edits) and NumericalJudge(edited, tracer.group, tracer.channels).is_exact(*size)
    return Repair(edited, edits) if exact else None


def _find_edit(
    network: nn.Module, findings: list[BreakingLayer], tracer: SymmetryTracer, size: tuple[int, int]
) -> Edit | None:
    """The first edit after which nothing is found in its layer, nor in any where nothing was found before."""
    first, groups = findings[0], find_groups(network)
    order = groups[0].order if groups else 0
    known = {finding.name for finding in findings[1:]} - {first.name}
    path = "" if first.name == WHOLE_NETWORK else first.name
    shape = None
    proposals = propose_edits(network, path, first.cause, order, tracer.head_inputs.get(first.name))
    for edit in islice(proposals, MOST_CANDIDATES):
        if edit.keeps_cells and isinstance(edit.replacement, nn.Module):
            shape = shape or _record_input(network, path, tracer.channels, size)
            if shape is None or not _keeps_cells(network.get_submodule(path), edit.replacement, shape):
                continue
        left = tracer.create_successor(_apply(network, first.name, edit)).find_breaking_layers_by_shape(*size)
        if left is not None and {finding.name for finding in left} <= known:
            return edit
    return None


def _record_input(network: nn.Module, path: str, channels: int, size: tuple[int, int]) -> torch.Size | None:
    """The shape of what a layer is given."""
    empty, shapes = copy_network(network, lambda tensor: tensor.to("meta")), []
    layer = empty.get_submodule(path)
    layer.register_forward_pre_hook(lambda module, arguments: shapes.append(arguments[0].shape))
    with torch.no_grad():
        empty(torch.empty(2, channels, *size, device="meta"))
    return shapes[0] if shapes else None


def _keeps_cells(layer: nn.Module, replacement: nn.Module, shape: torch.Size) -> bool:
    """Whether the outputs have one shape. Both run without numbers."""
    given, outputs = torch.empty(shape, device="meta"), []
    for module in (layer, replacement):
        try:
            with torch.no_grad():
                outputs.append(copy_network(module, lambda tensor: tensor.to("meta"))(given.to(_get_dtype(module))))
        except RuntimeError:  # a window that does not fit
            return False
    return outputs[0].shape == outputs[1].shape


def _get_dtype(module: nn.Module) -> torch.dtype:
    return next((parameter.dtype for parameter in module.parameters()), torch.float32)


def _apply(network: nn.Module, name: str, edit: Edit) -> nn.Module:
    """A copy of the network with the edit."""
    replacement = copy.deepcopy(edit.replacement)
    if name == WHOLE_NETWORK and isinstance(replacement, nn.Module):
        return replacement.train(network.training)
    edited = copy.deepcopy(network)
    parent, _, last = name.rpartition(".")
    owner = edited.get_submodule(parent)
    if isinstance(replacement, nn.Module):
        setattr(owner, last, replacement.train(owner.training))
        return edited
    delattr(owner, last)
    owner.register_buffer(last, replacement)
    return edited
