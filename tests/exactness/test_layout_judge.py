"""What is followed through functions: fixed filters, control flow, assignments, periods."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.elements import element_names
from equistudy.exactness.findings import Cause
from equistudy.exactness.trace import SymmetryTracer
from equistudy.groups.finite import DihedralGroup
from tests.exactness.small_networks import Calls, stacked


def traced(network: nn.Module, size: int = 8) -> tuple[SymmetryTracer, list[tuple[str, Cause, tuple[str, ...]]]]:
    tracer = SymmetryTracer(network.double().eval(), DihedralGroup(4), 3)
    found = tracer.find_breaking_layers(torch.randn(1, 3, size, size, dtype=torch.float64))
    return tracer, [(finding.name, finding.cause, element_names(finding.survives)) for finding in found]


class Filtered(nn.Module):
    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel.to(x).expand(3, 1, 3, 3), padding=1, groups=3)


def test_fixed_filters_keep_their_own_symmetries() -> None:
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    assert traced(Filtered(sobel))[1] == [("(the network itself)", Cause.FIXED, ("identity", "top-bottom"))]
    assert traced(Filtered(sobel.square() + sobel.square().mT))[1] == []


def assign(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :, 0] = 0
    return y


def fill(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape, device=x.device)
    y[:, 1:] = x[:, 1:]
    return y


@pytest.mark.parametrize(
    ("function", "uncovered"),
    [
        (assign, "assignment"),
        (fill, "assignment"),
        (lambda x: x if x.mean() > 0 else -x, "control flow that depends on the image"),
        (lambda x: x * float(x.amax()), "control flow that depends on the image"),
        (torch.special.bessel_j0, "special_bessel_j0"),
        (lambda x: F.dropout(x, 0.5), "dropout"),
    ],
)
def test_what_no_rule_covers_is_noted(function: object, uncovered: str) -> None:
    tracer, _ = traced(stacked(nn.Conv2d(3, 3, 3, padding=1), function))  # type: ignore[arg-type]
    assert tracer.uncovered == {("1", uncovered)}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.new_ones(3, 1, 1) * x,
        lambda x: x + torch.zeros_like(x),
        lambda x: x.softmax(1).clamp(0, 1) ** 2 / 3 - 1 % x.exp(),
        lambda x: torch.where(x > 0, x, -x),
        lambda x: F.normalize(x, dim=1).masked_fill(x < 0, 0.5),
        lambda x: F.dropout(x, 0.5, training=False),
        lambda x: x.flatten(2).softmax(2).unflatten(2, (8, 8)),
    ],
)
def test_everyday_functions_are_covered(function: object) -> None:
    tracer, found = traced(stacked(nn.Conv2d(3, 3, 3, padding=1), function))  # type: ignore[arg-type]
    assert (tracer.uncovered, found) == (set(), [])


def test_the_period_is_the_least_common_multiple_of_strides_and_windows() -> None:
    parallel = Calls(lambda x, *pools: sum(p(x).mean((2, 3)) for p in pools), nn.MaxPool2d(2), nn.MaxPool2d(3))
    assert traced(parallel, 12)[0].period == 6
    assert traced(nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(3)), 12)[0].period == 12
    windows = stacked(lambda x: x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).amax((3, 5)))
    assert traced(windows, 20)[0].period == 20
    assert traced(nn.AdaptiveAvgPool2d(3), 12)[0].period == 1
