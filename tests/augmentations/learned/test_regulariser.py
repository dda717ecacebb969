"""The regularisers against their derivatives in closed form."""

import math

import pytest
import torch

from equistudy.augmentations.learned.regulariser import EntropyRegulariser, NormRegulariser


def push(regulariser, widths):
    """How hard each width is pushed outwards: minus the gradient."""
    widths = torch.tensor(widths, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(regulariser.penalty(widths), widths)
    return -gradient


def test_the_norm_shares_one_push_in_proportion_to_the_widths():
    torch.testing.assert_close(push(NormRegulariser(0.1), [3.0, 4.0]), 0.1 * torch.tensor([0.6, 0.8]).double())
    torch.testing.assert_close(push(NormRegulariser(0.1), [5.0]), torch.tensor([0.1]).double())


def test_the_entropy_pushes_each_width_by_itself():
    alone, together = push(EntropyRegulariser(0.1), [0.5]), push(EntropyRegulariser(0.1), [0.5, 40.0])
    torch.testing.assert_close(together, torch.tensor([0.2, 0.0025]).double())
    assert alone[0] == together[0]
    # - weight times the differential entropy of the uniform distribution on the box
    widths = torch.tensor([0.5, 2.0, 3.0])
    entropy = sum(torch.distributions.Uniform(0, width).entropy() for width in widths)
    torch.testing.assert_close(EntropyRegulariser(0.3).penalty(widths), -0.3 * entropy)


def test_weight_0_is_no_regulariser():
    for regulariser in (NormRegulariser(0.0), EntropyRegulariser(0.0)):
        assert push(regulariser, [0.5, 2.0]).abs().max() == 0


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_impossible_weight(bad):
    with pytest.raises(ValueError, match=r"weight is a finite number of at least 0, got weight=.*Use 0.01 to 0.1"):
        NormRegulariser(bad)
