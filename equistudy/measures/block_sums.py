"""Sums over the cells of feature maps and of their products, block by block, so that what is read once stays in cache.

Of each image and channel, the rows a, b, u and a - b lie side by side, less their means. On a CPU a block is as many
channels of one image as the cache holds, elsewhere it is everything.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.group import Region

__all__ = ["Columns", "sums"]

CACHE = 2**21  # bytes of a block on a CPU: of the order of a core's own cache
ROWS = 4

Columns = tuple[Float[Tensor, "B C"], ...]


def sums(
    moved: Float[Tensor, "B C H W"], expected: Float[Tensor, "B C h w"], still: Float[Tensor, "B C H W"], region: Region
) -> Columns:
    """The sums over a region of a = f(g x), b = g f(x), which is cut to it, and u = f(x), for each image and channel.

    Of a, b and u in turn: the rounded mean, and the sums and sums of squares less that mean. Then the sums of a b,
    (a - b)^2, a b of the next image, and a u, all less the means.
    """
    cut = (..., region.rows, region.columns)
    sides = [region.positions(part) for part in (moved[cut], expected, still[cut])]
    kind = moved.dtype if moved.dtype in (torch.float32, torch.float64) else torch.float32
    images, channels, cells = sides[0].shape
    zeros = torch.zeros(images, channels, 1, dtype=kind, device=moved.device)
    many, some = _block(images, channels, cells * kind.itemsize * 2 * ROWS, moved.device.type == "cpu")
    rows, scratch = zeros.new_empty(many * some, ROWS, cells), zeros.new_empty(many * some, ROWS, cells)
    means, rests, squares, products = (zeros.repeat(1, 1, width) for width in (3, 3, 4, 3))
    following = torch.arange(1, images + 1) % images
    for first in range(0, images, many):
        for start in range(0, channels, some):
            here = (slice(first, first + many), slice(start, start + some))
            shape = means[here].shape[:2]
            block, product = rows[: shape.numel()], scratch[: shape.numel()]
            for row, side in enumerate(sides):
                block[:, row].unflatten(0, shape).copy_(side[here])
            centre = block[:, :3].mean(dim=-1)
            block[:, :3] -= centre[..., None]
            torch.sub(block[:, 0], block[:, 1], out=block[:, 3])
            means[here], rests[here] = centre.unflatten(0, shape), block[:, :3].sum(dim=-1).unflatten(0, shape)
            squares[here] = torch.mul(block, block, out=product).sum(dim=-1).unflatten(0, shape)
            after = sides[1][following[here[0]]][:, here[1]] if many > 1 else sides[1][following[first], here[1]]
            block[:, 3].unflatten(0, shape).copy_(after)
            torch.mul(block[:, :1], block[:, 1:], out=product[:, 1:])
            products[here] = product[:, 1:].sum(dim=-1).unflatten(0, shape)
    # b of the next image is not centred: its mean times what rounding left of a is taken off
    products[..., 2] -= rests[..., 0] * means[..., 1].roll(-1, dims=0)
    by_side = (part[..., side] for side in range(3) for part in (means, rests, squares))
    with_b, with_u, with_next = products.unbind(dim=-1)
    return (*by_side, with_b, squares[..., 3], with_next, with_u)


def _block(images: int, channels: int, size: int, cached: bool) -> tuple[int, int]:
    """Images and channels of a block, for rows of this many bytes."""
    if not cached:
        return images, channels
    fitting = max(1, CACHE // size)
    return (1, min(fitting, channels)) if fitting < 2 * channels else (min(images, fitting // channels), channels)
