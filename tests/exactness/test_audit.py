"""The audit as a study calls it: verdict, record, assertion, and what it says to bad input."""

import json
import re

import pytest
import torch
from torch import nn

import equistudy
from equistudy.exactness.audit import DisagreementError, audit
from equistudy.exactness.elements import NAMES
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.equivariant.choices import Head
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import TimmModel
from tests.exactness.small_networks import Calls


def test_a_study_can_assert_exactness_before_training() -> None:
    assert equistudy.audit(ResNet(8, 2), size=33).assert_exact().exact
    with pytest.raises(
        ValueError,
        match=r"ResNet\(depth=8, width=2\) must be exact under DihedralGroup at size=32, got stage2.0.first "
        r"\(misaligned windows: .*\); .* and 1 more. Nearest exact sizes: 29, 33.",
    ):
        audit(ResNet(8, 2), 32).assert_exact()


def test_the_record_has_what_a_program_needs() -> None:
    found = audit(ResNet(8, 2), 32, name="small")
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert {name: record[name] for name in ("model", "size", "group", "exact", "nearest", "residue", "survives")} == {
        "model": "small",
        "size": 32,
        "group": "p4m",
        "exact": False,
        "nearest": {"below": 29, "above": 33},
        "residue": {"modulus": 4, "remainder": 1},
        "survives": ["identity", "transpose"],
    }
    assert record["confirmed"] == record["survives"]
    assert [layer["name"] for layer in record["layers"]] == [layer.name for layer in found.layers]
    assert record["layers"][0].keys() == {"name", "cause", "reason", "repair", "survives"}


@pytest.mark.parametrize("group", [CyclicGroup(4), DihedralGroup(4)])
def test_group_networks_are_judged_as_they_are(group: CyclicGroup | DihedralGroup) -> None:
    exact, inexact = (audit(PreactivationResNet(8, 2, group), size) for size in (33, 32))
    assert exact.group == group
    assert max(exact.deviations.values()) < 1e-12
    broken = [error for name, error in inexact.deviations.items() if name != "transpose"]
    assert min(broken) > 1e-3
    assert inexact.survives == (("identity", "transpose") if group == DihedralGroup(4) else ("identity",))


def test_a_flat_head_spoils_the_output_of_exact_features() -> None:
    found = audit(PreactivationResNet(8, 2, CyclicGroup(4), head=Head.ORIENTED), 33)
    assert (found.exact, found.features.exact) == (False, True)
    assert found.features.nearest == (29, 37)
    assert found.layers[0].name == "classifier"
    with pytest.raises(ValueError, match="No size is exact: change these layers"):
        found.assert_exact()


@pytest.mark.filterwarnings("ignore")  # timm's own
def test_position_embeddings_are_explained() -> None:
    found = audit(TimmModel("vit_tiny_patch16_224"), 32)
    assert [layer.name for layer in found.layers] == ["pos_embed"]
    assert found.layers[0].reason.startswith("position embedding: ")
    assert (found.residue, found.nearest, found.survives) == (None, (None, None), ("identity",))


def test_the_random_state_and_the_network_stay_as_they_are() -> None:
    network = ResNet(8, 2).build((1, 16, 16), 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    audit(network, 16)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("size", [0, -3, (8, 0)])
def test_a_size_is_one_or_two_numbers(size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"number of pixels or \(height, width\), got size={re.escape(repr(size))}"):
        audit(nn.Conv2d(3, 4, 3), size)


def test_a_size_that_is_too_small_is_refused_with_those_that_are_taken() -> None:
    with pytest.raises(ValueError, match=r"got images of 3 x 4 x 4 and RuntimeError: .* pixels it takes 8, 16"):
        audit(nn.Conv2d(3, 4, 5), 4)


def test_a_network_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Linear must take the images .* takes one batch of images \(B, C, H, W\)"):
        audit(nn.Linear(3, 2), 8)
    with pytest.raises(TypeError, match=r"a network \(nn.Module\) or a model spec, got str. Give timm's networks"):
        audit("resnet18", 8)  # type: ignore[arg-type]


def test_a_name_that_timm_does_not_know_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got name='resnet81'. Nearest: .*resnet18"):
        audit(TimmModel("resnet81"), 64)


def test_numbers_that_contradict_the_rules_are_an_error() -> None:
    """A layer that no rule knows: cells are sorted by what a fixed table says."""
    table = torch.tensor([3, 1, 2, 0, 4, 5])

    def shuffled(maps: torch.Tensor) -> torch.Tensor:
        return maps.index_select(3, table.to(maps.device))

    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Calls(shuffled), nn.Conv2d(4, 4, 3))
    with pytest.raises(
        DisagreementError, match=r"Rules and numbers must agree on Sequential at size=6, got .*top-bottom"
    ):
        audit(network, 6)


def test_every_element_has_its_number() -> None:
    assert set(audit(nn.Conv2d(1, 1, 3), 8).deviations) == set(NAMES.values()) - {"identity"}
