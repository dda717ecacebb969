"""The same verdict by numbers: a network with random weights, in float64, on an image and on all its moved copies.

A network without group convolutions commutes with the group for all filters if it does for symmetric ones, which look
the same after every element: so every convolution runs with its filters made symmetric. Group convolutions are taken
as they are.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from equistudy.exactness.elements import ElementParameters, move_image, symmetrise_filters
from equistudy.exactness.trace import copy_network, find_groups, iterate_tensors
from equistudy.groups.finite import FiniteGroup
from equistudy.groups.group import Element

__all__ = ["BROKEN", "EXACT", "measure_deviations"]

# relative errors: what commutes deviates by rounding alone, what does not by a share of the features
EXACT, BROKEN = 1e-9, 1e-7
SPREAD = 0.3  # of the random numbers that are added to weights and biases


def measure_deviations(
    network: nn.Module, images: Float[Tensor, "1 C H W"], group: FiniteGroup, seed: int = 0
) -> dict[ElementParameters, float]:
    """For each element but the identity: the largest relative error |f(g x) - g f(x)| / |f(x)| over the outputs.

    Vectors are to stay as they are; maps (B, C, H, W), and (B, H, W, C) where they have the shape of one, are to move.
    """
    own = find_groups(network)
    network = randomise_weights(network, seed)
    rows = [row for row in group.element_parameters if row != group.element_parameters[0]]
    views = {row: move_image(images, row) for row in group.element_parameters}
    outputs: dict[ElementParameters, list[Tensor]] = {}
    with torch.no_grad(), nullcontext() if own else _SymmetricFilters():
        for batch in _batch_by_shape(views):
            found = list(iterate_tensors(network(torch.cat([views[row] for row in batch]))))
            outputs |= {row: [tensor[i : i + 1] for tensor in found] for i, row in enumerate(batch)}
    still = outputs[group.element_parameters[0]]
    return {
        row: max(
            _relative_error(_move_output(one, row, images.shape[-2:], own), other)
            for one, other in zip(still, outputs[row], strict=True)
        )
        for row in rows
    }


def _batch_by_shape(views: dict[ElementParameters, Tensor]) -> list[list[ElementParameters]]:
    """The elements whose images have one shape; the identity is in the first."""
    by_shape: dict[torch.Size, list[ElementParameters]] = {}
    for row, view in views.items():
        by_shape.setdefault(view.shape, []).append(row)
    return list(by_shape.values())


def randomise_weights(network: nn.Module, seed: int) -> nn.Module:
    """A copy on the CPU in float64 and evaluation mode, in which no weights are as they start: all zero or all one.

    Residual branches often start from zero, which hides what is wrong in them.
    """
    rng = torch.Generator().manual_seed(seed)
    network = copy_network(network, _to_cpu_float64)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2 or bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(SPREAD * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype))
        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None:
                module.running_mean.normal_(0, SPREAD, generator=rng)
                module.running_var.uniform_(0.5, 1.5, generator=rng)
                module.register_forward_pre_hook(_create_statistics_hook())
    return network


def _create_statistics_hook() -> Callable[[_BatchNorm, Any], None]:
    """Moves the statistics to the first features that come, so that deep features neither vanish nor explode."""
    moved = False

    def follow(module: _BatchNorm, arguments: tuple[Tensor, ...]) -> None:
        nonlocal moved
        features = arguments[0].transpose(0, 1).flatten(1)
        if not moved and module.running_mean is not None and module.running_var is not None:
            # what is the same everywhere differs by rounding, which deep networks are not to enlarge layer by layer
            spread = (features.var(dim=1) + features.square().mean()).sqrt()
            module.running_mean.mul_(spread).add_(features.mean(dim=1))
            module.running_var.mul_(spread**2)
        moved = True

    return follow


def _to_cpu_float64(tensor: Tensor) -> Tensor:
    return tensor.to("cpu", torch.float64 if tensor.is_floating_point() else tensor.dtype, copy=True)


class _SymmetricFilters(TorchFunctionMode):
    """Every convolution runs with symmetric filters."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces the second argument of convolutions."""
        if getattr(func, "__name__", "") in ("conv2d", "conv_transpose2d"):
            kwargs = dict(kwargs or {})
            weight = kwargs.pop("weight") if "weight" in kwargs else args[1]
            return func(args[0], symmetrise_filters(weight), *args[2:], **kwargs)
        return func(*args, **(kwargs or {}))


def _move_output(output: Tensor, row: ElementParameters, size: Iterable[int], own: list[FiniteGroup]) -> Tensor:
    """What an output for the image should become under an element: maps move, with the channels of regular ones."""
    if output.ndim != 4 or max(output.shape[2:]) == 1:
        return output
    last = output.shape[1] == output.shape[2] != output.shape[3]  # (B, H, W, C)
    if last:
        return move_image(output.movedim(-1, 1), row).movedim(1, -1)
    moved = move_image(output, row)
    if own and row in own[0].element_parameters and output.shape[1] % own[0].order == 0:
        table = own[0].channel_permutation(Element("", 0.0, row))
        moved = moved.unflatten(1, (-1, own[0].order))[:, :, table].flatten(1, 2)
    return moved


def _relative_error(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float((one - other).norm() / one.norm().clamp_min(torch.finfo(one.dtype).tiny))
