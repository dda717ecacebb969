"""The half-extent that training should learn, where the Bayes loss is known as a function of it."""

from functools import lru_cache
from math import inf, log, pi

import numpy as np
import torch
from jaxtyping import Float64

from equistudy.augmentations.learned.generators import LieGenerator, RotationGenerator
from equistudy.augmentations.learned.regulariser import BandRegulariser, BudgetRegulariser, Regulariser
from equistudy.datasets.dataset import Dataset
from equistudy.datasets.rotated import RotationTarget, Turned
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import Sprites
from equistudy.datasets.turned_pair import TurnedPair

__all__ = [
    "EXTENTS",
    "compute_angle_losses",
    "compute_bayes_losses",
    "describe_blow_up",
    "find_affordable_extent",
    "find_largest_weight",
    "find_losses",
    "find_stable_extent",
    "predict_extent",
]

STEP_DEGREES = 0.2
EXTENTS = np.arange(1, 901) / 5  # degrees; 0 is left out because the entropy of a box of width 0 is infinite
NUM_BINS = 1800  # the fewest bins of the circle
READABLE_DEGREES = 90.0  # some images look alike half a turn apart, so larger angles cannot be read off an image
NUM_DEVIATIONS = 3  # of a normal angle that must be readable

Losses = Float64[np.ndarray, " H"]


@lru_cache(maxsize=64)
def compute_bayes_losses(
    sectors: int, jitter: float, label_smoothing: float = 0.0, num_classes: int | None = None
) -> Losses:
    """The smallest cross-entropy in nats that any classifier can reach, at each half-extent of `EXTENTS`.

    Angles are uniform on [-jitter, jitter] about the centre of their sector and then turned by a uniform angle in
    [-h, h]. With p_k the density of sector k on the circle and q_k = p_k / sum_j p_j, the loss is the mean entropy of
    q: 0 while h < 180 / sectors - jitter, then rising, because what is turned beyond the boundary looks like another
    sector. Label smoothing e over K classes (`num_classes`, by default one for each sector) replaces q by
    (1 - e) q + e / K, which is also positive for the K - sectors classes of other images.
    """
    num_bins = sectors * -(-NUM_BINS // sectors)  # every sector has the same bins
    data = np.fft.rfft(_compute_box_masses(np.array([jitter]), num_bins))
    p = np.fft.irfft(data * np.fft.rfft(_compute_box_masses(EXTENTS, num_bins)), num_bins)
    p = p.reshape(len(EXTENTS), sectors, -1)
    p[p < 1e-12] = 0  # rounding of the transform
    totals = p.sum(1, keepdims=True)
    classes = sectors if num_classes is None else num_classes
    floor = label_smoothing / classes
    shares = (1 - label_smoothing) * p / np.maximum(totals, 1e-12) + floor
    entropies = -(shares * np.log(np.maximum(shares, 1e-300))).sum(1)
    if floor:
        entropies -= (classes - sectors) * floor * log(floor)
    losses: Losses = (totals[:, 0] * entropies).sum(1)
    return losses


@lru_cache(maxsize=64)
def compute_angle_losses(max_degrees: float, std_degrees: float | None, scale: float) -> Losses:
    """The smallest mean squared error of the angle of an image, in units of `scale` degrees, at each of `EXTENTS`.

    The angle a is uniform on [-max_degrees, max_degrees], or normal with `std_degrees`. The image is then turned by a
    uniform angle in [-h, h] while its target stays a. The best prediction is the mean of a given the angle seen, and
    the loss its variance: h^2 / (3 scale^2) far from the ends of the range.
    """
    half_width = 360.0 * (1 if std_degrees is None else max(1, -(-8 * std_degrees // 360)))
    places = np.arange(-round(half_width / STEP_DEGREES), round(half_width / STEP_DEGREES) + 1)
    angles = places * STEP_DEGREES
    if std_degrees is None:
        masses = np.clip(max_degrees + STEP_DEGREES / 2 - np.abs(angles), 0, STEP_DEGREES)
    else:
        masses = np.exp(-0.5 * (angles / std_degrees) ** 2)
    masses = masses / masses.sum()
    bins = places % NUM_BINS
    density, moment = (np.bincount(bins, weights=each, minlength=NUM_BINS) for each in (masses, masses * angles))
    boxes = np.fft.rfft(_compute_box_masses(EXTENTS, NUM_BINS))
    p, m = (np.fft.irfft(np.fft.rfft(each) * boxes, NUM_BINS) for each in (density, moment))
    seen = p > 1e-12  # below is rounding of the transform
    explained = np.where(seen, m**2 / np.where(seen, p, 1), 0).sum(1)
    losses: Losses = ((masses * angles**2).sum() - explained) / scale**2
    return losses


def _compute_box_masses(extents: Float64[np.ndarray, " H"], num_bins: int) -> Float64[np.ndarray, "H B"]:
    """The mass in each bin of the circle of a uniform distribution on [-h, h]; all in bin 0 for h below half a bin."""
    width = 360 / num_bins
    centres = np.abs((np.arange(num_bins) + num_bins // 2) % num_bins - num_bins // 2) * width
    covered = np.clip(np.maximum(extents, width / 2)[:, None] - centres + width / 2, 0, width)
    return covered / covered.sum(1, keepdims=True)


def find_stable_extent(losses: Losses, regulariser: Regulariser, start: float, cap: float = 180.0) -> float:
    """Where gradient descent from `start` ends on the Bayes loss plus the regulariser: a half-extent to 0.2 degrees.

    `cap` where nothing else stops it: labels do not depend on the angle, or lambda is too large. A network sees a
    finite amount of data for a finite time and ends some degrees below.
    """
    widths = torch.from_numpy(2 * np.radians(EXTENTS))
    penalties = np.array([float(regulariser.penalty(width[None])) for width in widths])
    total = (losses + penalties)[: np.searchsorted(EXTENTS, cap, side="right")]
    if not len(total):
        return cap
    index = int(np.abs(EXTENTS[: len(total)] - start).argmin())
    while index + 1 < len(total) and total[index + 1] < total[index]:
        index += 1
    while index > 0 and total[index - 1] < total[index]:
        index -= 1
    return cap if index + 1 == len(total) else float(EXTENTS[index])


def find_affordable_extent(losses: Losses, budget: float, cap: float = 180.0) -> float:
    """The largest half-extent, to 0.2 degrees, up to which the Bayes loss stays within a budget in nats.

    `cap` where the budget pays for every angle up to it. The smallest of `EXTENTS` where even no rotation is too
    expensive, as it is with label smoothing when the budget is below the entropy of the smoothed labels.
    """
    beyond = np.flatnonzero(losses > budget)
    return min(float(EXTENTS[max(beyond[0] - 1, 0)]) if len(beyond) else inf, cap)


def find_largest_weight(losses: Losses) -> float:
    """The lambda of a `NormRegulariser` above which no half-extent is stable: the steepest rise of the Bayes loss.

    In nats, or squared errors, per radian of full width; 0 where labels do not depend on the angle.
    """
    return float(np.gradient(losses, 2 * STEP_DEGREES * pi / 180).max())


def find_losses(dataset: Dataset, label_smoothing: float, error_scale: float | None) -> Losses | None:
    """The Bayes losses at each of `EXTENTS`, or None where they are unknown.

    Known are classes of images turned into sectors, and the squared error of the angle by which an image was turned.
    Datasets other than `Sprites` need at least two sectors: whether one class turned looks like another is unknown.
    Their images must be upright before they are turned, and angles must be within 90 degrees, because some images look
    alike half a turn apart.
    """
    if isinstance(dataset, Sprites) or (
        isinstance(dataset, Sectors) and dataset.sectors > 1 and _is_upright(dataset.dataset)
    ):
        return compute_bayes_losses(dataset.sectors, dataset.jitter, label_smoothing, dataset.num_classes)
    if not isinstance(dataset, Turned) or dataset.asked is not RotationTarget.ANGLE:
        return None
    scale = dataset.target_std if error_scale is None else error_scale
    reach = dataset.max_degrees if dataset.std_degrees is None else NUM_DEVIATIONS * dataset.std_degrees
    if reach > READABLE_DEGREES or not _is_upright(dataset.dataset) or scale == inf:
        return None
    return compute_angle_losses(dataset.max_degrees, dataset.std_degrees, scale)


def _is_upright(dataset: Dataset) -> bool:
    return not isinstance(dataset, (Sectors, Sprites, Turned, TurnedPair))


def predict_extent(
    generator: LieGenerator,
    regulariser: Regulariser,
    dataset: Dataset,
    label_smoothing: float = 0.0,
    error_scale: float | None = None,
) -> float | None:
    """The half-extent in degrees at which training a rotation should end, or None where it is unknown.

    It is known where the Bayes loss is (see `find_losses`) when a learned rotation is all that moves the images, except
    under a `BandRegulariser`, whose band the user sets. `error_scale` is the unit of a squared error in the unit of the
    targets: None for their standard deviation, infinite for other losses.
    """
    if not (isinstance(generator, RotationGenerator) and generator.learned) or isinstance(regulariser, BandRegulariser):
        return None
    losses = find_losses(dataset, label_smoothing, error_scale)
    if losses is None:
        return None
    assert generator.cap is not None  # rotations are capped at their period
    if isinstance(regulariser, BudgetRegulariser):
        return find_affordable_extent(losses, regulariser.budget, generator.cap)
    return find_stable_extent(losses, regulariser, generator.start, generator.cap)


def describe_blow_up(
    generator: LieGenerator,
    regulariser: Regulariser,
    dataset: Dataset,
    label_smoothing: float = 0.0,
    error_scale: float | None = None,
) -> str | None:
    """A warning that the regulariser will outweigh the labels, or that no rotation fits the budget; None otherwise."""
    expected = predict_extent(generator, regulariser, dataset, label_smoothing, error_scale)
    losses = find_losses(dataset, label_smoothing, error_scale)
    if expected is None or losses is None:
        return None
    unit, allowed = ("nats", dataset.extent) if isinstance(dataset, (Sprites, Sectors)) else ("squared units", 0.0)
    if isinstance(regulariser, BudgetRegulariser) and losses[0] > regulariser.budget:
        return (
            f"The learned rotation on {dataset} will shrink to nothing: even without any rotation its loss is at least "
            f"{losses[0]:.3g} {unit}, above budget={regulariser.budget:g}. Use a larger budget, such as "
            f"{losses[0] + 0.05:.2g}."
        )
    if expected != generator.cap or allowed >= expected:
        return None
    holder = "Nothing" if expected == EXTENTS[-1] else "Nothing but its cap"
    if isinstance(regulariser, BudgetRegulariser):
        most = losses[: np.searchsorted(EXTENTS, expected, side="right")].max()
        return (
            f"{holder} will hold the learned rotation on {dataset}: its loss is at most {most:.3g} {unit}, and "
            f"budget={regulariser.budget:g} allows that. Use a smaller budget, such as {most / 10:.2g}."
        )
    return (
        f"{holder} will hold the learned rotation on {dataset}: with weight={regulariser.weight:g} and "
        f"start={generator.start:g} it grows to {expected:g} degrees, but the labels allow {allowed:g}. A "
        f"NormRegulariser holds from a small start up to weight={find_largest_weight(losses):.3g}."
    )
