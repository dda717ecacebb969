"""Pooling over the channels of a field, low-pass filters, and heads built from them.

Pooling over positions needs no special layer, because nn.MaxPool2d and nn.AvgPool2d treat all channels alike.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d

from equistudy.networks.choices import Head
from equistudy.networks.residual import GlobalAveragePool

__all__ = ["BlurPool", "CosetPool", "Reduction", "build_head"]


class Reduction(Enum):
    """MAX: the maximum over the channels of a field. MEAN: their mean."""

    MAX = "max"
    MEAN = "mean"


class CosetPool(nn.Module):
    """Pools each field to one channel, (B, C |G|, ...) to (B, C, ...), invariant to the group's action on channels.

    Maps still move with the group; vectors that were pooled over positions become invariant.

    Source: Cohen and Welling 2016, arXiv:1602.07576, section 6.3.
    """

    def __init__(self, order: int, reduction: Reduction = Reduction.MAX) -> None:
        super().__init__()
        self.order, self.reduction = order, reduction

    def forward(self, features: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B c *grid"]:
        """The maximum or the mean over each field."""
        fields = features.unflatten(1, (-1, self.order))
        return fields.amax(dim=2) if self.reduction is Reduction.MAX else fields.mean(dim=2)

    def extra_repr(self) -> str:
        """The size of a field and the reduction."""
        return f"{self.order}, {self.reduction.value}"


class BlurPool(nn.Module):
    """The binomial 3 x 3 low-pass filter (1 2 1)^T (1 2 1) / 16 with stride 2 and symmetric zero padding.

    Exactly equivariant for odd n. Source: Zhang 2019, arXiv:1904.11486, who pads one cell more at the right and bottom.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", _build_binomial_filter(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        filters = _build_binomial_filter().to(self.get_buffer("filter"))  # `to_empty` leaves arbitrary numbers in it
        self.register_buffer("filter", filters, persistent=False)
        return self

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        """Half the resolution."""
        channels = features.shape[1]
        filters = self.get_buffer("filter")
        if filters.is_meta and not features.is_meta:  # parameters were assigned to a network built on the meta device
            filters = _build_binomial_filter()
        return conv2d(features, filters.to(features).expand(channels, 1, 3, 3), stride=2, padding=1, groups=channels)


def _build_binomial_filter() -> Float[Tensor, "1 1 3 3"]:
    with torch.device("cpu"):
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        return (row[:, None] * row)[None, None]


def build_head(kind: Head, order: int) -> nn.Module:
    """Maps the last feature map to the vector that enters the classifier; `order` is 1 without a group.

    ORIENTED keeps all channels, the other heads one per field.
    """
    if order == 1 or kind is Head.ORIENTED:
        return GlobalAveragePool()
    if kind is Head.MEAN_OF_MAXIMA:
        return nn.Sequential(CosetPool(order), GlobalAveragePool())
    reduction = Reduction.MAX if kind is Head.MAXIMUM_OF_MEANS else Reduction.MEAN
    return nn.Sequential(GlobalAveragePool(), CosetPool(order, reduction))
