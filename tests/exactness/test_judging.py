"""The judgement at one size: what it leaves alone, bad input, and networks that the rules do not cover."""

import dataclasses
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from equistudy.exactness.elements import SPRITE_NAMES
from equistudy.exactness.findings import Cause
from equistudy.exactness.judging import check_group, check_size, is_network_invariant, judge_network
from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import TimmModel
from equistudy.networks.choices import Head
from tests.exactness.small_networks import Calls, pooled, stacked


def test_the_random_state_and_the_network_stay_as_they_are() -> None:
    network = ResNet(8, 2).build((1, 16, 16), 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    judge_network(network, 16)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("size", [0, -3, (8, 0), 8.0, True, "8", (8, 8, 8), None])
def test_a_size_is_one_or_two_numbers(size: object) -> None:
    with pytest.raises(ValueError, match=rf"number of pixels or \(height, width\), got size={re.escape(repr(size))}"):
        check_size(size)


def test_a_size_that_is_too_small_is_refused_with_those_that_are_taken() -> None:
    with pytest.raises(
        ValueError, match=r"got images of 3 x 4 x 4, .*: RuntimeError: .* accepts these sizes, among those tried: 8, 16"
    ):
        judge_network(nn.Conv2d(3, 4, 5), 4)


def test_a_refusal_in_a_sentence_of_its_own_ends_with_one_full_stop() -> None:
    class Proud(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise ValueError("I take none.")

    with pytest.raises(ValueError, match=r"fails: ValueError: I take none\. Audit a network whose forward"):
        judge_network(Proud(), 8)


def test_an_image_beyond_the_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="there is not enough memory for an image of this size"):
        judge_network(nn.Conv2d(3, 4, 3), 2_000_000)


def test_a_network_without_images_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"An audit needs images that Linear accepts, .* takes one batch of images \(B, C, H, W\)"
    ):
        judge_network(nn.Linear(3, 2), 8)
    with pytest.raises(TypeError, match=r"a network \(nn.Module\) or a model spec, got str. Give timm's networks"):
        judge_network("resnet18", 8)  # type: ignore[arg-type]


def test_a_name_that_timm_does_not_know_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got name='resnet81'. Nearest: .*resnet18"):
        judge_network(TimmModel("resnet81"), 64)


def test_what_no_rule_covers_is_judged_by_numbers_and_said() -> None:
    """Columns are shuffled by a fixed table."""
    table = torch.tensor([3, 1, 2, 0, 4, 5])
    network = stacked(nn.Conv2d(3, 4, 3, padding=1), lambda maps: maps.index_select(3, table), nn.Conv2d(4, 4, 3))
    found, probes = judge_network(network, 6)
    assert found.preserved_elements == ("identity", "top-bottom")
    assert found.caveat == "The rules do not cover 1 (index_select); the verdict rests on numbers alone."
    assert [(layer.name, layer.cause) for layer in found.layers] == [("1", Cause.MEASURED)]
    assert not probes.rules_hold


def test_numbers_overrule_rules_that_are_too_strict() -> None:
    """The sum over all quarter turns of an image is symmetric although each turn alone breaks the filters' symmetry."""
    conv = nn.Conv2d(3, 4, 3, padding=1)
    network = stacked(Calls(lambda x, conv: sum(conv(torch.rot90(x, k, (2, 3))) for k in range(4)), conv))
    pooled = nn.Sequential(network, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    found, _ = judge_network(pooled, 8)
    assert found.is_exact
    assert found.caveat.endswith("do not predict the measured errors; the verdict rests on numbers alone.")


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: list[torch.Tensor]


@pytest.mark.parametrize(
    ("network", "exact", "covered"),
    [
        (pooled(lambda x: x * x.mean((2, 3)).sigmoid()[:, :, None, None]), True, True),
        (pooled(lambda x: x.narrow(1, 2, 4)), True, True),
        (pooled(lambda x: x[:, torch.tensor([3, 1])]), True, True),
        (pooled(lambda x: x if x.mean() > 0 else -x), True, False),
        (pooled(lambda x: x.cumsum(dim=1)), True, True),
        (pooled(lambda x: x.cumsum(dim=3)), False, False),
        (pooled(lambda x: torch.fft.fft2(x).abs()), True, False),
        (pooled(lambda x: F.unfold(x, 3, padding=1).unflatten(1, (8, 9)).amax(2)), True, True),
        (pooled(nn.Conv2d(8, 8, 4, padding="same", padding_mode="circular")), True, False),
        (pooled(Calls(lambda x, conv: conv(x.unsqueeze(2)).squeeze(2), nn.Conv3d(8, 8, (1, 3, 3)))), True, True),
        (pooled(Calls(lambda x, lstm: lstm(x.flatten(2).mT)[0].mT, nn.LSTM(8, 8, batch_first=True))), False, False),
        (pooled(lambda x: F.grid_sample(x, F.affine_grid(turn(x), x.shape, align_corners=False))), False, False),
        (stacked(nn.Conv2d(3, 4, 3), lambda x: Output(x.mean((2, 3)), [x])), True, True),
        (stacked(lambda x: {"a": (x, x.mean((2, 3)))}), True, True),
    ],
)
@pytest.mark.filterwarnings("ignore:Default grid_sample", "ignore:Using padding='same'")
def test_no_function_leads_to_a_traceback(network: nn.Module, exact: bool, covered: bool) -> None:
    network.eval()(torch.zeros(1, 3, 8, 8))
    found, _ = judge_network(network, 8)
    assert found.is_exact == exact
    assert (found.caveat == "") == covered, found.caveat


def turn(x: torch.Tensor) -> torch.Tensor:
    """Maps that rotate by an angle that depends on the image."""
    angle = x.mean((1, 2, 3))
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(cos)
    return torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)


def test_channels_are_guessed_from_what_the_network_takes() -> None:
    """The first convolution that is registered is not the one that sees the image."""

    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Conv2d(8, 4, 3), nn.Conv2d(3, 8, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(images))

    assert judge_network(Deep(), 9)[0].is_exact
    assert judge_network(nn.Sequential(nn.Conv2d(5, 2, 3)), 9, channels=5)[0].is_exact
    with pytest.raises(ValueError, match=r"got images of 4 x 9 x 9, for which the audit fails: RuntimeError"):
        judge_network(Deep(), 9, channels=4)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("p4", r"got 'p4'. Write group=eq.CyclicGroup\(4\)\."),
        ("D2", r"got 'D2'. Write group=eq.DihedralGroup\(2\)\."),
        (4, r"got 4. Write group=eq.CyclicGroup\(4\) or eq.DihedralGroup\(4\)"),
    ],
)
def test_what_is_no_group_is_refused_with_what_is_right(group: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_group(group)


def test_a_network_that_gives_no_finite_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="its output is not finite"):
        judge_network(stacked(nn.Conv2d(3, 4, 3), lambda x: x / 0), 8)
    with pytest.raises(ValueError, match="its output holds no tensor"):
        judge_network(stacked(nn.Conv2d(3, 4, 3), lambda x: "a"), 8)


def test_casts_inside_a_network_do_not_blur_the_verdict() -> None:
    network = pooled(lambda x: x.half().to(torch.bfloat16).float() * torch.tensor(0.1, dtype=torch.float32))
    network.eval()(torch.zeros(1, 3, 8, 8))
    found, _ = judge_network(network, 8)
    assert max(found.deviations.values()) < 1e-13


def test_every_element_has_its_number() -> None:
    assert set(judge_network(nn.Conv2d(1, 1, 3), 8)[0].deviations) == set(SPRITE_NAMES.values()) - {"identity"}


P4, P4M = CyclicGroup(4), DihedralGroup(4)


@pytest.mark.parametrize(
    ("own", "asked", "size", "expected"),
    [(P4, P4, 8, True), (P4, P4, 9, False), (P4M, P4, 8, True), (P4, P4M, 8, False), (CyclicGroup(2), P4, 8, False)],
)
def test_a_group_network_ignores_its_own_group_where_it_is_exact(
    own: FiniteGroup, asked: FiniteGroup, size: int, expected: bool
) -> None:
    network = GroupCNN(2, own, 3, last_padded=True).build((1, size, size), 4)
    assert is_network_invariant(network, size, 1, asked) == expected


def test_a_head_that_sees_the_orientation_does_not() -> None:
    network = GroupCNN(2, P4, 3, last_padded=True, head=Head.ORIENTED).build((1, 8, 8), 4)
    assert not is_network_invariant(network, 8, 1, P4)


def test_an_ordinary_network_is_exact_and_not_invariant() -> None:
    assert not is_network_invariant(ResNet(8, 2).build((1, 9, 9), 4), 9, 1, P4)


def test_what_the_audit_cannot_judge_is_not_invariant() -> None:
    network = nn.Sequential(GroupCNN(2, P4, 3, last_padded=True).build((1, 8, 8), 4), Calls(lambda outputs: 1 / 0))
    assert not is_network_invariant(network, 8, 1, P4)
