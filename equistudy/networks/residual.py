"""The residual network for small images."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from equistudy.networks.choices import Downsampling, Head, Padding, Shortcut
from equistudy.networks.import_timm import import_timm

__all__ = ["BlockChoices", "GlobalAveragePool", "ResidualNetwork", "StageSizes"]

BLUR_MODES = {Padding.ZERO: "constant", Padding.CIRCULAR: "circular", Padding.REFLECT: "reflect"}


class BlockChoices(NamedTuple):
    """The choices that all residual blocks of a network share."""

    shortcut: Shortcut
    padding: Padding
    downsampling: Downsampling


class StageSizes(NamedTuple):
    """The channels of the first stage, the blocks per stage, and the size (rows, columns) of the last map."""

    width: int
    num_blocks: int
    grid: tuple[int, int]


class GlobalAveragePool(nn.Module):
    """The mean of each channel over all positions."""

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C"]:
        """One vector per image."""
        return features.mean(dim=(2, 3))


class PaddedShortcut(nn.Module):
    """Takes every `stride`-th pixel and appends channels of zeros."""

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.added, self.stride = added, stride

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """The map at 1 / stride of the resolution with `added` more channels."""
        return pad(features[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


class ResolutionHalving(nn.Module):
    """Halves the resolution of both branches of a block; with POLYPHASE the first branch chooses the grid for both."""

    def __init__(self, downsampling: Downsampling, padding: Padding) -> None:
        super().__init__()
        self.polyphase = downsampling is Downsampling.POLYPHASE
        self.pool: nn.Module | None = None
        if downsampling is Downsampling.BLUR:
            self.pool = import_timm().layers.BlurPool2d(filt_size=3, stride=2, pad_mode=BLUR_MODES[padding])
        elif downsampling is Downsampling.MAX:
            self.pool = nn.MaxPool2d(2)

    def forward(
        self, hidden: Float[Tensor, "B D H W"], features: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B C h w"]]:
        """`hidden` and `features` halved alike."""
        if self.polyphase:
            phases = _split_phases(hidden)
            # In float64, so that the order of summation, which depends on the shift, does not affect the choice.
            chosen = phases.double().square().sum(dim=(2, 3, 4)).argmax(dim=0)
            samples = torch.arange(len(hidden), device=hidden.device)
            return phases[chosen, samples], _split_phases(features)[chosen, samples]
        assert self.pool is not None
        return self.pool(hidden), self.pool(features)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a residual connection."""

    def __init__(self, channels: int, outputs: int, choices: BlockChoices) -> None:
        super().__init__()
        halves, strided = channels != outputs, choices.downsampling is Downsampling.STRIDE
        stride = 2 if halves and strided else 1
        self.first = _build_convolution(channels, outputs, choices.padding, stride)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = _build_convolution(outputs, outputs, choices.padding)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.halving = ResolutionHalving(choices.downsampling, choices.padding) if halves and not strided else None
        self.shortcut: nn.Module
        if not halves:
            self.shortcut = nn.Identity()
        elif choices.shortcut is Shortcut.PADDING:
            self.shortcut = PaddedShortcut(outputs - channels, stride)
        else:
            projection = nn.Conv2d(channels, outputs, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""
        hidden = self.first_norm(self.first(features)).relu_()
        if self.halving is not None:
            hidden, features = self.halving(hidden, features)
        return (self.second_norm(self.second(hidden)) + self.shortcut(features)).relu_()


class ResidualNetwork(nn.Module):
    """Stem, three stages, head and a linear classifier."""

    def __init__(self, channels: int, num_outputs: int, sizes: StageSizes, choices: BlockChoices, head: Head) -> None:
        super().__init__()
        (width, num_blocks, grid), flat = sizes, head is Head.FLATTEN
        convolution = _build_convolution(channels, width, choices.padding)
        self.stem = nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.stage1 = _build_stage(width, width, num_blocks, choices)
        self.stage2 = _build_stage(width, 2 * width, num_blocks, choices)
        self.stage3 = _build_stage(2 * width, 4 * width, num_blocks, choices)
        self.pooled = nn.Flatten() if flat else GlobalAveragePool()
        self.classifier = nn.Linear(4 * width * (grid[0] * grid[1] if flat else 1), num_outputs)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """One row of outputs for each image."""
        features: torch.Tensor = self.stage3(self.stage2(self.stage1(self.stem(images))))
        return self.classifier(self.pooled(features))


def _build_convolution(channels: int, outputs: int, padding: Padding, stride: int = 1) -> nn.Conv2d:
    mode: Any = "zeros" if padding is Padding.ZERO else padding.value
    return nn.Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False, padding_mode=mode)


def _build_stage(channels: int, outputs: int, num_blocks: int, choices: BlockChoices) -> nn.Sequential:
    counts = [channels, *[outputs] * (num_blocks - 1)]
    return nn.Sequential(*(ResidualBlock(inputs, outputs, choices) for inputs in counts))


def _split_phases(maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "4 B C h w"]:
    """The four grids of every second row and every second column."""
    return torch.stack([maps[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)])
