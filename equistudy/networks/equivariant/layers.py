"""Layers with or without a group, so that one network definition serves both, and their conversion to ordinary ones."""

import copy
from dataclasses import dataclass

from torch import nn

from equistudy.groups.finite import FiniteGroup
from equistudy.networks.choices import Factorisation, Initialisation
from equistudy.networks.equivariant.convolution import (
    ConvolutionWindow,
    GroupConvolution,
    LiftingConvolution,
    RegularConvolution,
    SharedConvolution,
    build_separable_convolution,
)
from equistudy.networks.equivariant.norm import GroupBatchNorm

__all__ = ["LayerFactory", "convert_to_plain"]


@dataclass(frozen=True)
class LayerFactory:
    """Builds layers equivariant to `group`, or ordinary ones if it is None. Widths count fields of |G| channels."""

    group: FiniteGroup | None
    factorisation: Factorisation = Factorisation.FULL
    initialisation: Initialisation = Initialisation.HE

    @property
    def order(self) -> int:
        """The number of channels per field: |G|, or 1 without a group."""
        return 1 if self.group is None else self.group.order

    def build_lifting(self, channels: int, outputs: int, window: ConvolutionWindow, bias: bool = False) -> nn.Module:
        """The first convolution, which acts on images."""
        if self.group is None:
            return self._build_ordinary_convolution(channels, outputs, window, bias)
        return LiftingConvolution(self.group, channels, outputs, window, bias, self.initialisation)

    def build_convolution(self, inputs: int, outputs: int, window: ConvolutionWindow, bias: bool = False) -> nn.Module:
        """Any other convolution; 1 x 1 kernels are not factorised, because they have no spatial part."""
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
        """The last layer; with HE its biases start at zero."""
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


def convert_to_plain(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode with the same outputs, whose convolutions and batch norms are torch's own.

    Kernels are expanded, and submodules keep their paths, so that stages are read by the same names. The copy has up to
    |G| times the parameters, and training it would break the equivariance. `torch.export` and the ONNX exporter turn it
    into files that do not depend on this package.
    """
    return _replace_module(copy.deepcopy(network).eval())


def _replace_module(module: nn.Module) -> nn.Module:
    if isinstance(module, GroupConvolution | GroupBatchNorm):
        return module.to_ordinary().eval()
    for name, child in module.named_children():
        setattr(module, name, _replace_module(child))
    return module
