"""Scales: there and back, and finite where the best value lies at their end."""

import pytest
import torch

from equistudy.measuring.scale import Scale


@pytest.mark.parametrize("scale", Scale)
def test_there_and_back(scale: Scale) -> None:
    values = torch.tensor([0.01, 0.4, 0.95], dtype=torch.float64)
    torch.testing.assert_close(scale.invert(scale.transform(values)), values, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("scale", "perfect"), [(Scale.FISHER, 1.0), (Scale.FISHER, -1.0), (Scale.LOG, 0.0)])
def test_a_perfect_value_is_finite(scale: Scale, perfect: float) -> None:
    scaled = scale.transform(torch.tensor(perfect, dtype=torch.float64))
    assert scaled.isfinite()
    assert scale.invert(scaled).item() == pytest.approx(perfect, abs=1.1e-6)
