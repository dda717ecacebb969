"""How far networks on regular features are from commuting with a group: an oracle for layers and networks."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from equistudy.groups.finite import FiniteGroup
from equistudy.groups.square import apply_symmetry
from equistudy.networks.equivariant.kernels import find_symmetries


def acted(group: FiniteGroup, number: int, features: Tensor) -> Tensor:
    """Element `number` on folded regular features: cells move, and channel h comes from g^-1 h."""
    source = torch.arange(group.order) if number == 0 else group.channel_permutation(group.elements()[number - 1])
    cells = apply_symmetry(features, find_symmetries(group)[number]) if features.ndim == 4 else features
    return cells.unflatten(1, (-1, group.order))[:, :, source].flatten(1, 2)


def unsettled(network: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with random statistics and parameters in its norms: they hide nothing."""
    for module in network.double().eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -1, 1), (module.running_var, 0.5, 2)):
                nn.init.uniform_(values, low, high)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -1, 1)
    return network


def outputs(network: nn.Module, paths: Mapping[str, str], images: Tensor) -> dict[str, Tensor]:
    """What each stage gives."""
    found: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(path).register_forward_hook(
            lambda module, given, output, name=name: found.__setitem__(name, output.clone())
        )
        for name, path in paths.items()
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return found


def deviations(
    network: nn.Module, paths: Mapping[str, str], group: FiniteGroup, images: Tensor
) -> dict[str, list[float]]:
    """|f(g x) - g f(x)| / |f(x)| of each stage for every g but the identity; g acts trivially on vectors."""
    views = torch.cat([apply_symmetry(images, symmetry) for symmetry in find_symmetries(group)])
    found: dict[str, list[float]] = {}
    for name, output in outputs(network, paths, views).items():
        reference, *others = output.split(len(images))
        expected = [acted(group, number, reference) if output.ndim == 4 else reference for number in range(group.order)]
        found[name] = [
            ((other - its).norm() / its.norm()).item() for other, its in zip(others, expected[1:], strict=True)
        ]
    return found
