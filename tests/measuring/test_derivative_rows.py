"""Rows of the Lie derivatives: intervals and references, and what is absent with its reason."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.translation import Border, Translation
from equistudy.measures.lie_derivative import LieContribution, LieDerivative
from equistudy.measuring.engine import measure_all

CIRCLE = Translation(border=Border.CIRCULAR)


def convolution() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(1, 6, 3, padding=1, padding_mode="circular").double()


def test_rows_have_intervals_and_references_and_come_out_the_same_again(subject: Any, smooth_images: Any) -> None:
    measured = subject(nn.Sequential(convolution(), nn.GELU()), smooth_images[:40])
    measured = measured._replace(untrained=measured.network)
    rows = measure_all([LieDerivative(CIRCLE)], measured).rows
    assert rows == measure_all([LieDerivative(CIRCLE)], measured).rows
    for row in rows:
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.value < row.high
        assert row.untrained == row.value
        assert row.no_motion == pytest.approx(1, abs=0.2)
        assert str(row.note).startswith("40 images are few")
    for row in measure_all([LieDerivative(CIRCLE)], measured._replace(images=smooth_images[:8])).rows:
        assert (row.low, row.high) == (None, None)


def test_what_cannot_be_differentiated_is_absent_with_its_reason(subject: Any, smooth_images: Any) -> None:
    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(images: torch.Tensor) -> torch.Tensor:
            return images.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

    class Opaque(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return Custom.apply(images)

    result = measure_all([LieDerivative(CIRCLE)], subject(nn.Sequential(Opaque()), smooth_images[:4]))
    assert result.rows == []
    assert str(result.skipped[0]).startswith(
        "lie_derivative_error of last: an operation of the network has no forward-mode derivative"
    )
    few = subject(nn.Sequential(nn.AvgPool2d(10)), smooth_images[:4], last="0")
    (skipped,) = measure_all([LieDerivative(Translation())], few).skipped
    assert "its map of 4 x 4 cells is too small" in str(skipped)
    (skipped,) = measure_all(
        [LieContribution(CIRCLE)], subject(nn.Sequential(convolution()), smooth_images[:4])
    ).skipped
    assert skipped.reason == "the network's output is not a vector"


def test_constant_features_have_no_value(subject: Any, smooth_images: Any) -> None:
    layer = convolution()
    nn.init.zeros_(layer.weight)
    result = measure_all([LieDerivative(CIRCLE)], subject(nn.Sequential(layer), smooth_images[:4]))
    assert result.rows == []
    assert {skipped.reason for skipped in result.skipped} == {"its features do not vary"}
