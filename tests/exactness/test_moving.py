"""Rules for flips, shifts, slices and concatenations. Every audit compares them with numbers; here they must agree."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.audit import audit
from equistudy.exactness.findings import Cause
from tests.exactness.small_networks import Calls, pooled

ALL = ("identity", "90 deg", "180 deg", "270 deg", "left-right", "top-bottom", "transpose", "anti-transpose")
AXES = ("identity", "180 deg", "left-right", "top-bottom")
DIAGONALS = ("identity", "180 deg", "transpose", "anti-transpose")
TURNS = ("identity", "90 deg", "180 deg", "270 deg")
MAIN = ("identity", "transpose")
SIZE = 8


def read(move: Callable[[Tensor], Tensor], channels: int = 8) -> nn.Module:
    """Maps are moved, then read by a convolution without padding."""
    return initialised(pooled(Calls(lambda x, conv: conv(move(x)), nn.Conv2d(channels, 8, 3))))


def initialised(network: nn.Module) -> nn.Module:
    network.eval()(torch.zeros(1, 3, SIZE, SIZE))
    return network


@pytest.mark.parametrize(
    ("move", "channels", "survives"),
    [
        (lambda x: x.flip(-1), 8, AXES),
        (lambda x: x.flip(2), 8, AXES),
        (torch.fliplr, 8, ALL),  # of channels
        (lambda x: x.flip((2, 3)), 8, ALL),  # half a turn commutes with everything
        (lambda x: x.mT, 8, DIAGONALS),
        (lambda x: x.permute(0, 1, 3, 2), 8, DIAGONALS),
        (lambda x: torch.rot90(x, 1, (2, 3)), 8, TURNS),
        (lambda x: torch.rot90(x, 3, (3, 2)), 8, TURNS),
        (lambda x: torch.rot90(x, 2, (2, 3)), 8, ALL),
        (lambda x: x.flip(-1).relu().flip(-1), 8, ALL),
        (lambda x: x.mT.flip(2).flip(3).mT, 8, ALL),
        (lambda x: x + x.flip(-1), 8, AXES),
        (lambda x: x * x.mT, 8, DIAGONALS),
        (lambda x: torch.cat([x, x.flip(-1)], 1), 16, AXES),
        (lambda x: torch.maximum(x.flip(-1), x.flip(-1).relu()), 8, AXES),
        (lambda x: x.flatten(2).flip(2).unflatten(2, (8, 8)), 8, ALL),
        (lambda x: x.roll(1, 3), 8, ("identity", "top-bottom")),
        (lambda x: x.roll((1, 1), (2, 3)), 8, MAIN),
        (lambda x: x.roll((1, 1), (2, 3)).relu().roll((-1, -1), (2, 3)), 8, ALL),
        (lambda x: x.roll((4, 4), (2, 3)), 8, ALL),
        (lambda x: x.narrow(2, 1, 6).narrow(3, 1, 6), 8, ALL),
        (lambda x: x.narrow(2, 0, 6).narrow(3, 0, 6), 8, MAIN),
        (lambda x: x.narrow(1, 2, 3), 3, ALL),
        (lambda x: x.chunk(2, 1)[1], 4, ALL),
        (lambda x: x.split([4, 4], 3)[0], 8, ("identity", "top-bottom")),
        (lambda x: torch.tensor_split(x, 2, dim=1)[0], 4, ALL),
        (lambda x: torch.stack([x, x.relu()], 1).flatten(1, 2), 16, ALL),
        (lambda x: torch.stack([x, x.mT.relu()], 1).flatten(1, 2), 16, DIAGONALS),
        (
            lambda x: torch.cat([x, torch.linspace(-1, 1, 8).expand(len(x), 1, 8, 8)], 1),
            9,
            ("identity", "top-bottom"),
        ),
        (lambda x: torch.cat([x, torch.ones(1, 1, 8, 8).expand(x.shape[0], -1, -1, -1)], 1), 9, ALL),
        (lambda x: x.index_select(1, torch.tensor([3, 3, 0])), 3, ALL),
        (lambda x: x[:, [1, 0]], 2, ALL),
        (lambda x: x.cumsum(1), 8, ALL),
        (lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)), 8, ALL),
        (lambda x: x.unfold(2, 3, 2).unfold(3, 3, 2).mean((4, 5)), 8, MAIN),
    ],
)
def test_rules_and_numbers_agree_on_what_survives(
    move: Callable[[Tensor], Tensor], channels: int, survives: tuple[str, ...]
) -> None:
    found = audit(read(move, channels), SIZE)
    assert (found.preserved_elements, found.caveat) == (survives, "")


@pytest.mark.parametrize("move", [lambda x: x.flip(-1), lambda x: x.mT, lambda x: torch.rot90(x, 1, (2, 3))])
def test_what_reads_no_neighbours_may_see_flipped_features(move: Callable[[Tensor], Tensor]) -> None:
    network = pooled(Calls(lambda x, conv, pool: pool(conv(move(x))), nn.Conv2d(8, 8, 1), nn.MaxPool2d(2)))
    found = audit(initialised(network), SIZE)
    assert (found.is_exact, found.caveat) == (True, "")


def test_maps_that_are_flipped_at_the_end_do_not_move_as_the_image_does() -> None:
    found = audit(nn.Sequential(nn.Conv2d(3, 4, 3), Calls(lambda x: x.flip(-1))), SIZE)
    assert [(layer.name, layer.cause) for layer in found.layers] == [("1", Cause.FLIPPED)]
    assert (found.preserved_elements, found.caveat) == (AXES, "")


@pytest.mark.parametrize(
    ("move", "channels", "function"),
    [
        (lambda x: torch.cat([x, x.flip(-1)], 3), 8, "cat"),
        (lambda x: x.index_select(3, torch.arange(8).flip(0)), 8, "index_select"),
        (lambda x: x[:, :, :, torch.tensor([1, 2, 5, 6])], 8, "indexing by a table"),
        (lambda x: x.sort(3).values, 8, "sort"),
        (lambda x: x.roll(1), 8, "roll"),
    ],
)
def test_what_is_not_covered_is_said(move: Callable[[Tensor], Tensor], channels: int, function: str) -> None:
    found = audit(read(move, channels), SIZE)
    assert found.caveat == f"The rules do not cover 1 ({function}); the verdict rests on numbers alone."


class Tokens(nn.Module):
    """A class token before those of positions, which see each other; the class token alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.read = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).mT], 1)
        tokens = tokens + F.scaled_dot_product_attention(tokens, tokens, tokens)
        first, rest = tokens[:, :1], tokens[:, 1:]
        return self.read(first[:, 0] + rest.mean(1))


def test_class_tokens_are_no_positions() -> None:
    found = audit(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(), Tokens()), SIZE)
    assert (found.is_exact, found.caveat) == (True, "")
