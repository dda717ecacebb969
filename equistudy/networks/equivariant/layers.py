"""The layers of a network by group, so that one network serves with any group and with none."""

from dataclasses import dataclass

from torch import nn

from equistudy.groups.finite import FiniteGroup
from equistudy.networks.choices import Factorisation, Initialisation
from equistudy.networks.equivariant.convolution import (
    ConvolutionWindow,
    LiftingConvolution,
    RegularConvolution,
    SharedConvolution,
    build_separable_convolution,
)
from equistudy.networks.equivariant.norm import GroupBatchNorm

__all__ = ["LayerFactory"]


@dataclass(frozen=True)
class LayerFactory:
    """Makes layers of `group`, or ordinary ones without. Widths count fields, which are channels without a group."""

    group: FiniteGroup | None
    factorisation: Factorisation = Factorisation.FULL
    initialisation: Initialisation = Initialisation.HE

    @property
    def order(self) -> int:
        """Channels of a field: |G|, or 1."""
        return 1 if self.group is None else self.group.order

    def build_lifting(self, channels: int, outputs: int, window: ConvolutionWindow, bias: bool = False) -> nn.Module:
        """The first convolution, of images."""
        if self.group is None:
            return self._build_ordinary_convolution(channels, outputs, window, bias)
        return LiftingConvolution(self.group, channels, outputs, window, bias, self.initialisation)

    def build_convolution(self, inputs: int, outputs: int, window: ConvolutionWindow, bias: bool = False) -> nn.Module:
        """Any other convolution; a kernel of one cell has no spatial filter to take apart."""
        if self.group is None:
            return self._build_ordinary_convolution(inputs, outputs, window, bias)
        kinds = {
            Factorisation.FULL: RegularConvolution,
            Factorisation.G: SharedConvolution,
            Factorisation.GC: build_separable_convolution,
        }
        kind = RegularConvolution if window.size == 1 else kinds[self.factorisation]
        return kind(self.group, inputs, outputs, window, bias, self.initialisation)

    def build_norm(self, fields: int) -> nn.Module:
        """Batch norm."""
        return nn.BatchNorm2d(fields) if self.group is None else GroupBatchNorm(fields, self.group.order)

    def build_classifier(self, inputs: int, outputs: int) -> nn.Linear:
        """The last layer; under HE with biases of zero."""
        layer = nn.Linear(inputs, outputs)
        if self.initialisation is Initialisation.HE:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        return layer

    def _build_ordinary_convolution(
        self, inputs: int, outputs: int, window: ConvolutionWindow, bias: bool
    ) -> nn.Conv2d:
        layer = nn.Conv2d(inputs, outputs, *window, bias=bias)
        if self.initialisation is Initialisation.HE:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        return layer
