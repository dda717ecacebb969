"""A compact U-Net for segmentation, optionally equivariant to a finite group."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from equistudy.datasets.dataset import Target
from equistudy.groups.finite import FiniteGroup
from equistudy.models.model import Model, Module
from equistudy.networks.choices import Factorisation, Initialisation

__all__ = ["UNet"]


@dataclass(frozen=True)
class UNet(Model):
    """An encoder that halves the resolution `levels` times, and a decoder with skip connections at each resolution.

    Every level has two 3 x 3 convolutions with batch norm and ReLU; the finest has `width` fields, and each coarser
    level twice as many. Downsampling is by max-pooling, upsampling by nearest neighbour, and a 1 x 1 convolution
    outputs the logits. With a `group`, the convolutions are group convolutions, and the maximum over the channels of
    each field enters the last convolution: the network is then exactly equivariant if 2^levels divides the image size.

    Source: Ronneberger et al. 2015, arXiv:1505.04597, with padding and batch norm. Benton et al. 2020,
    arXiv:2010.11882, use an FC-DenseNet67 instead.

    >>> import torch, equistudy as eq
    >>> network = eq.UNet(width=4, levels=1).build((3, 32, 32), num_outputs=5)
    >>> network(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 5, 32, 32])
    """

    width: int = 16
    levels: int = 2
    group: FiniteGroup | None = None

    targets: ClassVar[tuple[Target, ...]] = (Target.LABELS,)

    def __post_init__(self) -> None:
        if self.width < 1 or self.levels < 1:
            raise ValueError(
                f"UNet needs at least 1 field and 1 level, got width={self.width}, levels={self.levels}. Use 16 and 2."
            )

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from equistudy.networks.equivariant.layers import LayerFactory
        from equistudy.networks.group_networks import UNetNetwork

        channels, height, width = image_shape
        if min(height, width) < 2**self.levels:
            raise ValueError(
                f"UNet with levels={self.levels} needs images of at least {2**self.levels} x {2**self.levels} pixels, "
                f"got {height} x {width}. Use fewer levels, or larger images."
            )
        layers = LayerFactory(self.group, Factorisation.FULL, Initialisation.HE)
        return UNetNetwork(layers, self.width, self.levels, channels, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The outputs of encoder and decoder at the finest level, and the map of logits."""
        levels = range(self.levels + 1)
        down = {f"encoder{level}": f"encoders.{level}" for level in levels}
        up = {f"decoder{level}": f"decoders.{level}" for level in reversed(levels[:-1])}
        return {**down, **up, "logits": "head"}
