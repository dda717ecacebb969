"""The audit of timm's networks against brute force that shares nothing with it: filters turned along with the image."""

import copy

import pytest
import torch
from torch import nn

from equistudy.exactness.judging import judge_network
from equistudy.networks.timm_network import build_bare_network

CLOSE = 1e-5  # some networks cast to float32 inside
SAME_CELLS, WHOLE_CELLS = (32, 33, 48), (32, 48, 64)
ARCHITECTURES = {
    **dict.fromkeys(
        (
            "resnet18",
            "resnet18d",
            "resnet26t",
            "resnetblur18",
            "resnetv2_18",
            "seresnet18",
            "regnetx_002",
            "regnety_002",
            "mobilenetv2_035",
            "mobilenetv3_small_050",
            "mobilenetv4_conv_small_035",
            "mnasnet_small",
            "lcnet_035",
            "semnasnet_050",
            "tinynet_e",
            "ghostnet_050",
            "efficientnet_lite0",
            "tf_efficientnet_lite0",
            "mixnet_s",
            "densenet121",
            "dla46_c",
            "selecsls42",
            "ese_vovnet19b_slim_dw",
            "repvgg_a0",
            "darknet17",
            "gernet_s",
            "poolformer_s12",
            "convnext_atto",
            "convnextv2_atto",
            "inception_next_atto",
            "fastvit_t8",
            "starnet_s1",
            "repvit_m0_9",
        ),
        SAME_CELLS,
    ),
    "convmixer_768_32": (28, 32, 35),
    "vit_tiny_patch16_224": WHOLE_CELLS,
    "deit_tiny_patch16_224": WHOLE_CELLS,
    "resmlp_12_224": WHOLE_CELLS,
    "mixer_s32_224": (32, 64, 96),
    "swin_tiny_patch4_window7_224": (32, 48, 64),
    "edgenext_xx_small": WHOLE_CELLS,
    "xcit_nano_12_p16_224": WHOLE_CELLS,
    "mobilevit_xxs": SAME_CELLS,
    "efficientvit_b0": WHOLE_CELLS,
}


def turned(network: nn.Module) -> nn.Module:
    """A copy whose square filters are turned by 90 degrees."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for module in network.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, nn.Parameter) and weight.ndim == 4 and weight.shape[-1] == weight.shape[-2]:
                weight.copy_(torch.rot90(weight, 1, (-2, -1)))
    return network


def commutes_with_a_turn(network: nn.Module, size: int) -> bool | None:
    """Whether turned filters on a turned image give the same outputs; None where the size is not taken."""
    rng = torch.Generator().manual_seed(3)
    network = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype))
        image = torch.randn(1, 3, size, size, generator=rng, dtype=torch.float64)
        try:
            still = network(image)
        except Exception:  # each network has its own way of refusing a size
            return None
        moved = turned(network)(torch.rot90(image, 1, (-2, -1)))
    return bool((moved - still).norm() / still.norm() < CLOSE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_verdict_is_that_of_brute_force(name: str) -> None:
    for size in ARCHITECTURES[name]:
        torch.manual_seed(0)
        network = build_bare_network(name, (3, size, size), 10)
        expected = commutes_with_a_turn(network, size)
        if expected is None:
            with pytest.raises(ValueError, match="must take the images"):
                judge_network(network, size, channels=3)
        else:
            assert judge_network(network, size, channels=3)[0].is_exact == expected, (name, size)
