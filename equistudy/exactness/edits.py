"""Edits of single layers that may make them exact: other windows, averages before strides, symmetric resizing."""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.findings import Cause
from equistudy.exactness.layout import TracedLayout
from equistudy.networks.equivariant.convolution import ConvolutionWindow, DepthwiseConvolution, GroupConvolution
from equistudy.networks.equivariant.norm import GroupBatchNorm
from equistudy.networks.equivariant.pooling import CosetPool

__all__ = ["Edit", "HeadInput", "MeanOverPositions", "propose_edits"]

HeadInput = tuple[TracedLayout, tuple[int, ...]]


class Edit(NamedTuple):
    """The replacement of a module or parameter, and its description."""

    description: str
    replacement: nn.Module | Tensor
    keeps_cells: bool = True


class MeanOverPositions(nn.Module):
    """From flattened maps (B, C H W) to the mean of every channel, (B, C)."""

    def __init__(self, sizes: tuple[int, ...], positions: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes, self.positions = sizes, positions

    def forward(self, features: Float[Tensor, "B N"]) -> Float[Tensor, "B C"]:
        """The means."""
        return features.unflatten(1, self.sizes).mean(self.positions).flatten(1)

    def extra_repr(self) -> str:
        """The sizes of the axes that were flattened."""
        return f"{self.sizes}, {self.positions}"


def propose_edits(
    network: nn.Module, path: str, cause: Cause, order: int, head_input: HeadInput | None
) -> Iterator[Edit]:
    """Candidate edits of the layer at a path, the smallest change first.

    `order` is that of the network's group, `head_input` the layout and shape of what a head reads.
    """
    if cause is Cause.POSITION:
        yield from _remove_embedding(network, path)
        return
    layer = network.get_submodule(path)
    if cause is Cause.HEAD and isinstance(layer, nn.Linear) and head_input is not None:
        yield from _pool_before(layer, order, *head_input)
    elif cause is Cause.NORM:
        yield from _share_norm(layer, order)
    elif isinstance(layer, nn.Upsample):
        yield from _smooth_resizing(layer)
    elif isinstance(layer, nn.ConvTranspose2d):
        yield from _lengthen_kernel(layer)
    elif isinstance(layer, (nn.Conv2d, GroupConvolution, nn.MaxPool2d, nn.AvgPool2d)):
        yield from _change_window(layer)


def _remove_embedding(network: nn.Module, path: str) -> Iterator[Edit]:
    numbers = dict(network.named_parameters()) | dict(network.named_buffers())
    if path in numbers and numbers[path].is_floating_point():
        zeros = torch.zeros_like(numbers[path], requires_grad=False).detach()
        if zeros.is_meta:
            zeros.numbers = torch.zeros(zeros.shape)  # type: ignore[attr-defined]  # for what looks at constants
        yield Edit("zeros that are not learned", zeros)


def _pool_before(layer: nn.Linear, order: int, layout: TracedLayout, shape: tuple[int, ...]) -> Iterator[Edit]:
    """Means over positions, or maxima over the group, before a linear layer, whose weights are summed over them."""
    factors = layout.factors[-1] if layout.factors else ()
    letters = layout.dims[-1]
    if letters == {"g"} and order and layer.in_features % order == 0:
        pooling: nn.Module = CosetPool(order)
        weight = layer.weight.detach().unflatten(1, (-1, order)).sum(2)
        description = "pooling over the group (coset pooling), then the linear layer"
    elif factors and "g" not in letters:
        sizes = tuple(count for count, _ in factors)
        positions = tuple(axis for axis, (_, moving) in enumerate(factors, start=1) if moving)
        pooling = MeanOverPositions(sizes, positions)
        weight = layer.weight.detach().unflatten(1, sizes).sum(positions).flatten(1)
        description = "global average pooling, then the linear layer"
    else:
        return
    linear = nn.Linear(weight.shape[1], layer.out_features, layer.bias is not None, weight.device, weight.dtype)
    linear.weight = nn.Parameter(weight)
    if layer.bias is not None:
        linear.bias = nn.Parameter(layer.bias.detach().clone())
    yield Edit(description, nn.Sequential(pooling, linear), keeps_cells=False)


def _share_norm(layer: nn.Module, order: int) -> Iterator[Edit]:
    """The mean over positions and group elements in place of one value for each."""
    if isinstance(layer, nn.BatchNorm2d) and order and layer.num_features % order == 0:
        shared = GroupBatchNorm(layer.num_features // order, order)
        state = layer.state_dict()
        means = {
            name: value.unflatten(0, (-1, order)).mean(1) if value.ndim else value for name, value in state.items()
        }
        shared.norm.load_state_dict(means, assign=True)
        shared.norm.requires_grad_()
        yield Edit("GroupBatchNorm", shared)
    elif isinstance(layer, nn.PReLU):
        single = nn.PReLU().to(layer.weight)
        single.weight = nn.Parameter(layer.weight.detach().mean().reshape(1))
        yield Edit("PReLU with one slope", single)
    elif isinstance(layer, nn.LayerNorm):
        yield Edit("layer norm without weights", nn.LayerNorm(layer.normalized_shape, layer.eps, False))


def _smooth_resizing(layer: nn.Upsample) -> Iterator[Edit]:
    for scale in {layer.scale_factor, None}:
        if scale is None and layer.size is None:
            continue
        size = layer.size if scale is None else None
        yield Edit("mode='bilinear', align_corners=False", nn.Upsample(size, scale, "bilinear", align_corners=False))


def _lengthen_kernel(layer: nn.ConvTranspose2d) -> Iterator[Edit]:
    """Replaces output padding by a longer kernel."""
    extra = layer.output_padding[0]
    kernel, padding = layer.kernel_size[0], layer.padding[0]
    if len(set(layer.output_padding)) > 1 or len(set(layer.kernel_size)) > 1 or isinstance(padding, str):
        return
    edited = nn.ConvTranspose2d(
        layer.in_channels, layer.out_channels, kernel + extra, layer.stride[0], padding, 0, layer.groups,
        layer.bias is not None, layer.dilation[0], device=layer.weight.device, dtype=layer.weight.dtype,
    )  # fmt: skip
    edited.weight = nn.Parameter(_resample(layer.weight.detach(), kernel + extra))
    if layer.bias is not None:
        edited.bias = nn.Parameter(layer.bias.detach().clone())
    yield Edit(f"transposed convolution {kernel + extra}x{kernel + extra} with output_padding=0", edited)


class LayerWindow(NamedTuple):
    """Kernel, stride, padding and dilation of a layer with square windows."""

    kernel: int
    stride: int
    padding: int
    dilation: int


def _get_window(layer: nn.Module) -> LayerWindow | None:
    """The window of a layer; None if rows and columns are treated differently."""
    if isinstance(layer, GroupConvolution):
        return LayerWindow(layer.window.size, layer.window.stride, layer.window.padding, layer.window.dilation)
    values = [getattr(layer, name, 1) for name in ("kernel_size", "stride", "padding", "dilation")]
    if values[2] == "same":
        values[2] = max(layer.kernel_size) // 2  # type: ignore[arg-type]
    single = [{*value} if isinstance(value, tuple) else {0 if value == "valid" else value} for value in values]
    kernel = max(single[0])
    if any(len(value) > 1 for value in (single[1], single[3])):
        return None
    square = len(single[0]) == 1
    return LayerWindow(kernel, max(single[1]), max(single[2]) if square else kernel // 2, max(single[3]))


def _change_window(layer: nn.Module) -> Iterator[Edit]:
    """Averages before a stride that skips cells, then other kernels and paddings, the smallest change first."""
    window = _get_window(layer)
    if window is None:
        return
    kind = "pooling" if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)) else "convolution"
    if kind == "convolution" and window.kernel == 1 and window.stride > 1:
        s = window.stride
        mean = nn.Sequential(nn.AvgPool2d(s, s), _rebuild(layer, window._replace(stride=1)))
        yield Edit(f"average pooling {s}x{s} with stride {s}, then stride 1", mean)
    choices = [
        window._replace(kernel=kernel, padding=padding)
        for kernel in range(max(1, window.kernel - window.stride), window.kernel + window.stride + 1)
        for padding in range(kernel // 2 + 1)
    ]
    choices.sort(key=lambda w: (abs(w.kernel - window.kernel) + abs(w.padding - window.padding), w.kernel))
    for choice in choices:
        description = f"{kind} {choice.kernel}x{choice.kernel} with padding {choice.padding}"
        yield Edit(description, _rebuild(layer, choice))


def _rebuild(layer: nn.Module, window: LayerWindow) -> nn.Module:
    """The layer with another square window, its weights resampled."""
    if isinstance(layer, nn.MaxPool2d):
        return nn.MaxPool2d(window.kernel, window.stride, window.padding, window.dilation)
    if isinstance(layer, nn.AvgPool2d):
        return nn.AvgPool2d(window.kernel, window.stride, window.padding, count_include_pad=layer.count_include_pad)
    edited = copy.deepcopy(layer)
    if isinstance(edited, GroupConvolution):
        return _rebuild_group_convolution(edited, window)
    assert isinstance(edited, nn.Conv2d)
    edited.kernel_size, edited.stride = (window.kernel,) * 2, (window.stride,) * 2
    edited.padding = (window.padding,) * 2
    edited._reversed_padding_repeated_twice = [window.padding] * 4
    edited.weight = nn.Parameter(_resample(edited.weight.detach(), window.kernel))
    return edited


def _rebuild_group_convolution(layer: GroupConvolution, window: LayerWindow) -> GroupConvolution:
    shape = ConvolutionWindow(window.kernel, window.stride, window.padding, window.dilation)
    bias = layer.bias is not None
    if isinstance(layer, DepthwiseConvolution):
        edited: GroupConvolution = DepthwiseConvolution(layer.group, layer.outputs, shape, bias)
    else:
        edited = type(layer)(layer.group, layer.inputs, layer.outputs, shape, bias)
    parameters = dict(layer.named_parameters())
    for name, parameter in list(edited.named_parameters()):
        known = parameters[name].detach()
        new = _resample(known, window.kernel) if parameter.shape != known.shape else known.clone()
        setattr(edited, name, nn.Parameter(new))
    return edited.to(next(iter(parameters.values())).device)


def _resample(weight: Tensor, size: int) -> Tensor:
    """Filters of another size with the same sums, symmetric where the old ones are."""
    if tuple(weight.shape[-2:]) == (size, size):
        return weight.clone()
    resized = F.interpolate(weight.float(), size=(size, size), mode="bilinear", align_corners=False)
    sums = weight.float().sum((-2, -1), keepdim=True)
    return (resized + (sums - resized.sum((-2, -1), keepdim=True)) / size**2).to(weight.dtype)
