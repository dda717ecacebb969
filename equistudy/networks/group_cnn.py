"""The plain group CNN."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from equistudy.networks.choices import Head
from equistudy.networks.equivariant.convolution import ConvolutionWindow
from equistudy.networks.equivariant.layers import LayerFactory
from equistudy.networks.equivariant.pooling import build_head

__all__ = ["ChainSizes", "GroupCNNNetwork"]

POOLED_LAYER = 2  # the convolution that is followed by the max-pool


class ChainSizes(NamedTuple):
    """The fields and the number of convolutions, whether the last one is padded, and the dropout between them."""

    width: int
    depth: int
    last_padded: bool
    dropout: float


class GroupCNNNetwork(nn.Module):
    """Convolutions, a head and a linear classifier."""

    def __init__(self, layers: LayerFactory, sizes: ChainSizes, pooling: Head, channels: int, num_outputs: int) -> None:
        super().__init__()
        self.depth = sizes.depth
        for number in range(1, sizes.depth + 1):
            last = number == sizes.depth and not sizes.last_padded
            window = ConvolutionWindow(4) if last else ConvolutionWindow(3, padding=1)
            if number == 1:
                convolution = layers.build_lifting(channels, sizes.width, window, bias=True)
            else:
                convolution = layers.build_convolution(sizes.width, sizes.width, window, bias=True)
            parts = [convolution, layers.build_norm(sizes.width), nn.ReLU(inplace=True)]
            if number == POOLED_LAYER:
                parts.append(nn.MaxPool2d(2))
            elif number < sizes.depth - 1 and sizes.dropout:
                parts.append(nn.Dropout(sizes.dropout))
            self.add_module(f"layer{number}", nn.Sequential(*parts))
        self.pooled = build_head(pooling, layers.order)
        channels_out = layers.order if pooling is Head.ORIENTED else 1
        self.classifier = layers.build_classifier(sizes.width * channels_out, num_outputs)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """One row of outputs for each image."""
        features = images
        for number in range(1, self.depth + 1):
            features = self.get_submodule(f"layer{number}")(features)
        return self.classifier(self.pooled(features))
