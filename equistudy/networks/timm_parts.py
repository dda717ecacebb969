"""The ConvNeXt for small images and the vision transformer, built of timm's parts."""

from itertools import pairwise
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from equistudy.networks.choices import Positions
from equistudy.networks.import_timm import import_timm
from equistudy.networks.residual import GlobalAveragePool

__all__ = ["ConvNeXtNetwork", "TransformerSizes", "build_vision_transformer"]

LAYER_SCALE = 0.1  # initial scale of each block's output


class ConvNeXtNetwork(nn.Module):
    """Stem, three stages, global average pooling with layer norm, and a linear classifier."""

    def __init__(self, channels: int, num_outputs: int, *, depth: int, width: int, patch: int, kernel: int) -> None:
        super().__init__()
        timm = import_timm()
        norm, stage = timm.layers.LayerNorm2d, timm.models.convnext.ConvNeXtStage
        options = {"kernel_size": kernel, "depth": depth, "ls_init_value": LAYER_SCALE, "norm_layer": norm}
        self.stem = nn.Sequential(nn.Conv2d(channels, width, patch, stride=patch), norm(width))
        self.stage1 = stage(width, width, stride=1, **options)
        self.stage2 = stage(width, 2 * width, **options)
        self.stage3 = stage(2 * width, 4 * width, **options)
        self.pooled = nn.Sequential(GlobalAveragePool(), nn.LayerNorm(4 * width, eps=1e-6))
        self.classifier = nn.Linear(4 * width, num_outputs)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """One row of outputs per image."""
        features: Tensor = self.stage3(self.stage2(self.stage1(self.stem(images))))
        return self.classifier(self.pooled(features))


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
