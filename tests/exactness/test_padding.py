"""Padding and steps of single axes, which wait for what reads them. Numbers must agree."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.audit import audit
from tests.exactness.small_networks import Calls, pooled

ALL = ("identity", "90 deg", "180 deg", "270 deg", "left-right", "top-bottom", "transpose", "anti-transpose")
AXES = ("identity", "180 deg", "left-right", "top-bottom")
MAIN, ANTI = ("identity", "transpose"), ("identity", "anti-transpose")
SIZE = 9


def pad(*pads: int, mode: str = "constant") -> Callable[[Tensor], Tensor]:
    return lambda x: F.pad(x, pads, mode)


@pytest.mark.parametrize(
    ("move", "layer", "survives"),
    [
        (pad(1, 1, 1, 1), nn.Conv2d(8, 8, 3), ALL),
        (pad(1, 1, 0, 0), nn.Conv2d(8, 8, 3), AXES),
        (lambda x: pad(0, 0, 1, 1)(pad(1, 1, 0, 0)(x)), nn.Conv2d(8, 8, 3), ALL),
        (pad(0, 1, 0, 1), nn.Conv2d(8, 8, 3, 2), ALL),  # the stride skips the padding
        (pad(0, 1, 0, 1), nn.Conv2d(8, 8, 3, padding=1), MAIN),
        (pad(0, 1, 1, 0), nn.Conv2d(8, 8, 3, padding=1), ANTI),
        (lambda x: x[:, :, 1:, :-1], nn.Conv2d(8, 8, 3, padding=1), ANTI),
        (lambda x: x[:, :, 1:, 1:], nn.Conv2d(8, 8, 3, 2, 1), MAIN),  # zeros in the place of cells that were cropped
        (lambda x: pad(1, 0, 1, 0)(x[:, :, 1:, 1:]), nn.Conv2d(8, 8, 3), MAIN),
        (lambda x: pad(1, 0, 1, 0)(x)[:, :, 1:, 1:], nn.Conv2d(8, 8, 3), ALL),
        (lambda x: pad(1, 0, 1, 0)(pad(0, 1, 0, 1)(x)), nn.Conv2d(8, 8, 3), ALL),
        (pad(0, 1, 0, 1), nn.Conv2d(8, 8, 1), ALL),  # equal cells count for a mean wherever they are
        (pad(0, 1, 0, 1, mode="replicate"), nn.Conv2d(8, 8, 1), MAIN),
        (lambda x: x[:, :, ::2], nn.Conv2d(8, 8, 1), AXES),
        (lambda x: x[:, :, ::2, ::2], nn.Conv2d(8, 8, 1), ALL),
        (lambda x: x.unfold(2, 3, 3).amax(4), nn.Conv2d(8, 8, 1), AXES),
        (lambda x: x.softmax(3), nn.Conv2d(8, 8, 1), AXES),
        (lambda x: x.amax(3, keepdim=True).expand_as(x), nn.Conv2d(8, 8, 1), AXES),
        (lambda x: x.mean(3).mean(2)[..., None, None], nn.Conv2d(8, 8, 1), ALL),
        (lambda x: x.mean(3).amax(2)[..., None, None], nn.Conv2d(8, 8, 1), AXES),
        (lambda x: F.interpolate(x, (4, 12), mode="bilinear"), nn.Conv2d(8, 8, 1), AXES),
        (lambda x: F.adaptive_avg_pool2d(x, (1, 3)), nn.Conv2d(8, 8, 1), AXES),
    ],
)
def test_rules_and_numbers_agree_on_what_survives(
    move: Callable[[Tensor], Tensor], layer: nn.Module, survives: tuple[str, ...]
) -> None:
    network = pooled(Calls(lambda x, layer: layer(move(x)), layer))
    network.eval()(torch.zeros(1, 3, SIZE, SIZE))
    found = audit(network, SIZE)
    assert (found.preserved_elements, found.caveat) == (survives, "")


def test_crops_pass_windows_that_do_not_pad() -> None:
    """A crop of one side, undone by another behind a convolution: what is left is a smaller symmetric map."""
    network = pooled(
        Calls(lambda x, conv: conv(x[:, :, 1:, 1:])[:, :, :-1, :-1], nn.Conv2d(8, 8, 3)), nn.Conv2d(8, 8, 3)
    )
    network.eval()(torch.zeros(1, 3, SIZE, SIZE))
    found = audit(network, SIZE)
    assert (found.is_exact, found.caveat) == (True, "")
