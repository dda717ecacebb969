"""Derivatives of networks: against double backward, central differences and the chain rule by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from equistudy.groups.group import Grid
from equistudy.groups.translation import Border, Translation
from equistudy.measures.lie_derivative import LieDerivative
from equistudy.measuring.derivatives import (
    DifferentiableNetwork,
    LocatedStage,
    compute_contributions,
    differentiable_evaluation,
    differentiate_at_zero,
)
from equistudy.measuring.geometry import probe_geometries

FLOW, DOWN = LieDerivative(Translation(border=Border.CIRCULAR)).flows()
GRID = Grid(16, 16, 1, 16, 16, 0.0, 0.0)
IMAGES = torch.randn(3, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def network(activation: Callable[[], nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, 1, 1, padding_mode="circular"), activation()]
    layers += [nn.Conv2d(4, 4, 3, 2, 1, padding_mode="circular"), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double()


def flowing(net: nn.Sequential) -> DifferentiableNetwork:
    modules = {"first": net[1], "second": net[3], "pooled": net[5], "logits": net[6]}
    with torch.no_grad():
        geometries = probe_geometries(net, modules, IMAGES)
    return DifferentiableNetwork(net, [LocatedStage(name, modules[name], geometries[name]) for name in modules], GRID)  # type: ignore[arg-type]


def test_forward_mode_agrees_with_two_backward_passes_and_with_central_differences() -> None:
    net = network(nn.GELU)
    with differentiable_evaluation(net):
        (found,) = flowing(net).differentiate_stages(IMAGES, [FLOW])
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    output = net(FLOW.act(IMAGES, t, GRID))
    weights = torch.zeros_like(output, requires_grad=True)
    (gradient,) = torch.autograd.grad(output, t, weights, create_graph=True)
    (twice,) = torch.autograd.grad(gradient, weights)
    torch.testing.assert_close(found["logits"].moved, twice, rtol=1e-9, atol=1e-12)
    h = 1e-3
    with torch.no_grad():
        ahead, behind = (net[:2](FLOW.act(IMAGES, t + step, GRID)) for step in (h, -h))
    central, exact = (ahead - behind) / (2 * h), found["first"].moved
    assert (central - exact).norm() / exact.norm() < 1e-4


@pytest.mark.parametrize("activation", [nn.GELU, nn.ReLU])
def test_contributions_are_those_of_the_chain_rule_and_add_up(activation: Callable[[], nn.Module]) -> None:
    net = network(activation)
    with differentiable_evaluation(net):
        network_stages = flowing(net)
        output, found = compute_contributions(network_stages, IMAGES, FLOW)
        whole = network_stages.differentiate_stages(IMAGES, [FLOW])[0]["logits"].moved
        torch.testing.assert_close(output, net(IMAGES), rtol=0, atol=1e-14)
        # L f of a part, pushed through the rest: J (J_part A x - A part(x))
        parts = {"first": (net[:0], net[:2], net[2:]), "second": (net[:2], net[2:4], net[4:])}
        for name, (before, part, rest) in parts.items():
            x = before(IMAGES)
            y, moved = torch.func.jvp(part, (x,), (_own(x, 1),))
            local = moved - _own(y, 1 if name == "first" else 2)
            _, carried = torch.func.jvp(rest, (y,), (local,))
            torch.testing.assert_close(found[name], carried, rtol=0, atol=1e-13)
    assert found["logits"].abs().max() == 0
    assert (sum(found.values()) - whole).abs().max() < 1e-12
    assert found["first"].abs().max() > 1e-6


def test_random_probes_in_reverse_mode_estimate_the_size_of_a_contribution() -> None:
    """As the authors of the measure take it: (g . L f)^2, with g a random direction of the output carried back."""
    net = network(nn.GELU)
    with differentiable_evaluation(net):
        exact = compute_contributions(flowing(net), IMAGES, FLOW)[1]["first"].square().sum(dim=1)
        y, moved = torch.func.jvp(net[:2], (IMAGES,), (_own(IMAGES, 1),))
        local = moved - _own(y, 1)
    _, backward = torch.func.vjp(net[2:], y)
    carried = [(backward(unit.expand(3, 3))[0] * local).sum(dim=(1, 2, 3)) for unit in torch.eye(3).double()]
    directions = torch.randn(400, 100, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    estimates = (directions * torch.stack(carried, dim=1)).sum(dim=-1).square().mean(dim=1) / exact
    for mean, spread in zip(estimates.mean(dim=0).tolist(), estimates.std(dim=0).tolist(), strict=True):
        assert mean == pytest.approx(1, abs=0.03)
        assert spread == pytest.approx(math.sqrt(2 / 100), abs=0.02)


def _own(maps: torch.Tensor, stride: int) -> torch.Tensor:
    grid = Grid(*maps.shape[-2:], stride, 16, 16)
    return differentiate_at_zero(lambda t: FLOW.act(maps, t, grid), maps)[1]


class Writes(nn.Module):
    """Writes its maps into zeros, which derivatives of several flows cannot share."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        written = torch.zeros(maps.shape, dtype=maps.dtype)
        written[:, 1:] = maps[:, 1:]
        return written


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.GELU(), Writes()])
def test_several_flows_share_a_pass_and_norms_are_affine(layer: nn.Module) -> None:
    net = network(nn.ReLU).insert(2, layer.double())
    if isinstance(layer, nn.BatchNorm2d):
        for value in layer.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
    net.eval()
    modules = {"mixed": net[2], "logits": net[-1]}
    with torch.no_grad():
        geometries = probe_geometries(net, modules, IMAGES)
    stages = DifferentiableNetwork(net, [LocatedStage(name, modules[name], geometries[name]) for name in modules], GRID)  # type: ignore[arg-type]
    with differentiable_evaluation(net):
        together = stages.differentiate_stages(IMAGES, [FLOW, DOWN])
    for flow, found in zip((FLOW, DOWN), together, strict=True):
        for name, derivatives in found.items():
            part = net[:3] if name == "mixed" else net
            with torch.no_grad():
                features, moved = differentiate_at_zero(
                    lambda t, flow=flow, part=part: part(flow.act(IMAGES, t, GRID)), IMAGES
                )
            torch.testing.assert_close(derivatives.features, features, rtol=0, atol=1e-12)
            torch.testing.assert_close(derivatives.moved, moved, rtol=0, atol=1e-12)


def test_the_network_is_as_it_was() -> None:
    net = network(nn.ReLU).train()
    with differentiable_evaluation(net):
        compute_contributions(flowing(net), IMAGES, FLOW)
        assert not net.training
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())
