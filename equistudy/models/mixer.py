"""MLP-Mixer: patches mixed by linear layers over positions and over channels."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.models.model import Module
from equistudy.models.patches import compute_patch_grid, list_block_stages
from equistudy.models.sized import Cost, SizedModel, check_counts, dense_cost, norm_cost

__all__ = ["MLPMixer"]


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
