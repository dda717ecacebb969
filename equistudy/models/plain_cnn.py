"""Plain CNNs of convolutions, batch norm and ReLU: the networks of the paper on learned invariance."""

from collections.abc import Mapping
from dataclasses import dataclass

from equistudy.models.model import Model, Module
from equistudy.spec import added_field

__all__ = ["PlainCNN"]

Blocks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class PlainCNN(Model):
    """Blocks of 3 x 3 convolutions, given by their channels, global pooling and one linear layer.

    Each convolution has a bias, batch norm and ReLU. Every block except the last ends with a 2 x 2 max-pool, and every
    block except the first is followed by dropout of whole channels. Pooling is the mean over positions, or with
    `max_pooled` the maximum. The default is the "13-layer" network for CIFAR-10 with 3,993,482 parameters; blocks of
    ((128, 128, 256), (256,), (256,)) give the small network for rotated MNIST with 1,628,810; and ((32, 64), (128,),
    (256,)) without dropout and with max_pooled the network for two sprites with 390,404.

    Source: Benton et al. 2020, arXiv:2010.11882, after Athiwaratkun et al. 2019, arXiv:1806.05594.

    >>> import torch, equistudy as eq
    >>> network = eq.PlainCNN(((8, 16), (32,))).build((1, 28, 28), num_outputs=10)
    >>> network(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    blocks: Blocks = ((128, 128, 256), (256, 256, 256), (256, 256, 256))
    dropout: float = 0.3
    max_pooled: bool = added_field(False)

    def __post_init__(self) -> None:
        if not self.blocks or not all(block and min(block) >= 1 for block in self.blocks):
            raise ValueError(
                f"PlainCNN needs blocks of at least one convolution of at least 1 channel, got blocks={self.blocks}. "
                "For example ((8, 16), (32,))."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"Dropout must be at least 0 and less than 1, got dropout={self.dropout}. Use 0.3 or 0.")

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state."""
        from torch import nn

        from equistudy.networks.residual import GlobalAveragePool

        channels, height, width = image_shape
        smallest = 2 ** (len(self.blocks) - 1)
        if min(height, width) < smallest:
            raise ValueError(
                f"PlainCNN with {len(self.blocks)} blocks needs images of at least {smallest} x {smallest} pixels, got "
                f"{height} x {width}. Use fewer blocks, or larger images."
            )
        stages: dict[str, nn.Module] = {}
        for number, block in enumerate(self.blocks, 1):
            parts: list[nn.Module] = []
            for outputs in block:
                parts += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                channels = outputs
            if number < len(self.blocks):
                parts.append(nn.MaxPool2d(2))
            if self.dropout:
                parts.append(nn.Dropout2d(self.dropout))
            stages[f"stage{number}"] = nn.Sequential(*parts)
        network = nn.Sequential()
        for name, stage in stages.items():
            network.add_module(name, stage)
        pooled = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()) if self.max_pooled else GlobalAveragePool()
        network.add_module("pooled", pooled)
        network.add_module("classifier", nn.Linear(channels, num_outputs))
        return network

    def stages(self, network: Module) -> Mapping[str, str]:
        """The blocks, the pooled vector and the logits."""
        names = [*(f"stage{number}" for number in range(1, len(self.blocks) + 1)), "pooled"]
        return {**{name: name for name in names}, "logits": "classifier"}
