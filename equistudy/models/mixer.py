"""Mixers: patches mixed over positions and over channels, by linear layers or by convolutions."""

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
    list_block_stages,
    norm_cost,
)

__all__ = ["ConvMixer", "MLPMixer"]


@dataclass(frozen=True)
class MLPMixer(SizedModel):
    """`depth` blocks on patches of `patch` x `patch` pixels, with `width` channels.

    Each block has a two-layer perceptron over positions with `width` / 2 hidden units, shared by all channels, and one
    over channels with 4 `width` hidden units, each with layer norm before and a residual connection. Layer norm, the
    mean over positions and one linear layer, which is initialised to zero as in the paper. The network is tied to one
    image size. Built by timm.

    Source: Tolstikhin et al. 2021, arXiv:2105.01601.

    >>> import equistudy as eq
    >>> eq.MLPMixer(depth=2, width=16, patch=4).cost((3, 32, 32), 10).parameters
    7562
    """

    depth: int = 6
    width: int = 64
    patch: int = 4

    def __post_init__(self) -> None:
        check_counts(self, "depth", "width", "patch")
        if self.width % 2:
            raise ValueError(f"MLPMixer width must be even, got width={self.width}. Use {self.width + 1}.")

    @property
    def width_step(self) -> int:
        """2, because half the width is a number of hidden units."""
        return 2

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.import_timm import import_timm

        compute_patch_grid(self, self.patch, image_shape)
        return import_timm().models.mlp_mixer.MlpMixer(
            num_outputs,
            img_size=image_shape[1:],
            in_chans=image_shape[0],
            patch_size=self.patch,
            num_blocks=self.depth,
            embed_dim=self.width,
        )

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem, each block, the pooled vector and the logits."""
        return list_block_stages("stem", self.depth, "head_drop")

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """The cost of stem, blocks, norm and classifier."""
        rows, columns = compute_patch_grid(self, self.patch, image_shape)
        cells, width, hidden = rows * columns, self.width, self.width // 2
        tokens = dense_cost(cells, hidden, width) + dense_cost(hidden, cells, width)
        channels = dense_cost(width, 4 * width, cells) + dense_cost(4 * width, width, cells)
        stem = dense_cost(image_shape[0] * self.patch**2, width, cells)
        return (
            stem
            + (tokens + channels + norm_cost(width) * 2) * self.depth
            + norm_cost(width)
            + dense_cost(width, num_outputs)
        )


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
