"""Traces NaN through a network: marks every cell that sees a pixel, whatever the weights are.

NaN times anything is NaN, also in a ReLU, in a max pool or behind a weight of 0. Layers that see all positions at once
would mark every cell, so NaN is kept out of them.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad
from torch.overrides import TorchFunctionMode

__all__ = ["NanTracer"]

POOLING_FUNCTIONS = {
    "mean",
    "sum",
    "amax",
    "max",
    "norm",
    "vector_norm",
    "linalg_vector_norm",
    "var",
    "var_mean",
    "std",
    "std_mean",
}
ADAPTIVE_POOLING_FUNCTIONS = {"adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices"}
Pair = tuple[int, int]

NORM_FUNCTIONS = {"group_norm", "instance_norm"}


class NanTracer(TorchFunctionMode):
    """Lets a network pass on shapes and marks of NaN, at much less than the cost of its numbers, which come out wrong.

    Convolutions and linear layers mark what they see and compute nothing: on real numbers those of cuDNN or oneDNN may
    spread NaN over their tiles as well. Convolutions and pools take images that are narrower than their kernels: what
    is missing behind is 0. NaN is taken out of what is pooled over all positions, and kept out of norms
    over positions: a squeeze-and-excitation gate tells every cell about the line, but not where it is. Functions are
    told by name, for torch calls the same one from several places.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given, name = kwargs or {}, getattr(func, "__name__", "")
        if name in WINDOWED_POOLING_FUNCTIONS:
            args = (_pad_to_kernel(args[0], *_pooling_window(*args[1:], **given)), *args[1:])
        if name in NAN_RULES:
            found = NAN_RULES[name](*args, **given)
            return func(*args, **given) if found is None else found
        result = func(*args, **given)
        axes = next((value for value in (*args[1:], *given.values()) if isinstance(value, (list, tuple))), ())
        if name in POOLING_FUNCTIONS and len(axes) > 1:
            return _change_first_tensor(result, torch.nan_to_num)
        if name in ADAPTIVE_POOLING_FUNCTIONS and _first_tensor(result).shape[-2:] == (1, 1):
            return _change_first_tensor(result, torch.nan_to_num)
        by_the_batch = name == "batch_norm" and (args[5] if len(args) > 5 else given.get("training"))
        if name in NORM_FUNCTIONS or by_the_batch:
            return args[0]
        return result


def _trace_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """The marks of `torch.conv2d`, group by group; None where torch must say what is wrong."""
    if input.ndim != 4 or input.shape[1] != weight.shape[1] * groups:
        return None
    seen = input.unflatten(1, (groups, -1)).sum(dim=2).isnan().to(input.dtype)  # NaN in a sum is the fastest any
    if torch.equal(seen, seen[:, :1].expand_as(seen)):
        seen = seen[:, :1]
    reach = [step * (size - 1) for step, size in zip(_to_pair(dilation), weight.shape[2:], strict=True)]
    before = [size // 2 for size in reach] if padding == "same" else _to_pair(0 if padding == "valid" else padding)
    after = [size - size // 2 for size in reach] if padding == "same" else before
    padded = _pad_to_kernel(pad(seen, (before[1], after[1], before[0], after[0])), (reach[0] + 1, reach[1] + 1), (0, 0))
    reached = max_pool2d(padded, weight.shape[2:], stride, 0, dilation) > 0
    channels = reached.repeat_interleave(weight.shape[0] // reached.shape[1], dim=1)
    return _fill_with_nan(channels, input, 1)


def _trace_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """The marks of a linear layer over the last axis."""
    if input.shape[-1] != weight.shape[-1] or weight.ndim != 2:
        return None
    reached = input.sum(dim=-1, keepdim=True).isnan().expand(*input.shape[:-1], len(weight))
    return _fill_with_nan(reached, input, -1)


def _pooling_window(
    kernel_size: Any, stride: Any = None, padding: Any = 0, *args: Any, **kwargs: Any
) -> tuple[Pair, Pair]:
    """Kernel and padding of a pool."""
    return _to_pair(kernel_size), _to_pair(padding)


def _to_pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _pad_to_kernel(images: Float[Tensor, "... H W"], kernel: Pair, padding: Pair) -> Float[Tensor, "... h w"]:
    """The images with zeros behind, so that the kernel fits."""
    below, beyond = (
        max(0, reach - 2 * more - size) for reach, more, size in zip(kernel, padding, images.shape[-2:], strict=True)
    )
    return pad(images, (0, beyond, 0, below)) if below or beyond else images


WINDOWED_POOLING_FUNCTIONS = {"max_pool2d", "_max_pool2d", "avg_pool2d"}
NAN_RULES: dict[str, Callable[..., Tensor | None]] = {"conv2d": _trace_convolution, "linear": _trace_linear}


def _fill_with_nan(marked: Bool[Tensor, "*shape"], like: Tensor, channels: int) -> Float[Tensor, "*shape"]:
    """NaN where it is marked, and elsewhere numbers that no norm over the channels divides by 0."""
    size = marked.shape[channels]
    ramp = torch.linspace(-0.5, 1, size, dtype=like.dtype, device=like.device)
    ramp = ramp if channels == -1 else ramp[:, None, None]
    return torch.where(marked, torch.nan, ramp)


def _first_tensor(result: Any) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def _change_first_tensor(result: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The result of an operation with its tensor, the first one if it has several, changed."""
    return (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)
