"""Expands the kernels of a group convolution from one, by a gather whose table follows from the group's products.

Features are folded: (B, C |G|, H, W) with channel c |G| + h, as in `ChannelAction.REGULAR`. Kernels are stored folded
in the same way, so that every parameter is an ordinary (O, I, k, k) tensor.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equistudy.groups.finite import FiniteGroup, check_elements
from equistudy.groups.square import Symmetry, apply_symmetry

__all__ = ["build_gather_table", "build_quotient_table", "expand_kernels", "find_symmetries"]


def find_symmetries(group: FiniteGroup) -> tuple[Symmetry, ...]:
    """The symmetry of every element, in the order of the channels. Raises ValueError if one is not exact on pixels."""
    if any(degrees % 90 for degrees, _ in group.element_parameters):
        raise ValueError(
            f"Group convolutions need rotations by multiples of 90 degrees, got {group} with "
            f"{', '.join(f'{degrees:g}' for degrees, _ in group.element_parameters)} degrees. Use CyclicGroup or "
            "DihedralGroup; kernels interpolated to other angles are not implemented."
        )
    check_elements(group, group.element_parameters)
    return tuple(Symmetry(round(degrees / 90) % 4, mirrored == 1) for degrees, mirrored in group.element_parameters)


def build_quotient_table(group: FiniteGroup) -> Int64[Tensor, "G G"]:
    """The index of h^-1 s in row h and column s: the input channel of kernel 0 that kernel h uses at s."""
    return torch.stack(
        [torch.arange(group.order), *(group.channel_permutation(element) for element in group.elements())]
    )


@lru_cache(maxsize=256)
def build_gather_table(group: FiniteGroup, kernel_size: int, *, regular: bool) -> Int64[Tensor, "G P"]:
    """The source in kernel 0, with P entries (s, row, column) flattened, of each entry of every kernel h.

    k[h][s] = h.k[h^-1 s] on regular features, and k[h] = h.k on images, where there is no s. Kernels of even size are
    rotated about the point between their four central entries.

    Source: Cohen and Welling 2016, arXiv:1602.07576, section 7, for C4 and D4; here from the group's own products, and
    for kernels of any size. The tensor is cached on the CPU: do not modify it.
    """
    channels = group.order if regular else 1
    with torch.device("cpu"), torch.inference_mode(False):
        positions = torch.arange(channels * kernel_size**2).view(channels, kernel_size, kernel_size)
        sources = build_quotient_table(group) if regular else torch.zeros(group.order, 1, dtype=torch.int64)
        turned = [
            apply_symmetry(positions[row], symmetry)
            for row, symmetry in zip(sources, find_symmetries(group), strict=True)
        ]
        return torch.stack(turned).flatten(1)


def _is_channels_last(weight: Float[Tensor, "O I k k"]) -> bool:
    """Like `is_contiguous(memory_format=torch.channels_last)`, which `torch.func.vmap` does not implement."""
    expected = 1
    for dim in (1, 3, 2, 0):
        if weight.shape[dim] != 1 and weight.stride(dim) != expected:
            return False
        expected *= weight.shape[dim]
    return True


def expand_kernels(weight: Float[Tensor, "O I k k"], table: Int64[Tensor, "G P"]) -> Float[Tensor, "D I k k"]:
    """The kernels of all elements: output channel o |G| + h is kernel o moved by element h.

    The result has the memory format of `weight`, because a channels-last convolution copies kernels of another format
    and their gradients, which made a step of a P4 layer with 64 fields a third slower.
    """
    count, _, size, _ = weight.shape
    order, positions = table.shape
    # Copying whole rows of input fields is three times as fast as copying single entries, also in the backward pass.
    entries = weight.reshape(count, -1, positions).transpose(1, 2).contiguous()
    gathered = entries.index_select(1, table.flatten())
    fields = gathered.view(count * order, positions // size**2, size, size, -1)
    if _is_channels_last(weight):
        return fields.permute(0, 2, 3, 4, 1).flatten(3).permute(0, 3, 1, 2)
    return fields.permute(0, 4, 1, 2, 3).flatten(1, 2)
