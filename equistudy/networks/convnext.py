"""The ConvNeXt for small images, built from timm's stages."""

from jaxtyping import Float
from torch import Tensor, nn

from equistudy.networks.import_timm import import_timm
from equistudy.networks.residual import GlobalAveragePool

__all__ = ["ConvNeXtNetwork"]

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
