"""Means and centred products of paired features: from blocks, merged without loss, finished into coefficients.

All sums are float64 and centred: raw sums in float32 give correlations outside [-1, 1] once the mean is a thousand
times the standard deviation. A block is one image and one channel. Its sums are split into the part within images and
the part between their means, S = W + B. Both are only ever added, so the within, between and total coefficients follow
from one state without cancellation.

Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance" (pairwise update, corrected
two-pass).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "BlockSide",
    "Moments",
    "between_correlation",
    "block_moments",
    "centre_blocks",
    "concordance_correlation",
    "cosine_similarity",
    "empty_moments",
    "leave_one_out",
    "merge_moments",
    "normalised_error",
    "paired_moments",
    "pool_moments",
    "single_pair_moments",
    "squared_error",
    "total_correlation",
    "within_correlation",
]


class Moments(NamedTuple):
    """Sums over pairs (a, b) and their differences d = a - b; every field is float64 and of one shape.

    `pairs` counts them. `within_xy` sums (x - mean of its image) (y - mean of its image), `between_xy` sums over the
    same pairs (mean of its image - overall mean) of x and of y. Together they are the total centred product.
    """

    pairs: Tensor
    mean_a: Tensor
    mean_b: Tensor
    within_aa: Tensor
    within_bb: Tensor
    within_ab: Tensor
    within_dd: Tensor
    between_aa: Tensor
    between_bb: Tensor
    between_ab: Tensor
    between_dd: Tensor


class BlockSide(NamedTuple):
    """One side of blocks: the rounded means, and the sums and sums of squares of the values less those means."""

    mean: Float[Tensor, "*blocks"]
    rest: Float[Tensor, "*blocks"]
    squares: Float[Tensor, "*blocks"]


def centre_blocks(values: Float[Tensor, "*blocks P"]) -> tuple[Float[Tensor, "*blocks P"], BlockSide]:
    """Blocks less their means. float64 stays, everything else is float32: the sums of blocks become float64 later."""
    exact = values if values.dtype in (torch.float32, torch.float64) else values.float()
    mean = exact.mean(dim=-1, keepdim=True)
    shifted = exact - mean
    return shifted, BlockSide(mean.squeeze(-1), shifted.sum(dim=-1), (shifted * shifted).sum(dim=-1))


def block_moments(
    a: BlockSide,
    b: BlockSide,
    size: Float[Tensor, "*sizes"],
    product: Float[Tensor, "*blocks"],
    difference: Float[Tensor, "*blocks"] | None = None,
) -> Moments:
    """The moments of blocks of `size` positions from their sums, corrected for the rounding of the means.

    `product` is the sum of the products of the centred values, `difference` that of their squared differences. Without
    it the latter follows from the other sums, which is exact enough unless a and b almost agree.
    """
    rest_a, rest_b = a.rest.double(), b.rest.double()
    aa = (a.squares.double() - rest_a * rest_a / size).clamp(min=0)
    bb = (b.squares.double() - rest_b * rest_b / size).clamp(min=0)
    ab = product.double() - rest_a * rest_b / size
    dd = aa + bb - 2 * ab if difference is None else difference.double() - (rest_a - rest_b).square() / size
    means = a.mean.double() + rest_a / size, b.mean.double() + rest_b / size
    zero = torch.zeros_like(aa)
    return Moments(zero + size, *means, aa, bb, ab, dd.clamp(min=0), *([zero] * 4))


def paired_moments(a: Float[Tensor, "*blocks P"], b: Float[Tensor, "*blocks P"]) -> Moments:
    """The moments of blocks of paired positions."""
    (left, side_a), (right, side_b) = centre_blocks(a), centre_blocks(b)
    size = torch.tensor(float(a.shape[-1]), dtype=torch.float64)
    return block_moments(side_a, side_b, size, (left * right).sum(dim=-1), (left - right).square().sum(dim=-1))


def single_pair_moments(a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]) -> Moments:
    """The moments of blocks of one pair each: the features of vectors."""
    zero = torch.zeros_like(a, dtype=torch.float64)
    return Moments(torch.ones_like(zero), a.double(), b.double(), *([zero] * 8))


def empty_moments(*shape: int) -> Moments:
    """The moments of no pairs: the neutral element of `merge_moments`."""
    return Moments(*torch.zeros(len(Moments._fields), *shape, dtype=torch.float64).unbind())


def merge_moments(first: Moments, second: Moments) -> Moments:
    """The moments of both sets of pairs (the pairwise update of Chan et al.)."""
    count = first.pairs + second.pairs
    share = second.pairs / count.clamp(min=1)
    weight = first.pairs * share
    step_a, step_b = second.mean_a - first.mean_a, second.mean_b - first.mean_b
    steps = (step_a * step_a, step_b * step_b, step_a * step_b, (step_a - step_b).square())
    betweens = (x + y + step * weight for x, y, step in zip(first[7:], second[7:], steps, strict=True))
    withins = (x + y for x, y in zip(first[3:7], second[3:7], strict=True))
    return Moments(count, first.mean_a + step_a * share, first.mean_b + step_b * share, *withins, *betweens)


def pool_moments(moments: Moments, dim: int = 0) -> Moments:
    """The moments of all sets along one dimension together."""
    count = moments.pairs.sum(dim, keepdim=True)
    mean_a, mean_b = (
        (moments.pairs * mean).sum(dim, keepdim=True) / count.clamp(min=1) for mean in (moments.mean_a, moments.mean_b)
    )
    off_a, off_b = moments.mean_a - mean_a, moments.mean_b - mean_b
    offs = (off_a * off_a, off_b * off_b, off_a * off_b, (off_a - off_b).square())
    betweens = ((x + off * moments.pairs).sum(dim) for x, off in zip(moments[7:], offs, strict=True))
    withins = (x.sum(dim) for x in moments[3:7])
    return Moments(count.squeeze(dim), mean_a.squeeze(dim), mean_b.squeeze(dim), *withins, *betweens)


def leave_one_out(groups: Moments) -> tuple[Moments, Moments]:
    """The moments of all groups along the first dimension, and those of all groups but each one.

    Each left-out total sums the other groups in one matrix product, because subtracting a group from the total would
    cancel digits. Means are relative to the overall mean, so the correction of the squares for the left-out mean is
    small.
    """
    total, pairs = pool_moments(groups), groups.pairs
    off_a, off_b = groups.mean_a - total.mean_a, groups.mean_b - total.mean_b
    apart = off_a - off_b
    firsts = pairs * off_a, pairs * off_b, pairs * apart
    seconds = (firsts[0] * off_a, firsts[1] * off_b, firsts[0] * off_b, firsts[2] * apart)
    betweens = (each.add_(kept) for each, kept in zip(seconds, groups[7:], strict=True))
    summands = torch.stack([pairs, *firsts[:2], *groups[3:7], *betweens], dim=1)
    others = 1 - torch.eye(len(pairs), dtype=torch.float64)
    count, first_a, first_b, *sums = (others @ summands.flatten(1)).view_as(summands).unbind(dim=1)
    step_a, step_b = first_a / count.clamp(min=1), first_b / count.clamp(min=1)
    moved = ((first_a, step_a), (first_b, step_b), (first_a, step_b), (first_a - first_b, step_a - step_b))
    rest = [each.addcmul_(*pair, value=-1) for each, pair in zip(sums[4:], moved, strict=True)]
    for squares in (rest[0], rest[1], rest[3]):
        squares.clamp_(min=0)
    return total, Moments(count, total.mean_a + step_a, total.mean_b + step_b, *sums[:4], *rest)


def within_correlation(moments: Moments) -> Float[Tensor, "*shape"]:
    """Correlation over positions, centred in each image: 1 for equivariant features. Not a number if 0 / 0."""
    return _correlation_ratio(moments.within_ab, moments.within_aa, moments.within_bb)


def between_correlation(moments: Moments) -> Float[Tensor, "*shape"]:
    """Correlation over images of their means: 1 for features whose mean is invariant. Not a number if 0 / 0."""
    return _correlation_ratio(moments.between_ab, moments.between_aa, moments.between_bb)


def total_correlation(moments: Moments) -> Float[Tensor, "*shape"]:
    """Correlation over images and positions together. Not a number if 0 / 0."""
    return _correlation_ratio(
        moments.within_ab + moments.between_ab,
        moments.within_aa + moments.between_aa,
        moments.within_bb + moments.between_bb,
    )


def concordance_correlation(moments: Moments) -> Float[Tensor, "*shape"]:
    """Lin's concordance 2 cov / (var a + var b + (mean a - mean b)^2): 1 only if a = b, unlike the correlation.

    Source: Lin 1989, "A concordance correlation coefficient to evaluate reproducibility".
    """
    product = moments.within_ab + moments.between_ab
    squares = moments.within_aa + moments.between_aa + moments.within_bb + moments.between_bb
    return 2 * product / (squares + moments.pairs * (moments.mean_a - moments.mean_b).square())


def normalised_error(moments: Moments) -> Float[Tensor, "*shape"]:
    """Mean of (a - b)^2 over the variance of b: 0 is perfect, 2 is what unrelated features of one variance give."""
    return moments.pairs * squared_error(moments) / (moments.within_bb + moments.between_bb)


def squared_error(moments: Moments) -> Float[Tensor, "*shape"]:
    """Mean of (a - b)^2."""
    apart = (moments.mean_a - moments.mean_b).square()
    return (moments.within_dd + moments.between_dd) / moments.pairs + apart


def cosine_similarity(moments: Moments) -> Float[Tensor, "*shape"]:
    """Cosine of the angle between all values of a and b: 1 is perfect, but a common mean alone brings it near 1."""
    count = moments.pairs
    return _correlation_ratio(
        moments.within_ab + moments.between_ab + count * moments.mean_a * moments.mean_b,
        moments.within_aa + moments.between_aa + count * moments.mean_a.square(),
        moments.within_bb + moments.between_bb + count * moments.mean_b.square(),
    )


def _correlation_ratio(product: Tensor, square_a: Tensor, square_b: Tensor) -> Tensor:
    # Roots first: the product of two small sums of squares may underflow.
    return product / (square_a.sqrt() * square_b.sqrt())
