"""The half-extent that training should learn, where the Bayes loss is known as a function of it."""

from functools import lru_cache
from math import pi
from typing import TypeGuard

import numpy as np
import torch
from jaxtyping import Float64

from equistudy.augmentations.learned.generators import LieGenerator, RotationGenerator
from equistudy.augmentations.learned.regulariser import BandRegulariser, BudgetRegulariser, Regulariser
from equistudy.datasets.dataset import Dataset
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import Sprites

__all__ = [
    "compute_bayes_losses",
    "describe_blow_up",
    "find_affordable_extent",
    "find_largest_weight",
    "find_stable_extent",
    "predict_extent",
]

NUM_BINS = 1800  # of the circle
BIN_DEGREES = 360 / NUM_BINS
EXTENTS = np.arange(1, NUM_BINS // 2 + 1) / (NUM_BINS / 360)  # degrees; 0 is left out, for its logarithm


@lru_cache(maxsize=64)
def compute_bayes_losses(sectors: int, jitter: float) -> Float64[np.ndarray, " H"]:
    """The least cross-entropy in nats that any network can have, at each half-extent of `EXTENTS`.

    Angles are uniform on [-jitter, jitter] about the centre of their sector and then turned by a uniform angle of
    [-h, h]. With p_k the density of sector k on the circle, the loss is E[-log p_0 / sum_k p_k] under p_0: 0 while
    h < 180 / sectors - jitter, then rising, for what is turned beyond the boundary looks like another sector.
    """
    if NUM_BINS % sectors:
        raise ValueError(
            f"The circle's {NUM_BINS} bins must be shared by the sectors, got sectors={sectors}. Use 1 to 6."
        )
    data = np.fft.rfft(_compute_box_masses(np.array([jitter])))
    p = np.fft.irfft(data * np.fft.rfft(_compute_box_masses(EXTENTS)), NUM_BINS).reshape(len(EXTENTS), sectors, -1)
    p[p < 1e-12] = 0  # rounding of the transform
    shares = p / np.maximum(p.sum(1, keepdims=True), 1e-12)
    return -(p * np.log(np.maximum(shares, 1e-300))).sum((1, 2))


def _compute_box_masses(extents: Float64[np.ndarray, " H"]) -> Float64[np.ndarray, "H B"]:
    """The mass in each bin of the circle of a uniform distribution on [-h, h]; all in bin 0 for h below half a bin."""
    centres = np.abs((np.arange(NUM_BINS) + NUM_BINS // 2) % NUM_BINS - NUM_BINS // 2) * BIN_DEGREES
    covered = np.clip(np.maximum(extents, BIN_DEGREES / 2)[:, None] - centres + BIN_DEGREES / 2, 0, BIN_DEGREES)
    return covered / covered.sum(1, keepdims=True)


def find_stable_extent(sectors: int, jitter: float, regulariser: Regulariser, start: float) -> float:
    """Where gradient descent from `start` ends on the Bayes loss plus the regulariser: half-extent in degrees, to 0.2.

    180 where nothing holds it: the labels do not depend on the angle, or lambda is too large. A network sees finite
    data for finite time, and ends some degrees below.
    """
    widths = torch.from_numpy(2 * np.radians(EXTENTS))
    total = compute_bayes_losses(sectors, jitter) + np.array(
        [float(regulariser.penalty(width[None])) for width in widths]
    )
    index = int(np.abs(EXTENTS - start).argmin())
    while index + 1 < len(total) and total[index + 1] < total[index]:
        index += 1
    while index > 0 and total[index - 1] < total[index]:
        index -= 1
    return float(EXTENTS[index])


def find_affordable_extent(sectors: int, jitter: float, budget: float) -> float:
    """The largest half-extent in degrees, to 0.2, up to which the Bayes loss stays within a budget in nats.

    180 where the budget pays for knowing nothing of the angle.
    """
    beyond = np.flatnonzero(compute_bayes_losses(sectors, jitter) > budget)
    return float(EXTENTS[max(beyond[0] - 1, 0)] if len(beyond) else EXTENTS[-1])


def find_largest_weight(sectors: int, jitter: float) -> float:
    """The lambda of a `NormRegulariser` above which no half-extent is stable: the steepest rise of the Bayes loss.

    In nats per radian of full width; 0 where labels do not depend on the angle.
    """
    return float(np.gradient(compute_bayes_losses(sectors, jitter), 2 * BIN_DEGREES * pi / 180).max())


def predict_extent(generator: LieGenerator, regulariser: Regulariser, dataset: Dataset) -> float | None:
    """The half-extent of the rotation that training should end with, or None where the oracle does not know it.

    It knows images in sectors when a learned rotation is all that moves them, unless a band says where it ends. Of
    images of other datasets it needs two sectors at least: whether one class turned looks like another it does not
    know.
    """
    if not _has_sectors(dataset) or not (isinstance(generator, RotationGenerator) and generator.learned):
        return None
    if isinstance(regulariser, BandRegulariser):
        return None
    if isinstance(regulariser, BudgetRegulariser):
        return find_affordable_extent(dataset.sectors, dataset.jitter, regulariser.budget)
    return find_stable_extent(dataset.sectors, dataset.jitter, regulariser, generator.start)


def describe_blow_up(
    generator: LieGenerator, regulariser: Regulariser, dataset: Dataset, expected: float
) -> str | None:
    """That the regulariser will win against the labels, where the oracle knows it; None otherwise."""
    if not _has_sectors(dataset) or expected != EXTENTS[-1]:
        return None
    if dataset.extent >= EXTENTS[-1]:
        return None
    if isinstance(regulariser, BudgetRegulariser):
        most = compute_bayes_losses(dataset.sectors, dataset.jitter).max()
        return (
            f"Nothing will hold the learned rotation on {dataset}: its loss is at most {most:.3g} nats, and "
            f"budget={regulariser.budget:g} allows that. Use a smaller budget, such as {most / 10:.2g}."
        )
    weight = regulariser.weight
    largest = find_largest_weight(dataset.sectors, dataset.jitter)
    return (
        f"Nothing will hold the learned rotation on {dataset}: with weight={weight:g} and start={generator.start:g} it "
        f"grows to 180 degrees, and labels allow {dataset.extent:g}. A NormRegulariser holds from a small start up to "
        f"weight={largest:.3g}."
    )


def _has_sectors(dataset: Dataset) -> TypeGuard[Sprites | Sectors]:
    return isinstance(dataset, Sprites) or (isinstance(dataset, Sectors) and dataset.sectors > 1)
