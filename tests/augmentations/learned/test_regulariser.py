"""The regularisers against their derivatives in closed form."""

import math

import pytest
import torch

from equistudy.augmentations.learned.regulariser import (
    BandRegulariser,
    BudgetRegulariser,
    EntropyRegulariser,
    NormRegulariser,
)


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
    with pytest.raises(ValueError, match=r"weight must be finite and not negative, got weight=.*Use 0.01 to 0.1"):
        NormRegulariser(bad)


def steps(regulariser, width, loss, count=1):
    """Lambda after so many steps at one width and one loss."""
    weight = torch.tensor(regulariser.weight)
    for _ in range(count):
        weight = regulariser.adapt_weight(weight, torch.tensor([width]), torch.tensor(loss))
    return weight.item()


def test_lambda_stays_where_it_does_not_adapt():
    for regulariser in (NormRegulariser(), EntropyRegulariser()):
        assert not regulariser.adaptive
        assert steps(regulariser, 1.0, 5.0) == pytest.approx(0.05)


def test_a_budget_pays_more_while_the_loss_is_within_it():
    budget = BudgetRegulariser(budget=0.2, rate=0.1)
    assert budget.adaptive
    assert steps(budget, 1.0, 0.2) == pytest.approx(0.05)  # the constraint holds with equality: lambda rests
    assert steps(budget, 1.0, 0.0) == pytest.approx(0.05 * math.exp(0.1))
    assert steps(budget, 1.0, 0.1) == pytest.approx(0.05 * math.exp(0.05))
    assert steps(budget, 1.0, 0.4) == pytest.approx(0.05 * math.exp(-0.1))
    assert steps(budget, 1.0, 100.0) == pytest.approx(0.05 * math.exp(-0.3))
    assert [steps(budget, 1.0, loss, 1000) for loss in (0.0, 9.0)] == pytest.approx([50.0, 5e-5])  # within a range


def test_a_band_pays_more_below_it_and_less_above():
    band = BandRegulariser(low=0.0, high=1.0, factor=1.2)
    assert steps(band, 0.5, 0.0) == pytest.approx(0.05 * 1.2)
    assert steps(band, 2.0, 0.0) == pytest.approx(0.05)
    assert steps(band, 3.0, 0.0, 2) == pytest.approx(0.05 / 1.44)
    penalty = band.penalty(torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(penalty, EntropyRegulariser(0.05).penalty(torch.tensor([0.5, 2.0])))


@pytest.mark.parametrize("regulariser", [BudgetRegulariser, BandRegulariser])
def test_a_lambda_that_adapts_begins_positive(regulariser):
    with pytest.raises(ValueError, match=r"is multiplied, so it must start positive, got weight=0\.0\. Use 0\.05"):
        regulariser(0.0)


@pytest.mark.parametrize(("name", "bad"), [("budget", 0.0), ("budget", math.nan), ("rate", -1.0)])
def test_impossible_budget(name, bad):
    with pytest.raises(ValueError, match=rf"rate of lambda must be positive and finite, got {name}=.*Use 0\.05"):
        BudgetRegulariser(**{name: bad})


def test_impossible_band():
    with pytest.raises(
        ValueError, match=r"low must be finite and less than high, got low=1.0, high=1.0\. A rotation of 30 to 60"
    ):
        BandRegulariser(low=1.0, high=1.0)
    with pytest.raises(ValueError, match=r"factor must be finite and above 1, got factor=1.0\. Use 1\.03"):
        BandRegulariser(factor=1.0)
