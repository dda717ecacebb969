"""Builds the vision transformer from timm's parts."""

from itertools import pairwise
from typing import Any

from torch import nn

from equistudy.models.torchvision_operators import import_timm
from equistudy.models.vit import Positions, Stem, ViT

__all__ = ["build_network"]


def build_network(model: ViT, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
    """The VisionTransformer of timm without a class token, for images of (channels, height, width)."""
    timm = import_timm()

    def convolutions(*, in_chans: int, **options: Any) -> nn.Module:
        backbone = _convolutions(model.stem_channels(in_chans))
        return timm.layers.HybridEmbed(backbone, in_chans=in_chans, **{**options, "patch_size": 1})

    embed = timm.layers.PatchEmbed if model.stem is Stem.PATCHES else convolutions
    network = timm.models.vision_transformer.VisionTransformer(
        img_size=image_shape[1:],
        patch_size=model.patch,
        in_chans=image_shape[0],
        num_classes=num_outputs,
        global_pool="avg",
        class_token=False,
        embed_dim=model.width,
        depth=model.depth,
        num_heads=model.num_heads,
        pos_embed="learn" if model.positions is Positions.LEARNED else "none",
        embed_layer=embed,
    )
    if model.positions is Positions.SINE:
        sines = timm.layers.build_sincos2d_pos_embed(list(network.patch_embed.grid_size), model.width)
        del network.pos_embed
        network.register_buffer("pos_embed", sines[None])
    return network


def _convolutions(channels: list[int]) -> nn.Sequential:
    """3 x 3 convolutions of stride 2, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
