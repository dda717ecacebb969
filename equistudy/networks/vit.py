"""Builds the vision transformer from timm's parts."""

from itertools import pairwise
from typing import Any, NamedTuple

from torch import nn

from equistudy.networks.choices import Positions
from equistudy.networks.import_timm import import_timm

__all__ = ["TransformerSizes", "build_vision_transformer"]


class TransformerSizes(NamedTuple):
    """The number of blocks, channels per token, pixels per side of a patch, and attention heads."""

    depth: int
    width: int
    patch: int
    num_heads: int


def build_vision_transformer(
    image_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    sizes: TransformerSizes,
    positions: Positions,
    stem_channels: list[int] | None,
) -> nn.Module:
    """The VisionTransformer of timm without a class token, for images of (channels, height, width).

    Patches become tokens by one linear map, or by convolutions with `stem_channels` as their numbers of channels.
    """
    timm = import_timm()

    def convolutions(*, in_chans: int, **options: Any) -> nn.Module:
        assert stem_channels is not None
        backbone = _build_convolutions(stem_channels)
        return timm.layers.HybridEmbed(backbone, in_chans=in_chans, **{**options, "patch_size": 1})

    embed = timm.layers.PatchEmbed if stem_channels is None else convolutions
    network = timm.models.vision_transformer.VisionTransformer(
        img_size=image_shape[1:],
        patch_size=sizes.patch,
        in_chans=image_shape[0],
        num_classes=num_outputs,
        global_pool="avg",
        class_token=False,
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.num_heads,
        pos_embed="learn" if positions is Positions.LEARNED else "none",
        embed_layer=embed,
    )
    if positions is Positions.SINE:
        sines = timm.layers.build_sincos2d_pos_embed(list(network.patch_embed.grid_size), sizes.width)
        del network.pos_embed
        network.register_buffer("pos_embed", sines[None])
    return network


def _build_convolutions(channels: list[int]) -> nn.Sequential:
    """3 x 3 convolutions of stride 2, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
