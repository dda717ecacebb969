"""ConvMixer: patches mixed by depthwise and pointwise convolutions at one resolution."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.models.model import Module
from equistudy.models.patches import compute_patch_grid, list_block_stages
from equistudy.models.sized import Cost, SizedModel, check_counts, dense_cost, depthwise_cost, norm_cost

__all__ = ["ConvMixer"]


@dataclass(frozen=True)
class ConvMixer(SizedModel):
    """`depth` blocks on patches of `patch` x `patch` pixels, with `width` channels.

    Each block is a zero-padded `kernel` x `kernel` depthwise convolution with a residual connection, followed by a
    1 x 1 convolution, with GELU and batch norm after each. Global average pooling and one linear layer. Built by timm.

    Source: Trockman and Kolter 2022, arXiv:2201.09792, whose ConvMixer-256/8 for CIFAR-10 is four times as wide.

    >>> import equistudy as eq
    >>> eq.ConvMixer(depth=2, width=16, patch=4).cost((3, 32, 32), 10).parameters
    2490
    """

    depth: int = 8
    width: int = 64
    patch: int = 2
    kernel: int = 5

    def __post_init__(self) -> None:
        check_counts(self, "depth", "width", "patch", "kernel")
        if self.kernel % 2 == 0:
            raise ValueError(f"ConvMixer kernel must be odd, to have a centre, got kernel={self.kernel}. Use 5.")

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.import_timm import import_timm

        compute_patch_grid(self, self.patch, image_shape)
        return import_timm().models.convmixer.ConvMixer(
            self.width, self.depth, self.kernel, self.patch, in_chans=image_shape[0], num_classes=num_outputs
        )

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem, each block, the pooled vector and the logits."""
        return list_block_stages("stem", self.depth, "global_pool")

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """The cost of stem, blocks and classifier."""
        rows, columns = compute_patch_grid(self, self.patch, image_shape)
        cells, width = rows * columns, self.width
        block = depthwise_cost(self.kernel, width, cells) + dense_cost(width, width, cells) + norm_cost(width) * 2
        stem = dense_cost(image_shape[0] * self.patch**2, width, cells) + norm_cost(width)
        return stem + block * self.depth + dense_cost(width, num_outputs)
