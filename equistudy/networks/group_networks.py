"""The plain group CNN and the compact U-Net, built of layers with or without a group."""

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from equistudy.networks.choices import Head
from equistudy.networks.equivariant.convolution import ConvolutionWindow
from equistudy.networks.equivariant.layers import LayerFactory
from equistudy.networks.equivariant.pooling import CosetPool, build_head

__all__ = ["ChainSizes", "GroupCNNNetwork", "UNetNetwork"]

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


SAME_WINDOW = ConvolutionWindow(3, padding=1)


class UNetNetwork(nn.Module):
    """Encoder, decoder and head."""

    def __init__(self, layers: LayerFactory, width: int, levels: int, channels: int, num_outputs: int) -> None:
        super().__init__()
        widths = [width << level for level in range(levels + 1)]
        lifting = layers.build_lifting(channels, widths[0], SAME_WINDOW)
        encoders = [_build_convolution_pair(layers, lifting, widths[0])]
        for fine, coarse in pairwise(widths):
            encoders.append(
                _build_convolution_pair(layers, layers.build_convolution(fine, coarse, SAME_WINDOW), coarse)
            )
        decoders = [
            _build_convolution_pair(layers, layers.build_convolution(fine + coarse, fine, SAME_WINDOW), fine)
            for fine, coarse in pairwise(widths)
        ]
        self.encoders, self.decoders = nn.ModuleList(encoders), nn.ModuleList(decoders)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Sequential(CosetPool(layers.order), nn.Conv2d(width, num_outputs, 1))

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """The logits of each pixel."""
        maps = [self.encoders[0](images)]
        for encoder in self.encoders[1:]:
            maps.append(encoder(self.pool(maps[-1])))
        features = maps.pop()
        for decoder, joined in zip(reversed(self.decoders), reversed(maps), strict=True):
            doubled = interpolate(features, joined.shape[-2:], mode="nearest")
            features = decoder(torch.cat([joined, doubled], dim=1))
        return self.head(features)


def _build_convolution_pair(layers: LayerFactory, first: nn.Module, width: int) -> nn.Sequential:
    """Two convolutions of the same width, each followed by norm and ReLU."""
    second = layers.build_convolution(width, width, SAME_WINDOW)
    return nn.Sequential(
        first, layers.build_norm(width), nn.ReLU(inplace=True), second, layers.build_norm(width), nn.ReLU()
    )
