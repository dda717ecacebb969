"""The correlation measures as specs, and their values against a naive second implementation.

Matched channels: exact for group convolutions on images that were not fitted, and less for plain ones.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from equistudy.groups.finite import ChannelAction, CyclicGroup
from equistudy.groups.translation import Translation
from equistudy.measures.correlation import BetweenCorrelation, MatchedCorrelation, TotalCorrelation, WithinCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.measuring.families import Matching


def test_values_agree_with_a_naive_implementation(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    # Two windows by hand, both feature maps kept, numpy.corrcoef; stride 2, shift by 4 pixels to the right.
    network, shift, erosion = convolutions((1, 2), "zeros"), 4, 2
    group = Translation(max_pixels=shift, pixels=(shift,))
    measures = [WithinCorrelation(group, erosion), BetweenCorrelation(group, erosion), TotalCorrelation(group, erosion)]
    rows = [row for row in measure_all(measures, subject(network, smooth_images)).rows if row.element == "dx=4"]
    with torch.no_grad():
        x = (smooth_images - 0.5) / 0.25
        b, a = network(x[..., 4:, 4:]).numpy(), network(x[..., 4:, :-4]).numpy()  # y has a shift among the elements too
    a, b = a[..., 2:-2, 4:-2], b[..., 2:-2, 2:-4]
    follow = np.roll(b.reshape(2, 32, *b.shape[1:]), -1, axis=1).reshape(b.shape)
    for row, (one, other, next_one) in zip(rows, ((a, b, follow),) * 3, strict=True):
        assert row.value == pytest.approx(_naive(row.measure, one, other), abs=1e-10)
        assert row.floor == pytest.approx(_naive(row.measure, one, next_one), abs=1e-10)


def _naive(name: str, a: np.ndarray, b: np.ndarray) -> float:
    if name == "between_correlation":
        a, b = a.mean(axis=(2, 3), keepdims=True), b.mean(axis=(2, 3), keepdims=True)
    if name == "within_correlation":
        a, b = a - a.mean(axis=(2, 3), keepdims=True), b - b.mean(axis=(2, 3), keepdims=True)
    pairs = zip(np.moveaxis(a, 1, 0).reshape(6, -1), np.moveaxis(b, 1, 0).reshape(6, -1), strict=True)
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in pairs if x.std() > 1e-9]))


def test_ids_name_measure_group_and_erosion() -> None:
    group = Translation(max_pixels=2)
    measures = [WithinCorrelation(group), BetweenCorrelation(group), WithinCorrelation(group, erosion=2)]
    measures.append(WithinCorrelation(Translation(max_pixels=3)))
    assert len({measure.id for measure in measures}) == 4
    assert WithinCorrelation(Translation(max_pixels=2)).id == measures[0].id


def test_negative_erosion_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0, got erosion=-1"):
        WithinCorrelation(Translation(), erosion=-1)


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
