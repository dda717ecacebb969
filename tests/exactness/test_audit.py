"""The audit as a study calls it: verdict, record, assertion, and what it says to bad input."""

import json

import pytest
import torch

import equistudy
from equistudy.exactness.audit import audit
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import TimmModel
from equistudy.networks.choices import Head


@pytest.mark.slow
def test_a_study_can_assert_exactness_before_training() -> None:
    assert equistudy.audit(ResNet(8, 2), size=33).assert_exact().is_exact
    with pytest.raises(
        ValueError,
        match=r"ResNet\(depth=8, width=2\) must be exact under DihedralGroup at size=32, got stage2.0.first "
        r"\(misaligned windows: .*\); .* and 1 more. Nearest exact sizes: 29, 33.",
    ):
        audit(ResNet(8, 2), 32).assert_exact()


@pytest.mark.slow
def test_the_record_has_what_a_program_needs() -> None:
    found = audit(ResNet(8, 2), 32, name="small")
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert {name: record[name] for name in ("model", "size", "group", "exact", "nearest", "residue", "survives")} == {
        "model": "small",
        "size": 32,
        "group": "p4m",
        "exact": False,
        "nearest": {"below": 29, "above": 33},
        "residue": {"modulus": 4, "remainder": 1},
        "survives": ["identity", "transpose"],
    }
    assert (record["caveat"], record["searched"]) == (None, None)
    assert [layer["name"] for layer in record["layers"]] == [layer.name for layer in found.layers]
    assert record["layers"][0].keys() == {"name", "cause", "reason", "repair", "survives"}


@pytest.mark.slow
@pytest.mark.parametrize("group", [CyclicGroup(4), DihedralGroup(4)])
def test_group_networks_are_judged_as_they_are(group: CyclicGroup | DihedralGroup) -> None:
    exact, inexact = (audit(PreactivationResNet(8, 2, group), size) for size in (17, 16))
    assert exact.group == group
    assert max(exact.deviations.values()) < 1e-12
    broken = [error for name, error in inexact.deviations.items() if name != "transpose"]
    assert min(broken) > 1e-3
    assert inexact.preserved_elements == (("identity", "transpose") if group == DihedralGroup(4) else ("identity",))


@pytest.mark.slow
def test_a_flat_head_spoils_the_output_of_exact_features() -> None:
    found = audit(PreactivationResNet(8, 2, CyclicGroup(4), head=Head.ORIENTED), 33)
    assert (found.is_exact, found.features.exact) == (False, True)
    assert found.features.nearest == (29, 37)
    assert found.layers[0].name == "classifier"
    with pytest.raises(ValueError, match="No exact size was found: change these layers"):
        found.assert_exact()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
def test_position_embeddings_are_explained() -> None:
    found = audit(TimmModel("vit_tiny_patch16_224"), 32)
    assert [layer.name for layer in found.layers] == ["pos_embed"]
    assert found.layers[0].reason.startswith("position embedding: ")
    assert (found.residue, found.nearest, found.preserved_elements) == (None, (None, None), ("identity",))


def test_an_audit_shows_its_verdict_and_every_layer() -> None:
    found = audit(torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), 16, channels=3)
    head, layer, *_ = str(found).splitlines()
    assert "at 16 pixels" in head
    assert "not exact; nearest exact sizes: 15 and 17" in head
    assert layer.startswith("(the network itself): misaligned windows")
    assert f"<li>{layer}</li>".replace("'", "&#x27;") in found._repr_html_()
