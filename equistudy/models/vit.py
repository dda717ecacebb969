"""The vision transformer for small images, by depth, width, patch, position embedding and stem."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import lcm

from equistudy.models.model import Module
from equistudy.models.sized import (
    Cost,
    SizedModel,
    check_counts,
    compute_patch_grid,
    dense_cost,
    list_block_stages,
    norm_cost,
)
from equistudy.networks.choices import Positions

__all__ = ["Stem", "ViT"]


class Stem(Enum):
    """How pixels become tokens: by one linear map of each patch, or by overlapping 3 x 3 convolutions of stride 2."""

    PATCHES = "patches"
    CONVOLUTIONS = "convolutions"


@dataclass(frozen=True)
class ViT(SizedModel):
    """A pre-norm transformer of `depth` blocks on patches of `patch` x `patch` pixels, with `width` channels per token.

    Each block has attention with `num_heads` heads and a two-layer perceptron with 4 `width` hidden units. There is no
    class token: the mean over tokens, layer norm and one linear layer follow. The network is tied to one image size.
    Built by timm.

    `Stem.CONVOLUTIONS` reaches the stride `patch`, a power of two, with 3 x 3 convolutions of stride 2, batch norm and
    ReLU, which double the channels up to `width`, followed by a 1 x 1 convolution.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929; mean pooling and sine positions as in Beyer et al. 2022,
    arXiv:2205.01580; the convolutional stem as in Xiao et al. 2021, arXiv:2106.14881, who also remove one block.

    >>> import equistudy as eq
    >>> eq.ViT(depth=2, width=16, num_heads=2).cost((3, 32, 32), 10).parameters
    8570
    """

    depth: int = 6
    width: int = 64
    patch: int = 4
    num_heads: int = 4
    positions: Positions = Positions.LEARNED
    stem: Stem = Stem.PATCHES

    def __post_init__(self) -> None:
        check_counts(self, "depth", "width", "patch", "num_heads")
        if self.width % self.width_step:
            below = self.width - self.width % self.width_step
            nearest = ", ".join(str(width) for width in (below, below + self.width_step) if width)
            raise ValueError(
                f"ViT width must be a multiple of {self.width_step} with {self.num_heads} heads, "
                f"{self.positions.value} positions and a stem of {self.stem.value}, got width={self.width}. "
                f"Nearest: {nearest}."
            )
        if self.stem is Stem.CONVOLUTIONS and (self.patch < 2 or self.patch & (self.patch - 1)):
            raise ValueError(
                f"With Stem.CONVOLUTIONS, patch must be a power of two from 2 on, "
                f"got patch={self.patch}. Use 4, or Stem.PATCHES."
            )

    @property
    def width_step(self) -> int:
        """The number that heads, sine positions (4) and the halvings of a convolutional stem must all divide by."""
        sines = 4 if self.positions is Positions.SINE else 1
        halvings = self.patch // 2 if self.stem is Stem.CONVOLUTIONS else 1
        return lcm(self.num_heads, sines, max(halvings, 1))

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.timm_parts import TransformerSizes, build_vision_transformer

        compute_patch_grid(self, self.patch, image_shape)
        return build_vision_transformer(
            image_shape,
            num_outputs,
            sizes=TransformerSizes(self.depth, self.width, self.patch, self.num_heads),
            positions=self.positions,
            stem_channels=self.list_stem_channels(image_shape[0]) if self.stem is Stem.CONVOLUTIONS else None,
        )

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem before positions are added, each block, the pooled vector and the logits."""
        return list_block_stages("patch_embed", self.depth, "fc_norm")

    def list_stem_channels(self, channels: int) -> list[int]:
        """The channels before and after each convolution of stride 2, doubling up to `width`."""
        count = self.patch.bit_length() - 1
        return [channels, *(self.width >> (count - 1 - index) for index in range(count))]

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """The cost of stem, positions, blocks, norm and classifier."""
        rows, columns = compute_patch_grid(self, self.patch, image_shape)
        tokens, width = rows * columns, self.width
        products = Cost(flops=2 * 2 * tokens**2 * width)  # queries by keys, and attention weights by values
        attention = dense_cost(width, 3 * width, tokens) + products + dense_cost(width, width, tokens)
        perceptron = dense_cost(width, 4 * width, tokens) + dense_cost(4 * width, width, tokens)
        positions = Cost(tokens * width if self.positions is Positions.LEARNED else 0)
        blocks = (attention + perceptron + norm_cost(width) * 2) * self.depth
        return (
            self._compute_stem_cost(image_shape[0], tokens)
            + positions
            + blocks
            + norm_cost(width)
            + dense_cost(width, num_outputs)
        )

    def _compute_stem_cost(self, channels: int, tokens: int) -> Cost:
        if self.stem is Stem.PATCHES:
            return dense_cost(channels * self.patch**2, self.width, tokens)
        cost, counts = dense_cost(self.width, self.width, tokens), self.list_stem_channels(channels)
        for index, outputs in enumerate(counts[1:], 1):
            pixels = tokens * (self.patch >> index) ** 2
            cost += dense_cost(9 * counts[index - 1], outputs, pixels, bias=False) + norm_cost(outputs)
        return cost
