"""Consistency: exactly 1 for an invariant network, counted by hand for another, and beside its floors."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.translation import Border, Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.agreement import AbsoluteError
from equistudy.measures.consistency import AccuracyUnder, ShiftConsistency, TopOneChange
from equistudy.measures.correlation import BetweenCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.measuring.intervals import wilson_interval

CIRCLE = Translation(max_pixels=3, border=Border.CIRCULAR)
FAMILY = (ShiftConsistency, TopOneChange, AccuracyUnder)


@pytest.fixture
def centred(smooth_images: torch.Tensor) -> torch.Tensor:
    """Images of one brightness: which class they are is a matter of their pattern."""
    return (smooth_images - smooth_images.mean((2, 3), True)) * 4 + 0.5


def classifier(layers: nn.Sequential, images: torch.Tensor) -> nn.Sequential:
    """The network, pooled, with a last layer that tells the images apart."""
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4).double())
    with torch.no_grad():
        features = network[:-1]((images - 0.5) / 0.25)
        network[-1].weight.div_(features.std(dim=0).clamp(min=1e-9))
        network[-1].bias.copy_(-network[-1].weight @ features.mean(dim=0))
    return network


def test_a_dense_circular_network_is_consistent(convolutions: Any, subject: Any, centred: torch.Tensor) -> None:
    measured = subject(classifier(convolutions((1, 1, 1), "circular"), centred), centred)
    rows = measure_all([ShiftConsistency(CIRCLE), TopOneChange(CIRCLE), BetweenCorrelation(CIRCLE)], measured).rows
    assert len(rows) == 18
    for row in rows:
        if row.measure == "between_correlation":
            assert row.value > 1 - 1e-9
            continue
        assert row.value == (1 if row.measure == "shift_consistency" else 0)
        assert (row.low, row.high) == wilson_interval(round(64 * row.value), 64)
        assert row.floor is not None
        assert 0.1 < row.floor < 0.9
        assert (row.stage, row.depth, row.stride, row.cells) == ("last", 1, None, None)
        assert "different images" in str(row.note)


def test_a_strided_network_is_not(convolutions: Any, subject: Any, centred: torch.Tensor) -> None:
    measured = subject(classifier(convolutions((2, 2, 2), "circular"), centred), centred)
    rows = measure_all([kind(CIRCLE) for kind in FAMILY], measured).rows
    values = {(row.measure, row.element): row.value for row in rows}
    assert len(values) == 18
    for (name, element), value in values.items():
        if name == "shift_consistency":
            assert value < 0.9
            assert values["top_one_change_error", element] == pytest.approx(1 - value)
        assert name != "accuracy_under" or value < 0.7


def test_counts_are_those_of_a_loop(convolutions: Any, subject: Any, centred: torch.Tensor) -> None:
    network = classifier(convolutions((2, 2), "zeros"), centred)
    measured = subject(network, centred)._replace(untrained=nn.Sequential(*network))
    rows = measure_all([kind(Translation(max_pixels=2, pixels=(2,))) for kind in FAMILY], measured).rows
    with torch.no_grad():
        x = (centred - 0.5) / 0.25
        still, moved = network(x[..., 2:, 2:]).argmax(1), network(x[..., 2:, :-2]).argmax(1)
    found = {row.measure: row for row in rows if row.element == "dx=2"}
    right = moved == measured.targets
    for name, hits in (("shift_consistency", moved == still), ("top_one_change_error", moved != still)):
        assert found[name].value == hits.double().mean().item()
        assert found[name].untrained == found[name].value
        following = (moved == still.roll(-1)) if name == "shift_consistency" else (moved != still.roll(-1))
        assert found[name].floor == following.double().mean().item()
    assert found["accuracy_under"].value == right.double().mean().item()
    assert found["accuracy_under"].no_motion == (still == measured.targets).double().mean().item()


def test_the_accuracy_on_unmoved_images_is_the_accuracy(convolutions: Any, subject: Any, centred: torch.Tensor) -> None:
    measured = subject(classifier(convolutions((2,), "zeros"), centred), centred)
    *moved, plain = measure_all([AccuracyUnder(CIRCLE), Accuracy()], measured).rows[::-1]
    assert {row.no_motion for row in moved} == {plain.value}


def test_a_constant_classifier_is_consistent_by_its_floor_too(subject: Any, centred: torch.Tensor) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3).double())
    nn.init.zeros_(network[2].weight)
    for row in measure_all([ShiftConsistency(CIRCLE)], subject(network, centred)).rows:
        assert (row.value, row.floor) == (1, 1)
        assert "1.00 of pairs of different images get one class too" in str(row.note)


def test_shards_do_not_change_a_count(convolutions: Any, subject: Any, centred: torch.Tensor) -> None:
    measured = subject(classifier(convolutions((2, 2), "zeros"), centred), centred)
    measures = [kind(Translation(max_pixels=1)) for kind in FAMILY]
    assert measure_all(measures, measured, shard_size=64) == measure_all(measures, measured, shard_size=7)


def test_what_cannot_be_counted_is_listed(convolutions: Any, subject: Any, centred: torch.Tensor) -> None:
    group = Translation(max_pixels=1)
    network = classifier(convolutions((2,), "zeros"), centred)
    (skipped,) = measure_all([AccuracyUnder(group)], subject(network, centred)._replace(targets=None)).skipped
    assert str(skipped) == "accuracy_under of last: the images have no labels"
    (skipped,) = measure_all([ShiftConsistency(group)], subject(convolutions((1,), "zeros"), centred)).skipped
    assert "its output is a map of 47 x 47, not a score for each class" in str(skipped)
    nn.init.constant_(network[-1].bias, torch.nan)
    result = measure_all([TopOneChange(group), AbsoluteError(group)], subject(network, centred))
    assert result.rows == []
    assert {skipped.reason for skipped in result.skipped} == {
        "its outputs are not finite",
        "its features are not finite",
    }


def test_a_network_that_gives_no_tensor_has_no_answers(subject: Any, centred: torch.Tensor) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(1, 3, 3).double()

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.last(images).mean((2, 3))}

    measured = subject(Named(), centred, last="last")
    (skipped,) = measure_all([ShiftConsistency(Translation(max_pixels=1))], measured).skipped
    assert str(skipped) == "shift_consistency of output: its output is a dict, not a tensor"
