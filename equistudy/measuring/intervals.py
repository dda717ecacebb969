"""95 % intervals over images: the grouped jackknife for correlations and errors, Wilson intervals for proportions.

The unit of replication is the image. Positions and channels of one image are dependent; intervals that count them as
replicates are about five times too narrow.
"""

import math

import torch
from jaxtyping import Float
from scipy.special import ndtri, stdtrit
from torch import Tensor

from equistudy.measuring.families import Scale

__all__ = ["CONFIDENCE", "MIN_IMAGES", "NUM_GROUPS", "count_jackknife_groups", "jackknife_interval", "wilson_interval"]

CONFIDENCE = 0.95
MIN_IMAGES = 32  # below, no interval is given
NUM_GROUPS = 32


def count_jackknife_groups(num_images: int) -> int:
    """The number of jackknife groups, by image index modulo it: 32, or fewer so that each group has two images."""
    return max(1, min(NUM_GROUPS, num_images // 2))


def jackknife_interval(
    value: Float[Tensor, "*shape"], without: Float[Tensor, "G *shape"], scale: Scale = Scale.FISHER
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Bounds of a value from its values without each of G groups of images, symmetric on `scale`.

    The standard error is sqrt((G - 1) / G sum (z_g - mean z)^2), the quantile Student's with G - 1 degrees of freedom.
    The bounds are NaN where a value without a group is undefined, and never leave the range of the scale.

    Each left-out value must be computed like the value itself from the remaining images: a channel that only the
    omitted images activate is dead in it. On the logarithmic scale, leaving out a group that carries most of an error
    would give almost 0; such values are clipped at 1/e of the whole, where the error agrees with the delta method.

    Source: Efron and Stein 1981, "The jackknife estimate of variance".
    """
    groups = len(without)
    if groups < 2:
        raise ValueError(f"A jackknife needs at least 2 groups of images, got {groups}. Measure with more images.")
    if scale is Scale.LOG:
        without = torch.maximum(without, value / math.e)
    z = scale.transform(without)
    error = ((groups - 1) / groups * (z - z.mean(dim=0)).square().sum(dim=0)).sqrt()
    centre = scale.transform(value)
    half = float(stdtrit(groups - 1, (1 + CONFIDENCE) / 2)) * error
    # A correlation of exactly 1 and an error of 0 stay inside their interval, although the scale clamps them.
    return torch.minimum(scale.invert(centre - half), value), torch.maximum(scale.invert(centre + half), value)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Bounds of a proportion.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"A proportion needs 0 <= successes <= trials and trials > 0, got {successes} of {trials}.")
    z = float(ndtri((1 + CONFIDENCE) / 2))
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * ((share * (1 - share) + spread / 4) / trials) ** 0.5 / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
