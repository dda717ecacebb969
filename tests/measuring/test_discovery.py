"""Every module is a stage or has a reason, and a stage's rows are of what the module gave, whatever came after."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.direct import measure
from equistudy.measuring.discovery import find_stages
from equistudy.networks.import_timm import import_timm

CIRCLE = Translation(max_pixels=1, border=Border.CIRCULAR)


@dataclass
class Found:
    maps: torch.Tensor
    count: int


class Everything(nn.Module):
    """In-place activations, a module that runs twice, nested outputs, an identity, and modules that never run."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Identity(), nn.ReLU(inplace=True))
        self.twin, self.never = self.first, nn.Tanh()
        self.nested, self.ids = Nested(), Ids()
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.act(self.first(images))
        found = self.nested(self.act(self.block(maps) + 0.1))
        self.ids(images)
        return self.head(found[1]["found"].maps.mean(dim=(2, 3)))


class Nested(nn.Module):
    def forward(self, maps: torch.Tensor) -> tuple[int, dict[str, Found], tuple[()]]:
        return 3, {"found": Found(maps.sin(), 1)}, ()


class Ids(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.flatten(1).argmax(dim=1, keepdim=True)


def test_every_module_is_a_stage_or_has_a_reason() -> None:
    found = find_stages(Everything(), torch.rand(3, 1, 8, 8))
    assert list(found.paths) == [
        *("first", "act#1", "block.0", "block.2", "act#2", "nested[1][found][maps]", "head"),
    ]
    assert found.same == {"block": "block.2", "output": "head"}
    assert found.absent == {
        "block.1": "it returns the output of block.0",
        "nested[0]": "its output is of type int, not a tensor",
        "nested[1][found][count]": "its output is of type int, not a tensor",
        "ids": "its output holds int64, not floating-point numbers",
        "never": "it does not run in the forward pass",
        "twin": "it is the same module as first",
    }


def test_rows_are_of_what_a_module_gave_before_others_changed_it() -> None:
    """The convolution before an in-place ReLU is linear: its negative cells count, and a copy of the network agrees."""
    torch.manual_seed(0)
    network, copy = Everything(), Everything()
    copy.load_state_dict(network.state_dict())
    copy.act, copy.block[2] = nn.ReLU(), nn.ReLU()
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    measures = [WithinCorrelation(CIRCLE), BetweenCorrelation(CIRCLE)]
    in_place, plain = (measure(each, images, measures) for each in (network, copy))
    assert in_place == plain
    rows = {(row.stage, row.measure): row for row in in_place.rows if row.element == "dx=1"}
    assert {stage for stage, name in rows if name == "within_correlation"} == {
        *("first", "act#1", "block.0", "block.2", "block", "act#2", "nested[1][found][maps]"),
    }
    assert rows["block", "within_correlation"].value == rows["block.2", "within_correlation"].value
    told = {(skipped.stage, skipped.measure): skipped.reason for skipped in in_place.skipped}
    assert told["head", "within_correlation"] == "it is a vector, and the measure compares positions"
    assert told["never", "between_correlation"] == "it does not run in the forward pass"


ARCHITECTURES = " ".join(
    (
        "beit_base_patch16_224 botnet26t_256 cait_xxs24_224 coat_lite_tiny coatnet_pico_rw_224 convit_tiny",
        "convmixer_768_32 convnext_atto convnextv2_atto crossvit_tiny_240 cs3darknet_s cspresnet50 davit_tiny",
        "deit_tiny_patch16_224 densenet121 dla34 dm_nfnet_f0 dpn48b eca_resnet33ts edgenext_xx_small",
        "efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientnet_lite0 efficientvit_b0 efficientvit_m0",
        "ese_vovnet19b_dw fastvit_t8 fbnetc_100 focalnet_tiny_srf gcvit_xxtiny gernet_s ghostnet_100 halonet26t",
        "hardcorenas_a hgnet_tiny hiera_tiny_224 hrnet_w18_small inception_v3 inception_next_atto lambda_resnet26t",
        "lcnet_050 levit_128s maxvit_pico_rw_256 mixer_s32_224 mixnet_s mnasnet_small mobilenetv1_100",
        "mobilenetv2_050 mobilenetv3_small_050 mobilenetv4_conv_small_035 mobileone_s0 mobilevit_xxs",
        "mobilevitv2_050 mvitv2_tiny nest_tiny nf_regnet_b0 nfnet_l0 pit_ti_224 poolformer_s12 pvt_v2_b0",
        "regnetx_002 regnety_002 repghostnet_050 repvgg_a0 repvit_m0_9 res2net50_14w_8s resmlp_12_224 resnest14d",
        "resnet18 resnetv2_50 resnext26ts rexnet_100 selecsls42 semnasnet_075 sequencer2d_s shvit_s1 skresnet18",
        "spnasnet_100 starnet_s1 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_cr_tiny_ns_224 tinynet_e",
        "tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_pcpvt_small vgg11 visformer_tiny vit_tiny_patch16_224",
        "volo_d1_224 vovnet39a wide_resnet50_2 xception41 xcit_nano_12_p16_224",
    )
).split()


LARGE = " ".join(  # slow ones whose kinds the others have too
    (
        "beit_base_patch16_224 volo_d1_224 hiera_tiny_224 swinv2_cr_tiny_ns_224 mobileone_s0 coatnet_pico_rw_224",
        "swin_tiny_patch4_window7_224 cait_xxs24_224 botnet26t_256 wide_resnet50_2 tresnet_m dm_nfnet_f0 xception41",
    )
).split()
NEED_THEIR_SIZE = ("halonet26t", "inception_v3")  # without declaring it


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LARGE else name for name in ARCHITECTURES]
)
def test_no_module_of_a_timm_network_vanishes(name: str) -> None:
    torch.manual_seed(0)
    network: Any = import_timm().create_model(name)
    native = network.pretrained_cfg["input_size"][1]
    side = native if network.pretrained_cfg.get("fixed_input_size") or name in NEED_THEIR_SIZE else 64
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    group = Translation(max_pixels=side // 2, pixels=(side // 2,), border=Border.CIRCULAR)
    result = measure(network, images, WithinCorrelation(group))
    told = {row.stage for row in result.rows} | {skipped.stage for skipped in result.skipped}
    modules = {path.split("#")[0].split("[")[0].removesuffix("output") for path in told}
    assert not [path for path, _ in network.named_modules(remove_duplicate=False) if path not in modules]
    declared = {
        entry["module"]: entry["reduction"] for entry in getattr(network.feature_info, "info", network.feature_info)
    }
    strides = {row.stage: row.stride for row in result.rows}
    assert {path: strides[path] for path in declared if path in strides} == {
        path: reduction for path, reduction in declared.items() if path in strides
    }
