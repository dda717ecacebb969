"""How the kernels of a group convolution are made from one: by a gather, whose table is made from the group's products.

Features are folded: (B, C |G|, H, W) with channel c |G| + h, as `ChannelAction.REGULAR` reads them. Kernels are stored
folded in the same way, so that every parameter is an ordinary (O, I, k, k) tensor.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from equistudy.groups.finite import FiniteGroup, check_elements
from equistudy.groups.square import Symmetry, apply_symmetry

__all__ = ["build_gather_table", "build_quotient_table", "expand_kernels", "find_symmetries"]


def find_symmetries(group: FiniteGroup) -> tuple[Symmetry, ...]:
    """What every element does to a kernel, in the order of the channels; ValueError if pixels do not follow exactly."""
    if any(degrees % 90 for degrees, _ in group.element_parameters):
        raise ValueError(
            f"Group convolutions need turns by multiples of 90 degrees, got {group} with "
            f"{', '.join(f'{degrees:g}' for degrees, _ in group.element_parameters)} degrees. Use CyclicGroup or "
            "DihedralGroup; kernels interpolated to other angles are not implemented."
        )
    check_elements(group, group.element_parameters)
    return tuple(Symmetry(round(degrees / 90) % 4, mirrored == 1) for degrees, mirrored in group.element_parameters)


def build_quotient_table(group: FiniteGroup) -> Int64[Tensor, "G G"]:
    """Row h, column s: the position of h^-1 s, which is the input channel of kernel 0 that kernel h reads at s."""
    return torch.stack(
        [torch.arange(group.order), *(group.channel_permutation(element) for element in group.elements())]
    )


@lru_cache(maxsize=256)
def build_gather_table(group: FiniteGroup, kernel_size: int, *, regular: bool) -> Int64[Tensor, "G P"]:
    """Where each entry of kernel h comes from in kernel 0, whose P entries are (s, row, column) flattened.

    k[h][s] = h.k[h^-1 s] on regular features, and k[h] = h.k on images, where there is no s. Kernels of even size turn
    about the middle of their four central entries.

    Source: Cohen and Welling 2016, arXiv:1602.07576, section 7, for C4 and D4; here from the group's own products, and
    for kernels of any size. Always the same tensor, on the CPU: do not write to it.
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
    """As `is_contiguous(memory_format=torch.channels_last)`, which `torch.func.vmap` does not implement."""
    expected = 1
    for dim in (1, 3, 2, 0):
        if weight.shape[dim] != 1 and weight.stride(dim) != expected:
            return False
        expected *= weight.shape[dim]
    return True


def expand_kernels(weight: Float[Tensor, "O I k k"], table: Int64[Tensor, "G P"]) -> Float[Tensor, "D I k k"]:
    """The kernels of all elements: output channel o |G| + h is kernel o as element h moves it.

    In the memory format of `weight`, for a convolution of maps in channels last copies any other kernel, and its
    gradient: without, a step of a P4 layer of 64 fields took a third longer.
    """
    count, _, size, _ = weight.shape
    order, positions = table.shape
    # rows of input fields are copied whole: three times as fast as one entry at a time, and its gradient as well
    entries = weight.reshape(count, -1, positions).transpose(1, 2).contiguous()
    gathered = entries.index_select(1, table.flatten())
    fields = gathered.view(count * order, positions // size**2, size, size, -1)
    if _is_channels_last(weight):
        return fields.permute(0, 2, 3, 4, 1).flatten(3).permute(0, 3, 1, 2)
    return fields.permute(0, 4, 1, 2, 3).flatten(1, 2)
