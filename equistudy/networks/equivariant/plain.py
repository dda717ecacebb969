"""Converts a group-equivariant network to ordinary layers for export."""

import copy

from torch import nn

from equistudy.networks.equivariant.convolution import GroupConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm

__all__ = ["convert_to_plain"]


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
