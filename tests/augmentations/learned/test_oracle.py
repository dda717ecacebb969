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
    compute_angle_losses,
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
from equistudy.datasets.rotated import RotationTarget, Turned
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import Sprites
from equistudy.datasets.turned_pair import TurnedPair
from equistudy.tasks.classification import Classification
from equistudy.tasks.regression import Regression

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
    extent = find_stable_extent(compute_bayes_losses(2, 45.0), regulariser, 9.0)
    slope = np.gradient(compute_bayes_losses(2, 45.0), EXTENTS * RADIANS_OF_WIDTH)[at(extent)]
    paid = regulariser.weight
    if isinstance(regulariser, EntropyRegulariser):
        paid /= extent * RADIANS_OF_WIDTH
    assert math.isclose(slope, paid, rel_tol=0.05)


def test_extents_grow_with_the_weight_from_the_one_that_labels_allow():
    for sprites in (Sprites(2, 45.0), Sprites(4, 15.0)):
        found = [
            find_stable_extent(compute_bayes_losses(sprites.sectors, sprites.jitter), NormRegulariser(w), 9.0)
            for w in (1e-3, 0.01, 0.05, 0.1)
        ]
        assert found == sorted(found)
        assert sprites.extent - 0.3 < found[0] < found[-1] < sprites.extent + 10


def test_above_the_largest_weight_nothing_holds():
    largest = find_largest_weight(compute_bayes_losses(2, 45.0))
    assert math.isclose(largest, 0.244, abs_tol=0.001)
    assert find_stable_extent(compute_bayes_losses(2, 45.0), NormRegulariser(0.99 * largest), 9.0) < 100
    assert find_stable_extent(compute_bayes_losses(2, 45.0), NormRegulariser(1.01 * largest), 9.0) == 180
    assert find_largest_weight(compute_bayes_losses(1, 45.0)) == pytest.approx(0, abs=1e-9)


def test_where_a_run_starts_decides_where_it_ends():
    ends = [
        find_stable_extent(compute_bayes_losses(2, 45.0), NormRegulariser(0.05), start) for start in (0.2, 87.0, 172.0)
    ]
    assert ends[0] == ends[1] < 50
    assert ends[2] == 180


def test_without_a_regulariser_the_extent_never_grows():
    assert find_stable_extent(compute_bayes_losses(2, 45.0), NormRegulariser(0.0), 9.0) <= 9


def test_it_knows_sprites_when_rotation_is_all_that_moves_them():
    rotation = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.05))
    assert rotation.expected_extent(Sprites(2, 45.0)) == find_stable_extent(
        compute_bayes_losses(2, 45.0), NormRegulariser(0.05), 9.0
    )
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


@pytest.mark.parametrize("sectors", [3, 7, 11, 13, 16, 17, 361])
def test_any_number_of_sectors_has_an_oracle(sectors):
    """Against drawn angles, and the extents that the labels allow."""
    sprites = Sprites(sectors, 90 / sectors, train_size=2 * sectors, test_size=2 * sectors)
    losses = compute_bayes_losses(sectors, sprites.jitter)
    assert losses[-1] == pytest.approx(math.log(sectors), rel=1e-3)  # nothing is known of the angle
    extent = round(150 / sectors, 1)
    if extent > 5:
        assert losses[at(extent)] == pytest.approx(sampled_loss(sectors, sprites.jitter, EXTENTS[at(extent)]), abs=0.01)
    expected = LearnedAugmentation((RotationGenerator(start=0.2),), NormRegulariser(0.05)).expected_extent(sprites)
    assert sprites.extent - 0.4 <= expected < sprites.extent + 2


@pytest.mark.parametrize(("cap", "expected"), [(30.0, 30.0), (30.1, 30.1), (60.0, 49.0), (180.0, 49.0)])
def test_a_cap_below_the_stable_extent_is_where_training_ends(cap, expected):
    box = LearnedAugmentation((RotationGenerator(start=9.0, cap=cap),), NormRegulariser(0.05))
    assert box.expected_extent(Sprites(2, 45.0)) == expected
    affordable = find_affordable_extent(compute_bayes_losses(2, 45.0), 0.05)
    budget = replace(box, regulariser=BudgetRegulariser(budget=0.05))
    assert budget.expected_extent(Sprites(2, 45.0)) == min(cap, affordable)
    assert replace(box, generators=(RotationGenerator(start=0.1, cap=0.1),)).expected_extent(Sprites()) == 0.1


def smoothed_loss(sectors, jitter, extent, label_smoothing, num_classes, count=200_000):
    """The mean entropy of the smoothed posterior, from drawn angles and densities summed by hand."""
    rng = np.random.default_rng(1)
    angles = rng.uniform(-jitter, jitter, count) + rng.uniform(-extent, extent, count)
    turns = (-720, -360, 0, 360, 720)
    densities = np.stack(
        [
            sum(
                np.clip(np.minimum(angle + turn + jitter, extent) - np.maximum(angle + turn - jitter, -extent), 0, None)
                for turn in turns
            )
            for angle in (angles + 360 / sectors * k for k in range(sectors))
        ]
    )
    posterior = np.concatenate([densities / densities.sum(0), np.zeros((num_classes - sectors, count))])
    smoothed = (1 - label_smoothing) * posterior + label_smoothing / num_classes
    return -(smoothed * np.log(smoothed)).sum(0).mean()


@pytest.mark.parametrize(("sectors", "jitter", "extent"), [(2, 45.0, 60.0), (4, 15.0, 100.0), (3, 30.0, 20.0)])
@pytest.mark.parametrize("label_smoothing", [0.1, 0.4])
def test_label_smoothing_enters_the_losses(sectors, jitter, extent, label_smoothing):
    found = compute_bayes_losses(sectors, jitter, label_smoothing, 2 * sectors)[at(extent)]
    assert found == pytest.approx(smoothed_loss(sectors, jitter, extent, label_smoothing, 2 * sectors), abs=0.005)


def test_smoothed_labels_hold_a_rotation_less():
    box = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.05))
    extents = [box.expected_extent(Sprites(2, 45.0), smoothing) for smoothing in (0.0, 0.1, 0.3)]
    assert extents[0] == 49.0
    assert extents == sorted(extents)
    assert extents[2] > extents[0] + 2


@pytest.mark.parametrize("regulariser", [NormRegulariser(0.02), NormRegulariser(0.1), EntropyRegulariser(0.03)])
def test_asked_for_the_angle_the_oracle_is_the_closed_form(regulariser):
    """Targets in radians, uniform on [-M, M]: the loss is h^2 / 3 - h^3 / (6 M), so lambda = h / 3 - h^2 / (4 M)."""
    images = Turned(Digits(), 60.0, asked=RotationTarget.ANGLE)
    box = LearnedAugmentation((RotationGenerator(start=9.0),), regulariser)
    task = Regression(math.degrees(1))
    found = math.radians(box.expected_extent(images, error_scale=task.squared_error_scale(images)))
    slope = found / 3 - found**2 / (4 * math.radians(60))
    paid = regulariser.weight if isinstance(regulariser, NormRegulariser) else regulariser.weight / (2 * found)
    assert slope == pytest.approx(paid, rel=0.05)
    losses = compute_angle_losses(60.0, None, math.degrees(1))
    for extent in (10.0, 30.0):
        h = math.radians(extent)
        assert losses[at(extent)] == pytest.approx(h**2 / 3 - h**3 / (6 * math.radians(60)), rel=0.01)


def test_the_scale_of_the_error_is_that_of_the_task():
    """By default the standard deviation of the angles; no squared error, no oracle."""
    images = Turned(Digits(), 60.0, asked=RotationTarget.ANGLE)
    box = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.05))
    scale = Regression().squared_error_scale(images)
    assert scale == pytest.approx(60 / math.sqrt(3))
    assert box.expected_extent(images) == box.expected_extent(images, error_scale=scale)
    assert box.expected_extent(images) < box.expected_extent(images, error_scale=2 * scale)
    assert box.expected_extent(images, error_scale=math.inf) is None


def test_of_narrow_rotations_asked_for_in_radians_the_extent_is_three_lambda():
    images = Turned(Digits(), 90.0, asked=RotationTarget.ANGLE)
    box = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.02))
    assert box.expected_extent(images, error_scale=math.degrees(1)) == pytest.approx(math.degrees(0.06), abs=0.2)


def test_angles_that_are_normal():
    """The posterior of a normal angle seen through a narrow box is nearly uniform; a wide one leaves the prior."""
    losses = compute_angle_losses(180.0, 20.0, 1.0)
    assert losses[at(4.0)] == pytest.approx(4.0**2 / 3, rel=0.03)
    rng = np.random.default_rng(0)
    angles = 20 * rng.standard_normal(400_000)
    seen = np.round(angles + rng.uniform(-40, 40, len(angles))).astype(int) + 400
    counts = np.bincount(seen)
    means = np.bincount(seen, angles) / np.maximum(counts, 1)
    assert losses[at(40.0)] == pytest.approx(((angles - means[seen]) ** 2).mean(), rel=0.01)


@pytest.mark.parametrize(
    ("dataset", "task"),
    [
        (Turned(Digits(), 120.0, asked=RotationTarget.ANGLE), Regression()),
        (Turned(Digits(), std_degrees=57.3, asked=RotationTarget.ANGLE), Regression()),
        (Turned(Sprites(), 60.0, asked=RotationTarget.ANGLE), Regression()),
        (Turned(Digits(), 60.0), Classification()),
        (Turned(Digits(), 60.0, asked=RotationTarget.ANGLE), Classification()),
        (Sectors(Turned(Digits(), 20.0), 2, 45.0), Classification()),
        (Sectors(TurnedPair(), 2, 45.0), Classification()),
    ],
    ids=str,
)
def test_where_the_angle_cannot_be_read_off_the_image_there_is_no_oracle(dataset, task):
    box = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.05))
    scale = task.squared_error_scale(dataset)
    assert box.expected_extent(dataset, error_scale=scale) is None
    assert box.describe_risk(dataset, error_scale=scale) is None


def test_risks_of_caps_budgets_and_angles():
    capped = LearnedAugmentation((RotationGenerator(start=9.0, cap=80.0),), NormRegulariser(0.3))
    told = capped.describe_risk(Sprites(2, 45.0))
    assert told.startswith("Nothing but its cap will hold the learned rotation on Sprites: with weight=0.3 and start=9")
    assert "it grows to 80 degrees, but the labels allow 45." in told
    assert replace(capped, generators=(RotationGenerator(start=9.0, cap=30.0),)).describe_risk(Sprites()) is None
    poor = replace(capped, regulariser=BudgetRegulariser(budget=0.05))
    assert "even without any rotation its loss is at least 0.349 nats" in poor.describe_risk(Sprites(), 0.1)
    images = Turned(Digits(), 60.0, asked=RotationTarget.ANGLE)
    assert "the labels allow 0." in capped.describe_risk(images, error_scale=math.degrees(1))


def test_a_weight_that_nothing_holds_is_told_with_the_largest_that_something_does():
    rotation = LearnedAugmentation((RotationGenerator(start=9.0),), NormRegulariser(0.3))
    told = rotation.describe_risk(Sprites(2, 45.0))
    assert told is not None
    assert told.startswith("Nothing will hold the learned rotation on Sprites: with weight=0.3 and start=9 it grows to")
    assert told.endswith("but the labels allow 45. A NormRegulariser holds from a small start up to weight=0.244.")
    wide = replace(rotation, generators=(RotationGenerator(start=172.0),), regulariser=NormRegulariser(0.05))
    assert "start=172 it grows" in (wide.describe_risk(Sprites(2, 45.0)) or "")
    held = replace(rotation, regulariser=NormRegulariser(0.2))
    for augmentation, dataset in ((held, Sprites(2, 45.0)), (rotation, Sprites(1, 45.0)), (rotation, Digits())):
        assert augmentation.describe_risk(dataset) is None
    assert NoAugmentation().describe_risk(Sprites()) is None


def test_a_budget_affords_what_costs_no_more():
    losses = compute_bayes_losses(2, 45.0)
    for budget in (0.01, 0.05, 0.3):
        extent = find_affordable_extent(compute_bayes_losses(2, 45.0), budget)
        assert losses[at(extent)] <= budget < losses[at(extent) + 1]
    assert (
        find_affordable_extent(compute_bayes_losses(2, 45.0), math.log(2))
        == find_affordable_extent(compute_bayes_losses(1, 45.0), 0.01)
        == 180
    )
    assert find_affordable_extent(compute_bayes_losses(2, 90.0), 1e-9) == EXTENTS[0]


def test_adaptive_regularisers():
    rotation = LearnedAugmentation((RotationGenerator(start=9.0),), BudgetRegulariser(budget=0.05))
    assert rotation.expected_extent(Sprites(2, 45.0)) == find_affordable_extent(compute_bayes_losses(2, 45.0), 0.05)
    assert rotation.describe_risk(Sprites(2, 45.0)) is None
    told = replace(rotation, regulariser=BudgetRegulariser(budget=0.7)).describe_risk(Sprites(2, 45.0))
    assert told is not None
    assert told.endswith("loss is at most 0.693 nats, and budget=0.7 allows that. Use a smaller budget, such as 0.069.")
    assert replace(rotation, regulariser=BandRegulariser()).expected_extent(Sprites(2, 45.0)) is None
