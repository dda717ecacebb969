"""The plain group CNN for rotated digits: P4CNN, or Z2CNN without a group."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.groups.finite import CyclicGroup, FiniteGroup
from equistudy.models.model import Model, Module
from equistudy.networks.choices import GROUP_HEADS, Factorisation, Head, Initialisation, check_choice

__all__ = ["GroupCNN"]

P4 = CyclicGroup(4)


@dataclass(frozen=True)
class GroupCNN(Model):
    """`depth` convolutions, each with bias, batch norm and ReLU, and one 2 x 2 max-pool after the second.

    All convolutions are 3 x 3 with padding, except the last, which is 4 x 4 and unpadded unless `last_padded`. The head
    and one linear layer follow. The default head is the paper's: the mean over positions, then the maximum over the
    group. Dropout follows every convolution except the second and the last two.

    P4CNN is GroupCNN() with 24,990 parameters for 3 input channels and 10 outputs; Z2CNN is GroupCNN(20, None) with
    25,570. Exactly equivariant for images of even size.

    Source: Edixhoven et al. 2023, arXiv:2308.11316, after Cohen and Welling 2016, arXiv:1602.07576, whose convolutions
    have no padding. Dropout is drawn per channel and position, so that during training the network is equivariant only
    in distribution.

    >>> import equistudy as eq
    >>> network = eq.GroupCNN().build((3, 28, 28), num_outputs=10)
    >>> sum(parameter.numel() for parameter in network.parameters())
    24990
    """

    width: int = 10
    group: FiniteGroup | None = P4
    depth: int = 7
    last_padded: bool = False
    dropout: float = 0.3
    factorisation: Factorisation = Factorisation.FULL
    head: Head = Head.MAXIMUM_OF_MEANS
    initialisation: Initialisation = Initialisation.HE

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 3:
            raise ValueError(
                f"GroupCNN needs at least 1 field and 3 convolutions, got width={self.width} and depth={self.depth}. "
                f"The paper uses 10 fields of CyclicGroup(4) and 7 convolutions."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"Dropout must be at least 0 and less than 1, got dropout={self.dropout}. Use 0.3 or 0.")
        check_choice(self, "head", *GROUP_HEADS)
        if self.group is None and self.head is Head.MAXIMUM_OF_MEANS:
            # Without a group both heads are the mean over positions; ids keep this one.
            object.__setattr__(self, "head", Head.MEAN_OF_MAXIMA)
        self.factorisation.check(self.group)

    @property
    def smallest_image(self) -> int:
        """The image size that leaves one position after the last convolution."""
        return 2 if self.last_padded else 8

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.equivariant.layers import LayerFactory
        from equistudy.networks.group_networks import ChainSizes, GroupCNNNetwork

        channels, height, width = image_shape
        if min(height, width) < self.smallest_image:
            raise ValueError(
                f"GroupCNN needs images of at least {self.smallest_image} x {self.smallest_image} pixels, got "
                f"{height} x {width}. Enlarge the images, or pad the last convolution with last_padded=True."
            )
        layers = LayerFactory(self.group, self.factorisation, self.initialisation)
        sizes = ChainSizes(self.width, self.depth, self.last_padded, self.dropout)
        return GroupCNNNetwork(layers, sizes, self.head, channels, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """Every convolution with its norm and ReLU, the pooled vector and the logits."""
        names = [*(f"layer{number}" for number in range(1, self.depth + 1)), "pooled"]
        return {**{name: name for name in names}, "logits": "classifier"}
