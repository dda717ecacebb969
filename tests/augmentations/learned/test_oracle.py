"""The oracle against sampled losses, against its own stationarity, and against limits that are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.generators import AFFINE, GL2, RotationGenerator
from equistudy.augmentations.learned.oracle import (
    EXTENTS,
    compute_bayes_losses,
    find_affordable_extent,
    find_largest_weight,
    find_stable_extent,
)
from equistudy.augmentations.learned.regulariser import (
    BandRegulariser,
    BudgetRegulariser,
    EntropyRegulariser,
    NormRegulariser,
)
from equistudy.augmentations.rotation import RandomRotation
from equistudy.datasets.digits import Digits
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import Sprites

RADIANS_OF_WIDTH = 2 * np.pi / 180  # full width for one degree of half-extent


def at(extent):
    return int(np.abs(EXTENTS - extent).argmin())


def sampled_loss(sectors, jitter, extent, count=200_000):
    """The Bayes loss from drawn angles and the exact density of a sum of two uniform angles, wrapped by hand."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-jitter, jitter, count) + rng.uniform(-extent, extent, count)

    def density(angle):
        """A trapezium: the overlap of the window of one uniform angle with that of the other."""
        overlap = np.minimum(angle + jitter, extent) - np.maximum(angle - jitter, -extent)
        return np.clip(overlap, 0, None) / (4 * jitter * extent)

    def wrapped(angle):
        return sum(density(angle + turn) for turn in (-720, -360, 0, 360, 720))

    own = wrapped(angles)
    every = sum(wrapped(angles + 360 / sectors * k) for k in range(sectors))
    return -np.log(own / every).mean()


@pytest.mark.parametrize(("sectors", "jitter"), [(2, 45.0), (4, 15.0)])
@pytest.mark.parametrize("extent", [40.0, 150.0])
def test_losses_equal_sampled_ones(sectors, jitter, extent):
    found = compute_bayes_losses(sectors, jitter)[at(extent)]
    assert math.isclose(found, sampled_loss(sectors, jitter, extent), abs_tol=0.006)


def test_losses_in_their_limits():
    losses = compute_bayes_losses(2, 45.0)
    assert losses[at(44.9)] < 1e-9  # nothing is turned beyond the boundary
    assert losses[at(50.0)] > 1e-3
    assert losses.max() < math.log(2) + 1e-9
    np.testing.assert_allclose(compute_bayes_losses(1, 45.0), 0, atol=1e-9)
    np.testing.assert_allclose(
        compute_bayes_losses(4, 15.0)[at(180.0)], math.log(4), atol=1e-6
    )  # nothing is known of the angle


@pytest.mark.parametrize("regulariser", [NormRegulariser(0.05), NormRegulariser(0.1), EntropyRegulariser(0.1)])
def test_at_the_stable_extent_the_loss_rises_as_fast_as_the_regulariser_pays(regulariser):
    extent = find_stable_extent(2, 45.0, regulariser, 9.0)
    slope = np.gradient(compute_bayes_losses(2, 45.0), EXTENTS * RADIANS_OF_WIDTH)[at(extent)]
    paid = regulariser.weight
    if isinstance(regulariser, EntropyRegulariser):
        paid /= extent * RADIANS_OF_WIDTH
    assert math.isclose(slope, paid, rel_tol=0.05)


def test_extents_grow_with_the_weight_from_the_one_that_labels_allow():
    for sprites in (Sprites(2, 45.0), Sprites(4, 15.0)):
        found = [
            find_stable_extent(sprites.sectors, sprites.jitter, NormRegulariser(w), 9.0)
            for w in (1e-3, 0.01, 0.05, 0.1)
        ]
        assert found == sorted(found)
        assert sprites.extent - 0.3 < found[0] < found[-1] < sprites.extent + 10


def test_above_the_largest_weight_nothing_holds():
    largest = find_largest_weight(2, 45.0)
    assert math.isclose(largest, 0.244, abs_tol=0.001)
    assert find_stable_extent(2, 45.0, NormRegulariser(0.99 * largest), 9.0) < 100
    assert find_stable_extent(2, 45.0, NormRegulariser(1.01 * largest), 9.0) == 180
    assert find_largest_weight(1, 45.0) == pytest.approx(0, abs=1e-9)


def test_where_a_run_starts_decides_where_it_ends():
    ends = [find_stable_extent(2, 45.0, NormRegulariser(0.05), start) for start in (0.2, 87.0, 172.0)]
    assert ends[0] == ends[1] < 50
    assert ends[2] == 180


def test_without_a_regulariser_the_extent_never_grows():
    assert find_stable_extent(2, 45.0, NormRegulariser(0.0), 9.0) <= 9


def test_it_knows_sprites_when_rotation_is_all_that_moves_them():
    rotation = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.05))
    assert rotation.expected_extent(Sprites(2, 45.0)) == find_stable_extent(2, 45.0, NormRegulariser(0.05), 9.0)
    assert rotation.expected_extent(Sprites(1, 45.0)) == 180
    assert rotation.expected_extent(Digits()) is None
    assert rotation.expected_extent(Sectors(Digits(), 2, 45.0)) == rotation.expected_extent(Sprites(2, 45.0))
    assert rotation.expected_extent(Sectors(Digits(), 1, 45.0)) is None  # a turned 6 is a 9
    for unknown in (
        LearnedAugmentation(AFFINE),
        LearnedAugmentation(GL2),
        replace(rotation, before=RandomRotation(9.0)),
    ):
        assert unknown.expected_extent(Sprites()) is None
    assert LearnedAugmentation(AFFINE[:1]).expected_extent(Sprites()) is None
    assert NoAugmentation().expected_extent(Sprites()) is None


def test_bins_are_shared_by_the_sectors():
    with pytest.raises(ValueError, match=r"1800 bins must be shared by the sectors, got sectors=7\. Use 1 to 6"):
        compute_bayes_losses(7, 0.0)


def test_a_weight_that_nothing_holds_is_told_with_the_largest_that_something_does():
    rotation = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.3))
    told = rotation.describe_risk(Sprites(2, 45.0))
    assert told is not None
    assert told.startswith("Nothing will hold the learned rotation on Sprites: with weight=0.3 and start=9 it grows to")
    assert told.endswith("labels allow 45. A NormRegulariser holds from a small start up to weight=0.244.")
    wide = replace(rotation, generators=(RotationGenerator(start=172.0),), regulariser=NormRegulariser(0.05))
    assert "start=172 it grows" in (wide.describe_risk(Sprites(2, 45.0)) or "")
    held = replace(rotation, regulariser=NormRegulariser(0.2))
    for augmentation, dataset in ((held, Sprites(2, 45.0)), (rotation, Sprites(1, 45.0)), (rotation, Digits())):
        assert augmentation.describe_risk(dataset) is None
    assert NoAugmentation().describe_risk(Sprites()) is None


def test_a_budget_affords_what_costs_no_more():
    losses = compute_bayes_losses(2, 45.0)
    for budget in (0.01, 0.05, 0.3):
        extent = find_affordable_extent(2, 45.0, budget)
        assert losses[at(extent)] <= budget < losses[at(extent) + 1]
    assert find_affordable_extent(2, 45.0, math.log(2)) == find_affordable_extent(1, 45.0, 0.01) == 180
    assert find_affordable_extent(2, 90.0, 1e-9) == EXTENTS[0]


def test_adaptive_regularisers():
    rotation = LearnedAugmentation((RotationGenerator(start=9.0),), BudgetRegulariser(budget=0.05))
    assert rotation.expected_extent(Sprites(2, 45.0)) == find_affordable_extent(2, 45.0, 0.05)
    assert rotation.describe_risk(Sprites(2, 45.0)) is None
    told = replace(rotation, regulariser=BudgetRegulariser(budget=0.7)).describe_risk(Sprites(2, 45.0))
    assert told is not None
    assert told.endswith("loss is at most 0.693 nats, and budget=0.7 allows that. Use a smaller budget, such as 0.069.")
    assert replace(rotation, regulariser=BandRegulariser()).expected_extent(Sprites(2, 45.0)) is None
