"""Pooling over fields, low-pass filters, and heads."""

import pytest
import torch
from torch import nn

from equistudy.networks.choices import GROUP_HEADS, Head
from equistudy.networks.equivariant.pooling import BlurPool, CosetPool, Reduction, build_head


def turned(features: torch.Tensor) -> torch.Tensor:
    """A quarter turn of regular P4 features."""
    return torch.rot90(features, 1, dims=(2, 3)).unflatten(1, (-1, 4)).roll(1, 2).flatten(1, 2)


@pytest.mark.parametrize("reduction", Reduction)
def test_coset_pool_takes_one_value_of_each_field(reduction: Reduction):
    features = torch.randn(2, 12, 3, 3, dtype=torch.float64)
    pool = CosetPool(4, reduction)
    fields = [features[:, 4 * field : 4 * field + 4] for field in range(3)]
    expected = [field.amax(1) if reduction is Reduction.MAX else field.mean(1) for field in fields]
    assert torch.equal(pool(features), torch.stack(expected, dim=1))
    assert torch.equal(pool(features[..., 0, 0]), torch.stack(expected, dim=1)[..., 0, 0])
    assert torch.allclose(pool(turned(features)), torch.rot90(pool(features), 1, dims=(2, 3)))
    assert reduction.value in repr(pool)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2), BlurPool()], ids=repr)
@pytest.mark.parametrize("size", [8, 9])
def test_pools_over_positions_treat_channels_alike(pool: nn.Module, size: int):
    """Exactly equivariant where their windows mirror: 2 x 2 at even sizes, 3 x 3 with stride 2 at odd ones."""
    features = torch.randn(2, 12, size, size, dtype=torch.float64)
    deviation = (pool(turned(features)) - turned(pool(features))).abs().max().item()
    even = isinstance(pool, nn.MaxPool2d) and pool.kernel_size == 2
    assert deviation < 1e-15 if even == (size % 2 == 0) else deviation > 1e-2


def test_blur_pool_is_a_binomial_filter():
    """It keeps constants inside, and removes the highest frequency."""
    waves = torch.tensor([1.0, -1.0]).repeat(5)[:9].expand(1, 2, 9, 9)
    assert torch.equal(BlurPool()(torch.ones(1, 2, 9, 9))[:, :, 1:-1, 1:-1], torch.ones(1, 2, 3, 3))
    assert BlurPool()(waves)[:, :, :, 1:-1].abs().max() == 0


@pytest.mark.parametrize("kind", GROUP_HEADS)
def test_heads(kind: Head):
    features = torch.randn(2, 12, 4, 4, dtype=torch.float64)
    pool, fields = build_head(kind, 4), features.unflatten(1, (3, 4))
    expected = {
        Head.MEAN_OF_MAXIMA: fields.amax(2).mean((2, 3)),
        Head.MAXIMUM_OF_MEANS: fields.mean((3, 4)).amax(2),
        Head.MEAN: fields.mean((2, 3, 4)),
        Head.ORIENTED: features.mean((2, 3)),
    }[kind]
    torch.testing.assert_close(pool(features), expected, rtol=0, atol=1e-15)
    moves = (pool(turned(features)) - pool(features)).abs().max()
    assert moves > 0.1 if kind is Head.ORIENTED else moves < 1e-15
    torch.testing.assert_close(build_head(kind, 1)(features), features.mean((2, 3)), rtol=0, atol=1e-15)


def test_a_blur_built_without_numbers_is_as_good_as_any():
    features = torch.randn(1, 3, 7, 7)
    with torch.device("meta"):
        emptied, untouched = BlurPool(), BlurPool()
    for layer in (emptied.to_empty(device="cpu"), untouched):
        assert torch.equal(layer(features), BlurPool()(features))
