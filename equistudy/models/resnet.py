"""The residual network for small images, by depth and width."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.models.model import Module
from equistudy.models.sized import Cost, SizedModel, dense_cost, norm_cost
from equistudy.networks.choices import Downsampling, Head, Padding, Shortcut, check_choice
from equistudy.spec import added_field

__all__ = ["ResNet"]

SMALLEST_IMAGE = 8
HALVINGS = (Downsampling.STRIDE, Downsampling.MAX, Downsampling.BLUR, Downsampling.POLYPHASE)


@dataclass(frozen=True)
class ResNet(SizedModel):
    """A residual network of three stages for images of about 32 x 32 pixels.

    A 3 x 3 stem is followed by three stages of n = (depth - 2) / 6 blocks of two 3 x 3 convolutions, with `width`,
    2 `width` and 4 `width` channels; the last two stages start with stride 2. Batch norm and ReLU throughout, global
    average pooling, and one linear layer. ResNet(20, 16) has 0.27 million parameters. Weights are initialised from He's
    normal distribution.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2, which uses Shortcut.PADDING on CIFAR; the default here is the
    projection, as in most later work. The defaults of `padding`, `downsampling` and `head` are the paper's.
    Head.FLATTEN ties the network to one image size.

    >>> import equistudy as eq
    >>> network = eq.ResNet(20, 16).build((3, 32, 32), num_outputs=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    272474
    """

    depth: int = 20
    width: int = 16
    shortcut: Shortcut = Shortcut.PROJECTION
    padding: Padding = added_field(Padding.ZERO)  # noqa: RUF009 -- a field
    downsampling: Downsampling = added_field(Downsampling.STRIDE)  # noqa: RUF009 -- a field
    head: Head = added_field(Head.MEAN, spelled={Head.MEAN: "average"})  # noqa: RUF009 -- a field

    def __post_init__(self) -> None:
        if self.depth < 8 or (self.depth - 2) % 6:
            below = max(self.depth - (self.depth - 2) % 6, 2)
            nearest = ", ".join(str(depth) for depth in (below, below + 6) if depth >= 8)
            raise ValueError(f"ResNet depth must be 6n + 2, got depth={self.depth}. Nearest: {nearest}.")
        check_choice(self, "downsampling", *HALVINGS)
        check_choice(self, "head", Head.MEAN, Head.FLATTEN)
        if self.width < 1:
            raise ValueError(f"ResNet width must be at least 1 channel, got width={self.width}. The paper uses 16.")

    @property
    def num_blocks(self) -> int:
        """The number of residual blocks in each stage: n in depth = 6n + 2."""
        return (self.depth - 2) // 6

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.residual import BlockChoices, ResidualNetwork, StageSizes

        sizes = StageSizes(self.width, self.num_blocks, self._compute_grids(image_shape)[-1])
        block = BlockChoices(self.shortcut, self.padding, self.downsampling)
        return ResidualNetwork(image_shape[0], num_outputs, sizes, block, self.head)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stem, the three stages, the pooled vector and the logits."""
        names = ("stem", "stage1", "stage2", "stage3", "pooled")
        return {**{name: name for name in names}, "logits": "classifier"}

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """The cost of stem, stages and classifier."""
        cells = [rows * columns for rows, columns in self._compute_grids(image_shape)]
        cost = dense_cost(9 * image_shape[0], self.width, cells[0], bias=False) + norm_cost(self.width)
        for index, here in enumerate(cells):
            inputs, outputs = self.width << max(index - 1, 0), self.width << index
            # All other choices downsample after the first convolution.
            first = here if self.downsampling is Downsampling.STRIDE else cells[max(index - 1, 0)]
            plain = dense_cost(9 * outputs, outputs, here, bias=False) + norm_cost(outputs)
            cost += (
                dense_cost(9 * inputs, outputs, first, bias=False)
                + norm_cost(outputs)
                + plain * (2 * self.num_blocks - 1)
            )
            if index and self.shortcut is Shortcut.PROJECTION:
                cost += dense_cost(inputs, outputs, here, bias=False) + norm_cost(outputs)
            if index and self.downsampling is Downsampling.BLUR:
                cost += Cost(flops=2 * 9 * (inputs + outputs) * here)
        features = 4 * self.width * (cells[-1] if self.head is Head.FLATTEN else 1)
        return cost + dense_cost(features, num_outputs)

    def _compute_grids(self, image_shape: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Rows and columns of the map of each stage."""
        _, height, width = image_shape
        if min(height, width) < SMALLEST_IMAGE:
            raise ValueError(
                f"ResNet needs images of at least {SMALLEST_IMAGE} x {SMALLEST_IMAGE} pixels, got {height} x {width}. "
                f"Enlarge the images."
            )
        if self.downsampling in (Downsampling.MAX, Downsampling.POLYPHASE) and (height % 4 or width % 4):
            raise ValueError(
                f"Downsampling.{self.downsampling.name} halves the map twice, which needs sides that are multiples of "
                f"4, got {height} x {width}. Use such images, or Downsampling.BLUR."
            )
        return [(-(-height // stride), -(-width // stride)) for stride in (1, 2, 4)]
