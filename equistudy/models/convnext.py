"""The ConvNeXt for small images, by depth and width."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.models.model import Module
from equistudy.models.sized import (
    Cost,
    SizedModel,
    check_counts,
    compute_patch_grid,
    dense_cost,
    depthwise_cost,
    norm_cost,
)

__all__ = ["ConvNeXt"]

STAGES = 3


@dataclass(frozen=True)
class ConvNeXt(SizedModel):
    """Three stages of `depth` blocks with `width`, 2 `width` and 4 `width` channels, for images of about 32 pixels.

    The stem embeds patches of `patch` x `patch` pixels. Layer norm and a 2 x 2 convolution of stride 2 precede the last
    two stages. Each block is a zero-padded `kernel` x `kernel` depthwise convolution, layer norm, and a two-layer
    perceptron with four times the channels and GELU, scaled by a learned vector (layer scale) and added to the input.
    Global average pooling, layer norm and one linear layer. The blocks are timm's.

    Source: Liu et al. 2022, arXiv:2201.03545, with four stages and patches of 4 pixels. Layer scale starts at 0.1 here
    instead of 1e-6, which suits short training.

    >>> import equistudy as eq
    >>> eq.ConvNeXt(depth=1, width=8, patch=2).cost((3, 32, 32), 10).parameters
    17170
    """

    depth: int = 2
    width: int = 16
    patch: int = 1
    kernel: int = 7

    def __post_init__(self) -> None:
        check_counts(self, "depth", "width", "patch", "kernel")
        if self.kernel % 2 == 0:
            raise ValueError(f"ConvNeXt kernel must be odd, to have a centre, got kernel={self.kernel}. Use 7.")

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.timm_parts import ConvNeXtNetwork

        self._count_cells(image_shape)
        return ConvNeXtNetwork(
            image_shape[0], num_outputs, depth=self.depth, width=self.width, patch=self.patch, kernel=self.kernel
        )

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem, the three stages, the pooled vector and the logits."""
        names = ("stem", *(f"stage{index}" for index in range(1, STAGES + 1)), "pooled")
        return {**{name: name for name in names}, "logits": "classifier"}

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """The cost of stem, stages and classifier."""
        grids, width = self._count_cells(image_shape), self.width
        cost = dense_cost(image_shape[0] * self.patch**2, width, grids[0]) + norm_cost(width)
        for index, cells in enumerate(grids):
            channels = width << index
            if index:
                cost += norm_cost(channels // 2) + dense_cost(4 * channels // 2, channels, cells)
            perceptron = dense_cost(channels, 4 * channels, cells) + dense_cost(4 * channels, channels, cells)
            scale = Cost(channels)
            cost += (
                depthwise_cost(self.kernel, channels, cells) + norm_cost(channels) + perceptron + scale
            ) * self.depth
        return cost + norm_cost(4 * width) + dense_cost(4 * width, num_outputs)

    def _count_cells(self, image_shape: tuple[int, int, int]) -> list[int]:
        """The number of cells of each stage."""
        rows, columns = compute_patch_grid(self, self.patch, image_shape)
        if min(rows, columns) < 1 << (STAGES - 1):
            raise ValueError(
                f"ConvNeXt halves its map twice, which needs at least 4 x 4 patches, got {rows} x {columns} of "
                f"patch={self.patch}. Use a smaller patch or larger images."
            )
        return [(rows >> index) * (columns >> index) for index in range(STAGES)]
