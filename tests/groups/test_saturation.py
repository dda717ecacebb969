"""Gains form a group, and act on values alone."""

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.groups.saturation import Saturation


def test_gains_multiply_and_have_inverses() -> None:
    group, rng = Saturation(), torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 5, 6, generator=rng, dtype=torch.float64)
    first, second = group.sample(4, rng), group.sample(4, rng)
    both = group.act(images, group.compose(first, second))
    torch.testing.assert_close(both, group.act(group.act(images, second), first), rtol=1e-6, atol=0)
    torch.testing.assert_close(group.act(both, group.inverse(group.compose(first, second))), images)
    torch.testing.assert_close(both / images, (first + second).double().exp()[..., None, None].expand_as(images))


def test_it_has_no_elements_and_no_views() -> None:
    assert Saturation().elements() == ()
    assert Saturation().obstacle(Grid(3, 5, 7, 20, 40)) is None
    with pytest.raises(ValueError, match=r"need a group that moves content, got Saturation\(\). Use it in LieDeriv"):
        Saturation().views(torch.zeros(1, 1, 4, 4), None)
