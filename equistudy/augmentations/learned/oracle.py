"""The half-extent that training should learn, where the Bayes loss is known as a function of it."""

from functools import lru_cache
from math import pi

import numpy as np
import torch
from jaxtyping import Float64

from equistudy.augmentations.augmentation import Augmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.generators import RotationGenerator
from equistudy.augmentations.learned.regulariser import Regulariser
from equistudy.datasets.dataset import Dataset
from equistudy.datasets.sprites import Sprites

__all__ = ["bayes_losses", "expected_extent", "largest_weight", "stable_extent"]

BINS = 3600  # of the circle
STEP = 360 / BINS
EXTENTS = STEP * np.arange(1, BINS // 2 + 1)  # degrees; 0 is left out, for its logarithm


@lru_cache(maxsize=64)
def bayes_losses(sectors: int, jitter: float) -> Float64[np.ndarray, " H"]:
    """The least cross-entropy in nats that any network can have, at each half-extent of `EXTENTS`.

    Angles are uniform on [-jitter, jitter] about the centre of their sector and then turned by a uniform angle of
    [-h, h]. With p_k the density of sector k on the circle, the loss is E[-log p_0 / sum_k p_k] under p_0: 0 while
    h < 180 / sectors - jitter, then rising, for what is turned beyond the boundary looks like another sector.
    """
    if BINS % sectors:
        raise ValueError(f"The circle's {BINS} bins must be shared by the sectors, got sectors={sectors}. Use 1 to 6.")
    data = np.fft.rfft(_box(jitter))
    losses = np.empty(len(EXTENTS))
    for index, extent in enumerate(EXTENTS):
        p = np.fft.irfft(data * np.fft.rfft(_box(extent)), BINS).clip(min=0)
        p[p < 1e-12] = 0  # rounding of the transform
        every = p.reshape(sectors, -1).sum(0)[np.arange(BINS) % (BINS // sectors)]
        there = p > 0
        losses[index] = -(p[there] * np.log(p[there] / every[there])).sum()
    return losses


def _box(extent: float) -> Float64[np.ndarray, " B"]:
    """The mass in each bin of the circle of a uniform distribution on [-extent, extent]; all in bin 0 for 0."""
    edges = np.abs((np.arange(BINS) + BINS // 2) % BINS - BINS // 2) * STEP
    covered = np.clip(extent - edges + STEP / 2, 0, STEP) if extent > STEP / 2 else (edges == 0).astype(float)
    return covered / covered.sum()


def stable_extent(sectors: int, jitter: float, regulariser: Regulariser, start: float) -> float:
    """Where gradient descent from `start` ends on the Bayes loss plus the regulariser: half-extent in degrees, to 0.1.

    180 where nothing holds it: the labels do not depend on the angle, or lambda is too large. A network sees finite
    data for finite time, and ends some degrees below.
    """
    widths = torch.from_numpy(2 * np.radians(EXTENTS))
    total = bayes_losses(sectors, jitter) + np.array([float(regulariser.penalty(width[None])) for width in widths])
    index = int(np.abs(EXTENTS - start).argmin())
    while index + 1 < len(total) and total[index + 1] < total[index]:
        index += 1
    while index > 0 and total[index - 1] < total[index]:
        index -= 1
    return float(EXTENTS[index])


def largest_weight(sectors: int, jitter: float) -> float:
    """The lambda of a `NormRegulariser` above which no half-extent is stable: the steepest rise of the Bayes loss.

    In nats per radian of full width; 0 where labels do not depend on the angle.
    """
    return float(np.gradient(bayes_losses(sectors, jitter), 2 * STEP * pi / 180).max())


def expected_extent(augmentation: Augmentation, dataset: Dataset) -> float | None:
    """The half-extent of the rotation that training should end with, or None where the oracle does not know it.

    It knows sprites in sectors when rotation is all that is learned.
    """
    if not isinstance(augmentation, LearnedAugmentation) or not isinstance(dataset, Sprites):
        return None
    learned = [generator for generator in augmentation.generators if generator.learned]
    if len(learned) != len(augmentation.generators) or not isinstance(learned[0], RotationGenerator):
        return None
    return stable_extent(dataset.sectors, dataset.jitter, augmentation.regulariser, learned[0].start)
