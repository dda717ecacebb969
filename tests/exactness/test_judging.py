"""The judgement at one size: what it leaves alone, and what it says to bad input and to contradictions."""

import re

import pytest
import torch
from torch import nn

from equistudy.exactness.elements import SPRITE_NAMES
from equistudy.exactness.judging import DisagreementError, judge_network
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import TimmModel
from tests.exactness.small_networks import Calls


def test_the_random_state_and_the_network_stay_as_they_are() -> None:
    network = ResNet(8, 2).build((1, 16, 16), 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    judge_network(network, 16)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("size", [0, -3, (8, 0)])
def test_a_size_is_one_or_two_numbers(size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"number of pixels or \(height, width\), got size={re.escape(repr(size))}"):
        judge_network(nn.Conv2d(3, 4, 3), size)


def test_a_size_that_is_too_small_is_refused_with_those_that_are_taken() -> None:
    with pytest.raises(ValueError, match=r"got images of 3 x 4 x 4 and RuntimeError: .* pixels it takes 8, 16"):
        judge_network(nn.Conv2d(3, 4, 5), 4)


def test_a_refusal_in_a_sentence_of_its_own_ends_with_one_full_stop() -> None:
    class Proud(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise ValueError("I take none.")

    with pytest.raises(ValueError, match=r"and ValueError: I take none\. Audit a network whose forward"):
        judge_network(Proud(), 8)


def test_a_network_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Linear must take the images .* takes one batch of images \(B, C, H, W\)"):
        judge_network(nn.Linear(3, 2), 8)
    with pytest.raises(TypeError, match=r"a network \(nn.Module\) or a model spec, got str. Give timm's networks"):
        judge_network("resnet18", 8)  # type: ignore[arg-type]


def test_a_name_that_timm_does_not_know_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got name='resnet81'. Nearest: .*resnet18"):
        judge_network(TimmModel("resnet81"), 64)


def test_numbers_that_contradict_the_rules_are_an_error() -> None:
    """A layer that no rule knows: cells are sorted by what a fixed table says."""
    table = torch.tensor([3, 1, 2, 0, 4, 5])

    def shuffled(maps: torch.Tensor) -> torch.Tensor:
        return maps.index_select(3, table.to(maps.device))

    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Calls(shuffled), nn.Conv2d(4, 4, 3))
    with pytest.raises(
        DisagreementError, match=r"Rules and numbers must agree on Sequential at size=6, got .*top-bottom"
    ):
        judge_network(network, 6)


def test_every_element_has_its_number() -> None:
    assert set(judge_network(nn.Conv2d(1, 1, 3), 8)[0].deviations) == set(SPRITE_NAMES.values()) - {"identity"}
