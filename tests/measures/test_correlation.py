"""The correlation measures as specs, and their values against a naive second implementation."""

from typing import Any

import numpy as np
import pytest
import torch

from equistudy.groups.translation import Translation
from equistudy.measures.correlation import BetweenCorrelation, TotalCorrelation, WithinCorrelation
from equistudy.measuring.engine import measure_all


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
