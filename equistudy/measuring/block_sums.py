"""Sums over the cells of feature maps and of their products, in blocks that fit into the cache.

For each image and channel, the centred rows a, b, a - b, u, the next image's b, and ones are stacked: the product of
the stack with its transpose gives all sums. On a CPU a block is as many channels as fit into the cache; on other
devices it is the whole batch. The maps of x are also transformed block by block, each only once: the b of an image is
kept until the image before it is done.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.group import Region

__all__ = ["ActOnMaps", "BlockSums", "compute_block_sums"]

CACHE_BYTES = 2**21  # bytes of a block on a CPU: of the order of a core's own cache
A, B, DIFFERENCE, U, NEXT, ONES = range(6)

BlockSums = tuple[Float[Tensor, "B C"], ...]
ActOnMaps = Callable[[Float[Tensor, "B C H W"]], Float[Tensor, "B C h w"]]


def compute_block_sums(
    moved: Float[Tensor, "B C H W"], still: Float[Tensor, "B C H W"], region: Region, act: ActOnMaps, mixed: int = 1
) -> BlockSums:
    """The sums over a region of a = f(g x), b = g f(x) and u = f(x), for each image and channel.

    `act` computes b, cropped to the region, from u, or from whole fields of `mixed` channels. Returned are, for each of
    a, b and u, the rounded mean and the centred sums and sums of squares; then the centred sums of a b, (a - b)^2, a
    times the b of the next image, and a u.
    """
    images, channels = still.shape[:2]
    kind = moved.dtype if moved.dtype in (torch.float32, torch.float64) else torch.float32
    like = torch.ones((), dtype=kind, device=moved.device)
    many, some = _choose_block_size(
        images, channels, mixed, region.num_cells * kind.itemsize * (ONES + 1), moved.device.type
    )
    rows = like.repeat(many * some, ONES + 1, region.num_cells)
    means, products = like.new_empty(images, channels, 3), like.new_empty(images, channels, ONES + 1, ONES + 1)
    cut = (..., region.rows, region.columns)
    for start in range(0, channels, some):
        part = slice(start, start + some)
        waiting = region.positions(act(still[:1, part])).to(kind)
        mean_waiting = waiting.mean(dim=-1, keepdim=True)
        waiting = waiting - mean_waiting
        for first in range(0, images, many):
            here = (slice(first, first + many), part)
            shape = means[here].shape[:2]
            block = rows[: shape.numel()]
            sides = block.unflatten(0, shape)
            sides[:1, :, B] = waiting
            after = still[first + 1 : first + 1 + shape[0], part]
            if len(after) < shape[0]:
                after = torch.cat([after, still[:1, part]])
            mean_next = _subtract_means(region.positions(act(after)), sides[:, :, NEXT])
            sides[1:, :, B] = sides[:-1, :, NEXT]
            mean_a, mean_u = (
                _subtract_means(region.positions(part_of[here][cut]), sides[:, :, row])
                for row, part_of in ((A, moved), (U, still))
            )
            means[here] = torch.cat([mean_a, torch.cat([mean_waiting, mean_next[:-1]]), mean_u], dim=-1)
            torch.sub(sides[:, :, A], sides[:, :, B], out=sides[:, :, DIFFERENCE])
            products[here] = torch.bmm(block, block.transpose(1, 2)).unflatten(0, shape)
            waiting, mean_waiting = sides[-1:, :, NEXT], mean_next[-1:]
    by_side = (
        column
        for number, side in enumerate((A, B, U))
        for column in (means[..., number], products[..., side, ONES], products[..., side, side])
    )
    pairs = ((A, B), (DIFFERENCE, DIFFERENCE), (A, NEXT), (A, U))
    return (*by_side, *(products[..., row, column] for row, column in pairs))


def _subtract_means(side: Float[Tensor, "B C P"], into: Float[Tensor, "B C P"]) -> Float[Tensor, "B C 1"]:
    """Writes the centred rows into `into` and returns their means."""
    mean = side.mean(dim=-1, keepdim=True, dtype=into.dtype)
    torch.sub(side, mean, out=into)
    return mean


def _choose_block_size(images: int, channels: int, mixed: int, size: int, device: str) -> tuple[int, int]:
    """How many images and channels form a block, if each channel of an image takes `size` bytes."""
    if device != "cpu":
        return images, channels
    fitting = max(1, CACHE_BYTES // size)
    if fitting < 2 * channels:
        return 1, min(channels, max(mixed, fitting // mixed * mixed))
    return min(images, fitting // channels), channels
