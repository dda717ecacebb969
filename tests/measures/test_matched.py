"""Matched channels: exact for group convolutions on images that were not fitted, and less for plain ones."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.finite import ChannelAction, CyclicGroup
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measures.matched import MatchedCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.measuring.families import Matching

GROUP = CyclicGroup()


def lifting(fields: int) -> nn.Sequential:
    """A convolution with each kernel in its four turns, side by side, and a ReLU."""
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 4 * fields, 3, padding=1, bias=False).double()
    kernels = layer.weight.data[::4]
    layer.weight.data = torch.stack([torch.rot90(kernels, turns, (2, 3)) for turns in range(4)], dim=1).flatten(0, 1)
    return nn.Sequential(layer, nn.ReLU())


def values(network: nn.Module, subject: Any, images: torch.Tensor, *measures: Any) -> list[list[float]]:
    rows = measure_all(measures, subject(network, images)).rows
    return [[row.value for row in rows if row.measure_id == measure.id] for measure in measures]


@pytest.mark.slow
def test_a_lifting_convolution_is_equivariant_up_to_its_channels(subject: Any, smooth_images: Any) -> None:
    fixed = WithinCorrelation(GROUP)
    regular = WithinCorrelation(CyclicGroup(channel_action=ChannelAction.REGULAR))
    matched, fitted = (MatchedCorrelation(GROUP, matching=matching) for matching in Matching)
    found = values(lifting(3), subject, smooth_images, fixed, regular, matched, fitted)
    assert max(found[0]) < 0.5
    for exact in found[1:3]:
        assert exact == pytest.approx([1, 1, 1], abs=1e-12)
    assert found[3] == pytest.approx([1, 1, 1], abs=1e-4)


@pytest.mark.slow
def test_a_plain_convolution_is_less_so_and_linear_maps_find_more(
    subject: Any, smooth_images: Any, convolutions: Any
) -> None:
    measures = [MatchedCorrelation(GROUP, matching=matching) for matching in Matching]
    subject_of = subject(convolutions((1, 1), "zeros"), smooth_images)
    rows = measure_all([WithinCorrelation(GROUP), *measures], subject_of._replace(untrained=subject_of.network)).rows
    by_measure = {row.measure_id: [] for row in rows}
    for row in rows:
        by_measure[row.measure_id].append(row)
    for turn in range(3):
        permuted, linear = (by_measure[measure.id][turn] for measure in measures)
        assert permuted.value < linear.value < 0.999
        assert (linear.images, permuted.images) == (32, 32)
        assert linear.untrained == pytest.approx(linear.value)
        assert linear.floor < linear.value / 2
        assert linear.low is not None
        assert linear.low < linear.value < linear.high


def test_channels_that_are_no_fields_are_absent_with_the_reason(subject: Any, smooth_images: Any) -> None:
    group = CyclicGroup(channel_action=ChannelAction.REGULAR)
    network = nn.Sequential(*lifting(2), nn.Conv2d(8, 6, 1).double())
    measured = subject(network, smooth_images[:4], lifted="1", plain="2")
    result = measure_all([WithinCorrelation(group)], measured)
    assert {row.stage for row in result.rows} == {"lifted"}
    (skipped,) = result.skipped
    assert str(skipped) == ("within_correlation of plain: its 6 channels do not form regular fields of 4 channels each")
