"""Copies of networks in evaluation mode, what is known of them before they run, and which tensors are learned."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from equistudy.groups.finite import FiniteGroup
from equistudy.networks.equivariant.convolution import GroupConvolution

__all__ = [
    "LIKE_FUNCTIONS",
    "RefusedError",
    "copy_network",
    "describe_error",
    "find_groups",
    "is_learned",
    "iterate_tensors",
    "mark_parameters",
    "propagate_learned",
    "randomise_weights",
]

SPREAD = 0.3  # standard deviation of the random numbers added to weights and biases
FADED = 1e-3  # weights with a smaller root mean square would hide what they multiply


class RefusedError(Exception):
    """The network does not take images of a size."""


def describe_error(error: Exception) -> str:
    """An error of a network, for use within a sentence."""
    return f"{type(error).__name__}: {error}".rstrip(".")


def find_groups(network: nn.Module) -> list[FiniteGroup]:
    """The groups of a network's group convolutions."""
    found = [module.group for module in network.modules() if isinstance(module, GroupConvolution)]
    return list(dict.fromkeys(found))


def copy_network(network: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy in evaluation mode; parameters and buffers are converted while they are copied, so none exists twice."""
    copied: dict[int, Tensor] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        new = convert(tensor.detach())
        copied[id(tensor)] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
    for module in network.modules():
        for value in vars(module).values():  # what pruning computes from parameters cannot be copied as it is
            if isinstance(value, Tensor) and not value.is_leaf:
                copied[id(value)] = convert(value.detach())
    return copy.deepcopy(network, copied).eval()


def iterate_tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from iterate_tensors(item)
    elif isinstance(value, dict):
        yield from iterate_tensors(list(value.values()))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from iterate_tensors([getattr(value, field.name) for field in dataclasses.fields(value)])


def randomise_weights(network: nn.Module, seed: int) -> nn.Module:
    """A copy on the CPU, in float64 and evaluation mode, with random numbers added where weights are uniform or tiny.

    Residual branches are often initialised to zero, which would hide faults in them.
    """
    rng = torch.Generator().manual_seed(seed)
    network = copy_network(network, _to_cpu_float64)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point() and parameter.numel() and _hides_faults(parameter):
                parameter.add_(SPREAD * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype))
        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None:
                module.running_mean.normal_(0, SPREAD, generator=rng)
                module.running_var.uniform_(0.5, 1.5, generator=rng)
                module.register_forward_pre_hook(_create_statistics_hook())
    return network


def _hides_faults(parameter: Tensor) -> bool:
    uniform = parameter.ndim < 2 or bool((parameter == parameter.flatten()[0]).all())
    return uniform or float(parameter.square().mean()) < FADED**2


def _create_statistics_hook() -> Callable[[_BatchNorm, Any], None]:
    """Sets the statistics from the first features that arrive, so that deep features neither vanish nor explode."""
    adapted = False

    def adapt(module: _BatchNorm, arguments: tuple[Tensor, ...]) -> None:
        nonlocal adapted
        if arguments[0].is_meta:
            return
        if not adapted and module.running_mean is not None and module.running_var is not None:
            features = arguments[0].transpose(0, 1).flatten(1)
            # constant features differ by rounding alone, which must not grow from layer to layer
            spread = (features.var(dim=1, correction=0) + features.square().mean()).sqrt()
            module.running_mean.mul_(spread).add_(features.mean(dim=1))
            module.running_var.mul_(spread**2)
        adapted = True

    return adapt


def _to_cpu_float64(tensor: Tensor) -> Tensor:
    return tensor.to("cpu", torch.float64 if tensor.is_floating_point() else tensor.dtype, copy=True)


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
