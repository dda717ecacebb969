"""Rows of matched correlations: fitted on one half of the images, measured on the other."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup
from equistudy.measures.correlation import MatchedCorrelation
from equistudy.measuring.engine import measure_all
from equistudy.measuring.families import Matching


def test_what_is_fitted_to_one_half_is_measured_on_the_other(subject: Any) -> None:
    # noise, made of the images: with more channels than cells a linear map fits anything, and predicts nothing
    class Noise(nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return (1e6 * maps).sin()

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 200, 3, padding=1).double(), Noise())
    images = torch.rand(6, 1, 8, 8, dtype=torch.float64)
    rows = measure_all([MatchedCorrelation(CyclicGroup(), 0, Matching.LINEAR)], subject(network, images)).rows
    found = [row.value for row in rows]
    assert len(found) == 3
    assert max(map(abs, found)) < 0.3


def test_two_images_are_too_few_to_fit_and_to_measure(subject: Any, smooth_images: Any) -> None:
    with pytest.raises(ValueError, match=r"needs at least 4 images.*got 3"):
        measure_all(
            [MatchedCorrelation(CyclicGroup())], subject(nn.Sequential(nn.Conv2d(1, 4, 3).double()), smooth_images[:3])
        )
