"""The pre-activation residual network, ordinary or group-equivariant."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from equistudy.networks.choices import Downsampling, Head
from equistudy.networks.equivariant.convolution import ConvolutionWindow
from equistudy.networks.equivariant.layers import LayerFactory
from equistudy.networks.equivariant.pooling import BlurPool, build_head

__all__ = ["PreactivationNetwork"]

SAME_WINDOW = ConvolutionWindow(3, padding=1)


class PreactivationBlock(nn.Module):
    """Two convolutions, each preceded by batch norm and ReLU, with a residual connection."""

    def __init__(self, layers: LayerFactory, inputs: int, outputs: int, downsampling: Downsampling | None) -> None:
        super().__init__()
        windows: dict[Downsampling | None, ConvolutionWindow]
        windows = {Downsampling.STRIDE: ConvolutionWindow(3, 2, 1), Downsampling.EVEN: ConvolutionWindow(4, 2, 1)}
        self.first_norm = layers.build_norm(inputs)
        self.first = layers.build_convolution(inputs, outputs, windows.get(downsampling, SAME_WINDOW))
        self.second_norm = layers.build_norm(outputs)
        self.second = layers.build_convolution(outputs, outputs, SAME_WINDOW)
        self.blur = BlurPool() if downsampling is Downsampling.BLUR else nn.Identity()
        self.shortcut = (
            nn.Identity() if downsampling is None else _build_shortcut(layers, inputs, outputs, downsampling)
        )

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """shortcut(x) + conv(relu(norm(conv(relu(norm(x))))))."""
        hidden = self.first(relu(self.first_norm(features), inplace=True))
        hidden = self.second(self.blur(relu(self.second_norm(hidden), inplace=True)))
        return hidden + self.shortcut(features)


def _build_shortcut(layers: LayerFactory, inputs: int, outputs: int, downsampling: Downsampling) -> nn.Sequential:
    strided = downsampling is Downsampling.STRIDE
    projection = layers.build_convolution(inputs, outputs, ConvolutionWindow(1, 2 if strided else 1))
    pools = {Downsampling.EVEN: nn.AvgPool2d(2), Downsampling.BLUR: BlurPool()}
    pool = [] if strided else [pools[downsampling]]
    return nn.Sequential(*pool, projection, layers.build_norm(outputs))


class PreactivationNetwork(nn.Module):
    """A stem, stages of blocks, batch norm and ReLU, a head and a linear classifier.

    `stages` has the width and the number of blocks of each stage; each but the first begins by downsampling.
    """

    def __init__(
        self,
        layers: LayerFactory,
        channels: int,
        num_outputs: int,
        stages: tuple[tuple[int, int], ...],
        downsampling: Downsampling,
        pooling: Head,
    ) -> None:
        super().__init__()
        inputs = stages[0][0]
        self.stem = layers.build_lifting(channels, inputs, SAME_WINDOW)
        self.num_stages = len(stages)
        for number, (width, num_blocks) in enumerate(stages, start=1):
            first = PreactivationBlock(layers, inputs, width, None if number == 1 else downsampling)
            rest = [PreactivationBlock(layers, width, width, None) for _ in range(num_blocks - 1)]
            self.add_module(f"stage{number}", nn.Sequential(first, *rest))
            inputs = width
        self.last_norm = layers.build_norm(inputs)
        self.pooled = build_head(pooling, layers.order)
        self.classifier = layers.build_classifier(
            inputs * (layers.order if pooling is Head.ORIENTED else 1), num_outputs
        )

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """One row of outputs for each image."""
        features = self.stem(images)
        for number in range(1, self.num_stages + 1):
            features = self.get_submodule(f"stage{number}")(features)
        return self.classifier(self.pooled(relu(self.last_norm(features), inplace=True)))
