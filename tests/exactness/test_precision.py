"""Everything in float64, whatever a network casts to."""

import pytest
import torch
from torch import nn

from equistudy.exactness.precision import Float64Mode, run_in_float64


def _multiply(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x.reshape(1, 1) @ torch.ones(1, 1)).reshape(())


THIRD = torch.tensor(1 / 3, dtype=torch.float64)
CASTS = {
    "float": lambda x: x.float(),
    "half": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "to": lambda x: x.to(torch.float16),
    "to with a keyword": lambda x: x.to(dtype=torch.float32),
    "type": lambda x: x.type(torch.float16),
    "type_as": lambda x: x.type_as(torch.zeros(1, dtype=torch.float16)),
    "autocast": _multiply,
    "a constant": lambda x: x * torch.ones((), dtype=torch.float32),
}


@pytest.mark.parametrize("name", CASTS)
def test_casts_lose_nothing(name: str) -> None:
    with run_in_float64(Float64Mode()):
        result = CASTS[name](THIRD)
    assert result.dtype is torch.float64
    assert float(result) == 1 / 3


def test_new_tensors_are_exact_and_the_usual_type_comes_back() -> None:
    before = torch.get_default_dtype()
    with run_in_float64(Float64Mode()):
        steps = torch.linspace(-1, 1, 7)
        whole = torch.arange(3)
    torch.testing.assert_close(steps, -steps.flip(0), rtol=0, atol=1e-15)
    assert (steps.dtype, whole.dtype) == (torch.float64, torch.int64)
    assert torch.get_default_dtype() is before


def test_layers_in_float32_meet_features_in_float64() -> None:
    layer, features = nn.Linear(3, 2), torch.randn(4, 3, dtype=torch.float64)
    with run_in_float64(Float64Mode()):
        found = layer(features)
        features.add_(torch.ones(3, dtype=torch.float32))
    expected = (features - 1) @ layer.weight.double().T + layer.bias.double()
    torch.testing.assert_close(found, expected.detach())
