"""Parameters, and what is computed from them, against fixed filters."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from equistudy.exactness.elements import move_image
from equistudy.exactness.learned import is_learned, mark_parameters
from equistudy.exactness.numerics import FilterRecorder, measure_deviations
from equistudy.exactness.precision import run_in_float64
from equistudy.groups.finite import DihedralGroup
from tests.exactness.small_networks import Calls

SOBEL = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])


class Fixed(nn.Module):
    """One filter for every channel, which is not learned."""

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        filters = self.kernel.to(x).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, filters, padding=1, groups=x.shape[1])


def learned_filters(network: nn.Module) -> list[bool]:
    network = network.double()
    mark_parameters(network)
    recorder = FilterRecorder()
    with run_in_float64(recorder):
        network(torch.randn(1, 3, 8, 8, dtype=torch.float64))
    return [is_learned(filters) for filters in recorder.filters]


def test_filters_are_learned_if_they_come_from_parameters() -> None:
    frozen = nn.Conv2d(3, 3, 3).requires_grad_(False)
    standardised = Calls(lambda x, conv: F.conv2d(x, (conv.weight - conv.weight.mean()) / conv.weight.std()), frozen)
    network = nn.Sequential(frozen, Fixed(SOBEL), weight_norm(nn.Conv2d(3, 3, 3, padding=1)), standardised)
    assert learned_filters(network) == [True, False, True, True]


def test_fixed_filters_stay_and_learned_ones_move() -> None:
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    assert max(measure_deviations(nn.Conv2d(3, 3, 3), image, DihedralGroup(4)).values()) < 1e-13
    errors = measure_deviations(Fixed(SOBEL), image, DihedralGroup(4))
    for row, error in errors.items():
        assert (error < 1e-13) == torch.equal(move_image(SOBEL, row), SOBEL)
    blur = torch.tensor([1.0, 2.0, 1.0])
    assert max(measure_deviations(Fixed(blur[:, None] * blur), image, DihedralGroup(4)).values()) < 1e-13
