"""The layers of the residual network for small images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

__all__ = ["GlobalAveragePool", "ResidualNetwork"]


class GlobalAveragePool(nn.Module):
    """The mean of each channel over all positions."""

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C"]:
        """A vector for each image."""
        return features.mean(dim=(2, 3))


class PaddedShortcut(nn.Module):
    """Every second pixel, with channels of zeros behind the given ones."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Half the resolution and `added` more channels."""
        return pad(features[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.added))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions whose output is added to the block's input."""

    def __init__(self, channels: int, outputs: int, stride: int, padded_shortcut: bool) -> None:
        super().__init__()
        self.first = _convolution(channels, outputs, stride)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = _convolution(outputs, outputs)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module
        if stride == 1 and channels == outputs:
            self.shortcut = nn.Identity()
        elif padded_shortcut:
            self.shortcut = PaddedShortcut(outputs - channels)
        else:
            projection = nn.Conv2d(channels, outputs, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""
        hidden = self.first_norm(self.first(features)).relu_()
        return (self.second_norm(self.second(hidden)) + self.shortcut(features)).relu_()


class ResidualNetwork(nn.Module):
    """Stem, three stages, global average pooling and a linear classifier."""

    def __init__(
        self, channels: int, num_outputs: int, num_blocks: int, width: int, *, padded_shortcuts: bool = False
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.stage1 = _stage(width, width, num_blocks, padded_shortcuts)
        self.stage2 = _stage(width, 2 * width, num_blocks, padded_shortcuts)
        self.stage3 = _stage(2 * width, 4 * width, num_blocks, padded_shortcuts)
        self.pooled = GlobalAveragePool()
        self.classifier = nn.Linear(4 * width, num_outputs)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """One row of outputs for each image."""
        features: torch.Tensor = self.stage3(self.stage2(self.stage1(self.stem(images))))
        return self.classifier(self.pooled(features))


def _convolution(channels: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False)


def _stage(channels: int, outputs: int, num_blocks: int, padded_shortcuts: bool) -> nn.Sequential:
    first = ResidualBlock(channels, outputs, 1 if channels == outputs else 2, padded_shortcuts)
    rest = [ResidualBlock(outputs, outputs, 1, padded_shortcuts) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *rest)
