"""The residual network for small images, by depth and width."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from equistudy.models.model import Model, Module

__all__ = ["ResNet", "Shortcut"]

SMALLEST_IMAGE = 8


class Shortcut(Enum):
    """How a block's input joins its output where the number of channels and the resolution change.

    PROJECTION (option B of the paper) is a 1 x 1 convolution with stride and batch norm. PADDING (option A) takes every
    second pixel and adds channels of zeros, without parameters.
    """

    PROJECTION = "projection"
    PADDING = "padding"


@dataclass(frozen=True)
class ResNet(Model):
    """A residual network of three stages for images of about 32 x 32 pixels.

    A 3 x 3 stem, then three stages of n = (depth - 2) / 6 blocks of two 3 x 3 convolutions with `width`, 2 `width` and
    4 `width` channels, the last two stages starting with stride 2; batch norm and ReLU throughout, global average
    pooling, one linear layer. ResNet(20, 16) has 0.27 million parameters. Weights start from He's normal distribution.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2, which uses Shortcut.PADDING on CIFAR; the default here is the
    projection, as in most later work.
    """

    depth: int = 20
    width: int = 16
    shortcut: Shortcut = Shortcut.PROJECTION

    def __post_init__(self) -> None:
        if self.depth < 8 or (self.depth - 2) % 6:
            below = max(self.depth - (self.depth - 2) % 6, 2)
            nearest = ", ".join(str(depth) for depth in (below, below + 6) if depth >= 8)
            raise ValueError(f"ResNet depth must be 6n + 2, got depth={self.depth}. Nearest: {nearest}.")
        if self.width < 1:
            raise ValueError(f"ResNet width must be at least 1 channel, got width={self.width}. The paper uses 16.")

    @property
    def num_blocks(self) -> int:
        """Residual blocks in each stage: n in depth = 6n + 2."""
        return (self.depth - 2) // 6

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A fresh network, initialised from torch's current random state."""
        from equistudy.models.resnet_network import ResidualNetwork

        channels, height, width = image_shape
        if min(height, width) < SMALLEST_IMAGE:
            raise ValueError(
                f"ResNet needs images of at least {SMALLEST_IMAGE} x {SMALLEST_IMAGE} pixels, got {height} x {width}. "
                f"Enlarge the images."
            )
        padded = self.shortcut is Shortcut.PADDING
        return ResidualNetwork(channels, num_outputs, self.num_blocks, self.width, padded_shortcuts=padded)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem, the three stages, the pooled vector and the logits."""
        names = ("stem", "stage1", "stage2", "stage3", "pooled")
        return {**{name: name for name in names}, "logits": "classifier"}
