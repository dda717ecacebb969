"""One group convolution and an invariant head: the smallest network that can break its symmetry."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.groups.finite import CyclicGroup, FiniteGroup
from equistudy.models.model import Model, Module
from equistudy.networks.choices import Head, Initialisation

__all__ = ["SingleConvolution"]

P4 = CyclicGroup(4)


@dataclass(frozen=True)
class SingleConvolution(Model):
    """A lifting convolution to one field, the mean over positions, the maximum over the field, and a linear layer.

    There is no other nonlinearity and no normalisation: with a 3 x 3 kernel, one input channel and 2 outputs it has 14
    parameters. Exactly invariant to the group for n x n pixels if the stride divides n + 2 padding - kernel_size.

    Source: Edixhoven, Lengyel and van Gemert 2023, arXiv:2308.11316.

    >>> import equistudy as eq
    >>> network = eq.SingleConvolution().build((1, 32, 32), num_outputs=2)
    >>> sum(parameter.numel() for parameter in network.parameters())
    14
    """

    kernel_size: int = 3
    stride: int = 2
    padding: int = 1
    group: FiniteGroup = P4

    def __post_init__(self) -> None:
        if min(self.kernel_size, self.stride) < 1 or self.padding < 0:
            raise ValueError(
                f"SingleConvolution needs positive kernel_size and stride and padding of at least 0, got kernel_size="
                f"{self.kernel_size}, stride={self.stride}, padding={self.padding}. The paper uses 3, 2 and 1."
            )

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state, as in GrouPy."""
        from collections import OrderedDict

        from torch import nn

        from equistudy.networks.equivariant.convolution import ConvolutionWindow, LiftingConvolution
        from equistudy.networks.equivariant.pooling import build_head

        channels, *sides = image_shape
        if min(sides) + 2 * self.padding < self.kernel_size:
            raise ValueError(
                f"The kernel must fit in the padded image, got kernel_size={self.kernel_size} for {sides[0]} x "
                f"{sides[1]} pixels with padding={self.padding}. Enlarge the images, or the padding."
            )
        window = ConvolutionWindow(self.kernel_size, self.stride, self.padding)
        layers = OrderedDict(
            convolution=LiftingConvolution(
                self.group, channels, 1, window, bias=True, initialisation=Initialisation.GROUPY
            ),
            pooled=build_head(Head.MAXIMUM_OF_MEANS, self.group.order),
            classifier=nn.Linear(1, num_outputs),
        )
        return nn.Sequential(layers)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The feature map, the pooled number and the logits."""
        return {"convolution": "convolution", "pooled": "pooled", "logits": "classifier"}
