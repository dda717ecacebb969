"""Tracks which tensors come from parameters: learned filters transform with the image, fixed blurs do not."""

from typing import Any

from torch import nn

from equistudy.exactness.copies import iterate_tensors

__all__ = ["LIKE_FUNCTIONS", "is_learned", "mark_parameters", "propagate_learned"]

# Of these functions, tensors other than the first give a type or a shape alone.
LIKE_FUNCTIONS = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as", "type"})


def mark_parameters(network: nn.Module) -> None:
    """Marks every parameter as learned, and stores the path of every tensor of the network."""
    for path, tensor in (*network.named_parameters(), *network.named_buffers()):
        tensor.path_in_network = path  # type: ignore[attr-defined]
        if isinstance(tensor, nn.Parameter):
            tensor.is_learned = True  # type: ignore[attr-defined]


def is_learned(tensor: Any) -> bool:
    """Whether a tensor is a parameter or was computed from one."""
    return bool(getattr(tensor, "is_learned", False))


def propagate_learned(name: str, args: Any, kwargs: Any, output: Any) -> None:
    """Marks an output as learned if an input is."""
    sources = args[:1] if name in LIKE_FUNCTIONS else (args, kwargs)
    if any(is_learned(tensor) for tensor in iterate_tensors(sources)):
        for tensor in iterate_tensors(output):
            tensor.is_learned = True  # type: ignore[attr-defined]
