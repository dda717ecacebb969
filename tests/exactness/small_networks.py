"""Networks of a few layers, to be audited in milliseconds."""

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["Calls", "pooled", "stacked"]


class Calls(nn.Module):
    """A layer that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, features: Tensor) -> Tensor:
        return self.function(features, *self.layers)


def stacked(*layers: nn.Module | Callable[[Tensor], Tensor]) -> nn.Sequential:
    """Layers in a row; functions become layers."""
    return nn.Sequential(*(layer if isinstance(layer, nn.Module) else Calls(layer) for layer in layers))


def pooled(*layers: nn.Module | Callable[[Tensor], Tensor]) -> nn.Sequential:
    """A 3 x 3 convolution to 8 channels, layers, a non-linearity, the global mean and a linear layer."""
    end = stacked(nn.LeakyReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5))
    return stacked(nn.Conv2d(3, 8, 3, padding=1), *layers, *end)
