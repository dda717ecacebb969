"""Accuracy: counted, with Wilson's interval.

Accuracy around the circle: a spot whose quadrant is known at every angle, and networks that ignore quarter turns.
"""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from equistudy.exactness.judging import is_network_invariant
from equistudy.groups.finite import CyclicGroup, FiniteGroup
from equistudy.measures.accuracy import REPEATED_CAVEAT, Accuracy, AccuracyPerAngle, Surround
from equistudy.measuring.intervals import wilson_interval
from equistudy.measuring.measure import Measurement, Skipped, Subject
from equistudy.models.group_cnn import GroupCNN


def subject(num_images: int, **fields: Any) -> Subject:
    """The brightest of three pixels is the class the network gives; every fourth label differs."""
    classes = torch.arange(num_images) % 3
    images = torch.zeros(num_images, 1, 1, 3)
    images[torch.arange(num_images), 0, 0, classes] = 1
    targets = torch.where(torch.arange(num_images) % 4 == 0, (classes + 1) % 3, classes)
    made = Subject(nn.Flatten(), {"pixels": "", "logits": ""}, images, targets, (0.5,), (0.1,), None, None, 0)
    return made._replace(**fields)


@pytest.mark.parametrize("num_images", [4, 300])
def test_correct_answers_are_counted(num_images: int) -> None:
    (row,), skipped = Accuracy().measure(subject(num_images))
    assert skipped == []
    assert row.value == 0.75
    assert (row.low, row.high) == wilson_interval(3 * num_images // 4, num_images)
    assert (row.stage, row.depth, row.images) == ("logits", 1.0, num_images)
    assert (row.group, row.element, row.magnitude, row.stride) == (None, None, None, None)


def test_a_constant_network_is_right_by_chance_alone() -> None:
    class Constant(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).expand(len(images), 3)

    (row,), _ = Accuracy().measure(subject(300, network=Constant()))
    assert row.value == pytest.approx(1 / 3, abs=0.01)


def test_images_without_labels_have_no_accuracy() -> None:
    result = Accuracy().measure(subject(4, targets=None))
    assert result == ([], [Skipped("accuracy", "logits", None, "the images have no labels")])


SIZE, RADIUS = 31, 9.0
P4 = CyclicGroup(4)


class Quadrants(nn.Module):
    """The light in each quadrant, counter-clockwise from the upper right one; all that is given is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.given.append(images)
        half = images.shape[-1] // 2
        upper, lower = images[..., :half, :], images[..., -half:, :]
        parts = (upper[..., -half:], upper[..., :half], lower[..., :half], lower[..., -half:])
        return torch.stack([part.sum(dim=(1, 2, 3)) for part in parts], dim=1)


def spots(degrees: torch.Tensor) -> torch.Tensor:
    """Images of a soft spot in each direction, counted counter-clockwise from the right."""
    radians = torch.deg2rad(degrees)[:, None, None]
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    x, y = axis, -axis[:, None]
    distance = (x - RADIUS * radians.cos()).square() + (y - RADIUS * radians.sin()).square()
    return torch.exp(-distance / 2)[:, None]


def build_oriented_subject(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor | None, **fields: Any
) -> Subject:
    made = Subject(network, {"logits": ""}, images, targets, (0.5,), (0.25,), 0.0, None, 0)
    return made._replace(**fields)


def of_group(group: FiniteGroup | None, size: int) -> Subject:
    torch.manual_seed(0)
    network = GroupCNN(3, group, 3, last_padded=True).build((1, size, size), 4).eval()
    images = torch.rand(40, 1, size, size)
    with torch.no_grad():
        logits = network((images - 0.5) / 0.25)
        network.classifier.bias -= logits.mean(dim=0)  # else all images get one class
    asked = partial(is_network_invariant, network, size, 1)
    return build_oriented_subject(network, images, (logits - logits.mean(dim=0)).argmax(dim=1), invariant=asked)


def values(rows: list[Measurement]) -> list[float]:
    return [row.value for row in rows]


def test_a_spot_is_found_where_the_turn_takes_it() -> None:
    degrees = torch.linspace(1.7, 358.3, 50)
    quadrants = degrees.div(90).long()
    measure = AccuracyPerAngle(num_angles=12)
    rows, skipped = measure.measure(build_oriented_subject(Quadrants(), spots(degrees), quadrants))
    assert skipped == []
    expected = []
    for angle in range(0, 360, 30):
        moved = (degrees + angle) % 360
        expected.append(int((moved.div(90).long() == quadrants).sum()) / 50)
    assert values(rows) == expected
    assert [row.element for row in rows] == [f"{angle} deg" for angle in range(0, 360, 30)]
    assert [row.magnitude for row in rows] == list(measure.degrees)
    assert {row.no_motion for row in rows} == {1.0}
    assert (rows[1].low, rows[1].high) == wilson_interval(round(50 * rows[1].value), 50)
    assert {(row.stage, row.images, row.note, row.stride) for row in rows} == {("logits", 50, None, None)}


@pytest.mark.parametrize("group", [P4, CyclicGroup(2), None], ids=str)
@pytest.mark.parametrize("size", [8, 9])
def test_an_exact_network_is_measured_in_the_first_quarter(group: FiniteGroup | None, size: int) -> None:
    """A quarter of the work gives the same rows; where nothing is exact, or a plain network, all of it is done."""
    seen, calls = of_group(group, size), []
    seen.network.register_forward_hook(lambda module, *_: calls.append(1) if module is seen.network else None)
    rows, _ = AccuracyPerAngle(8).measure(seen)
    exact = group == P4 and size == 8
    assert len(calls) == (2 if exact else 8)
    assert [row.note for row in rows] == [None] * 2 + ([REPEATED_CAVEAT] * 6 if exact else [None] * 6)
    again, _ = AccuracyPerAngle(8).measure(seen._replace(invariant=None))
    assert values(again) == values(rows)
    assert exact == (values(rows)[::2] == [1.0] * 4)


@pytest.mark.parametrize(
    ("surround", "corner"), [(Surround.BACKGROUND, -2.0), (Surround.DISK, -2.0), (Surround.MEAN, 0.0)]
)
def test_what_comes_in_at_the_corners(surround: Surround, corner: float) -> None:
    """White images, normalised: black is (0 - 0.5) / 0.25 = -2 and the mean 0."""
    network = Quadrants()
    AccuracyPerAngle(8, surround).measure(
        build_oriented_subject(network, torch.ones(4, 1, 9, 9), torch.zeros(4).long())
    )
    still, turned = network.given[0], network.given[4]  # the quarter turns of 0 degrees are first
    assert turned[0, 0, 0, 0].item() == pytest.approx(corner)
    assert turned[0, 0, 4, 4].item() == pytest.approx(2.0)
    assert still[0, 0, 0, 0].item() == (corner if surround is Surround.DISK else 2.0)


def test_a_rectangle_is_cut_to_its_central_square() -> None:
    network = Quadrants()
    AccuracyPerAngle(4).measure(build_oriented_subject(network, torch.rand(2, 1, 8, 12), torch.zeros(2).long()))
    assert {given.shape for given in network.given} == {(2, 1, 8, 8)}


def test_images_without_labels_have_no_accuracy_around_the_circle() -> None:
    result = AccuracyPerAngle().measure(build_oriented_subject(Quadrants(), torch.rand(2, 1, 8, 8), None))
    assert result == ([], [Skipped("accuracy_per_angle", "logits", None, "the images have no labels")])


@pytest.mark.parametrize(("wrong", "nearest"), [(0, "4, 8"), (35, "32, 36")])
def test_quarter_turns_are_among_the_angles(wrong: int, nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"must be a multiple of 4.*got num_angles={wrong}. Nearest: {nearest}"):
        AccuracyPerAngle(wrong)
