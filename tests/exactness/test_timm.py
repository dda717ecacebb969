"""The audit of timm's networks against brute force that shares nothing with it: filters turned along with the image."""

import copy

import pytest
import torch
from torch import Tensor, nn

from equistudy.exactness.judging import judge_network
from equistudy.networks.timm_network import build_bare_network

NUM_IMAGES = 2
FADED = 0.05
LARGEST_OF_EXACT, SMALLEST_OF_INEXACT = 1e-5, 1e-3  # some networks cast to float32 inside
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
    "davit_tiny": (29, 32),
}
# one of each kind that is judged fast; all of them take six minutes
FEW = ("resnetblur18", "regnetx_002", "lcnet_035", "vit_tiny_patch16_224", "mixer_s32_224", "davit_tiny")
CHOSEN = [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in sorted(ARCHITECTURES)]


def commutes_with_a_turn(network: nn.Module, size: int) -> bool | None:
    """Whether turned filters on turned images give the same outputs; None where the size is not taken.

    The error is a share of how much outputs differ between images: biases, which are the same for all, hide nothing.
    """
    rng = torch.Generator().manual_seed(3)
    images = torch.randn(NUM_IMAGES, 3, size, size, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        try:
            network = randomised(network, images, rng)
            still = network(images)
        except Exception:  # each network has its own way of refusing a size
            return None
        error = (turned(network)(torch.rot90(images, 1, (-2, -1))) - still).norm() / (still - still.roll(1, 0)).norm()
    assert error < LARGEST_OF_EXACT or error > SMALLEST_OF_INEXACT, f"{error:.1e} tells nothing"
    return bool(error < LARGEST_OF_EXACT)


def randomised(network: nn.Module, images: Tensor, rng: torch.Generator) -> nn.Module:
    """A copy in float64 with weights that keep the size of features, and batch norms with the statistics of images."""
    network = copy.deepcopy(network).double().eval()
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
        if parameter.ndim > 1 and len(parameter) > 1:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        else:  # a residual branch whose gain starts at or near 0 would hide what is wrong in it
            parameter.copy_(torch.where(parameter.abs() > FADED, parameter * (1 + 0.2 * noise), 0.5 * noise))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    network(images)
    return network.eval()


def turned(network: nn.Module) -> nn.Module:
    """A copy whose filters are turned by 90 degrees."""
    network = copy.deepcopy(network)
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim == 4 and weight.shape[-1] == weight.shape[-2]:
            weight.copy_(torch.rot90(weight, 1, (-2, -1)))
    return network


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
@pytest.mark.parametrize("name", CHOSEN)
def test_the_verdict_is_that_of_brute_force(name: str) -> None:
    for size in ARCHITECTURES[name]:
        torch.manual_seed(0)
        network = build_bare_network(name, (3, size, size), 10)
        expected = commutes_with_a_turn(network, size)
        if expected is None:
            with pytest.raises(ValueError, match=r"needs images that .* accepts"):
                judge_network(network, size, channels=3)
        else:
            assert judge_network(network, size, channels=3)[0].is_exact == expected, (name, size)
