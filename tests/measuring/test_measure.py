"""What a measure is: a spec that torch is not needed to name, and perfect on what is equivariant alone."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

import equistudy
from equistudy.groups.translation import Border, Translation
from equistudy.measures.accuracy import Accuracy, AccuracyPerAngle
from equistudy.measures.agreement import PeakSignalToNoise
from equistudy.measures.effective_dimension import EffectiveDimension
from equistudy.measures.selectivity import GoodfellowInvariance
from equistudy.measuring.engine import measure_all
from equistudy.measuring.measure import Measure, Skipped


def test_naming_measures_needs_no_torch() -> None:
    names = "correlation, agreement, consistency, selectivity, lie_derivative, accuracy, group_measure"
    code = (
        f"import sys; from equistudy.measures import {names}; from equistudy.groups.translation import Translation; "
        "correlation.WithinCorrelation(Translation()).id; "
        "assert not {'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_was_skipped_reads_as_a_sentence() -> None:
    assert str(Skipped("accuracy", "logits", None, "no labels")) == "accuracy of logits: no labels"
    assert str(Skipped("within", "stem", "dx=1", "too small")) == "within of stem at dx=1: too small"


def public_measures() -> list[type[Measure]]:
    """Every measure that a study can name, less the one that looks at the loss."""
    found = [getattr(equistudy, name) for name in equistudy.__all__]
    others = (Measure, EffectiveDimension)
    return [word for word in found if isinstance(word, type) and issubclass(word, Measure) and word not in others]


class Weighed(nn.Module):
    """Weighs every pixel by its own random number."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(size, size, dtype=torch.float64))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.weights


def classifying(network: nn.Sequential, images: torch.Tensor) -> nn.Sequential:
    """The network with a last layer that gives the images more than one class."""
    with torch.no_grad():
        features = network[:-1]((images - 0.5) / 0.25)
        network[-1].bias.copy_(-network[-1].weight @ features.mean(dim=0))
    return network


@pytest.mark.parametrize("kind", public_measures())
def test_it_is_perfect_on_an_equivariant_network_and_not_on_one_that_treats_pixels_apart(
    kind: Any, subject: Any, smooth_images: torch.Tensor
) -> None:
    torch.manual_seed(0)
    pattern = smooth_images[..., :16, :16] - smooth_images[..., :16, :16].mean((2, 3), True)
    brightness = torch.randperm(64)[:, None, None, None] / 640
    images = 0.5 + 0.25 * (pattern / pattern.std() + brightness)
    layer, group = nn.Conv2d(1, 4, 1, bias=False), Translation(max_pixels=2, border=Border.CIRCULAR)
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    equivariant = classifying(nn.Sequential(layer, mean, nn.Linear(4, 3)).double(), images)
    apart = nn.Sequential(nn.Sequential(Weighed(16), layer), nn.Flatten(), nn.Linear(4 * 256, 3))
    with torch.no_grad():
        targets = equivariant((images - 0.5) / 0.25).argmax(dim=1)
    # turns between quarters bring in corners; 64 images are few for a firing rate of 0.01
    arguments = {AccuracyPerAngle: (4,), Accuracy: (), GoodfellowInvariance: (group, 0.1)}
    measure = kind(*arguments.get(kind, (group,)))
    networks, stages = (equivariant, classifying(apart.double(), images)), {"map": "0", "output": "2"}
    if kind is PeakSignalToNoise:  # of networks whose output is an image
        networks, stages = (equivariant[:1], apart[:1]), {"map": "0"}
    perfect, imperfect = (
        measure_all([measure], subject(network, images, **stages)._replace(targets=targets)).rows
        for network in networks
    )
    assert [(row.stage, row.element) for row in perfect] == [(row.stage, row.element) for row in imperfect] != []
    for row, other in zip(perfect, imperfect, strict=True):
        best = 0 if row.measure.endswith("_error") else 1 / getattr(measure, "firing_rate", 1)
        assert (
            row.value > 200 if row.measure.endswith("signal_to_noise") else row.value == pytest.approx(best, abs=1e-10)
        )
        assert abs(row.value - other.value) > 0.05, row.stage
