"""Hessian-vector products and eigenvalues against the full Hessian of small networks in float64."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.nn.functional import cross_entropy

from equistudy.measuring.curvature import (
    compute_effective_dimension,
    find_eigenvalues,
    make_hessian_product,
    space_evenly,
)

# of torch's own Hessian, at its first use
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
SUM = partial(cross_entropy, reduction="sum")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3)).double()


def examples(count=12):
    images = torch.rand(count, 1, 5, 5, dtype=torch.float64, generator=rng(1))
    return images, torch.randint(3, (count,), generator=rng(2))


def full_hessian(network, images, targets):
    names, shapes = zip(*((name, p.shape) for name, p in network.named_parameters()), strict=True)
    flat = torch.cat([p.detach().flatten() for p in network.parameters()])

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        weights = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return cross_entropy(functional_call(network, weights, (images,)), targets)

    return hessian(loss)(flat)


def matrix(*eigenvalues):
    size = len(eigenvalues)
    rotation, _ = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=rng(3)))
    return rotation @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ rotation.T


@pytest.mark.parametrize("batch_size", [12, 5])
def test_products_are_those_with_the_full_hessian(batch_size):
    network, (images, targets) = small_network(), examples()
    batches = list(zip(images.split(batch_size), targets.split(batch_size), strict=True))
    product, size = make_hessian_product(network, SUM, batches)
    expected = full_hessian(network, images, targets)
    assert size == len(expected) == 77
    vectors = torch.randn(3, size, dtype=torch.float64, generator=rng())
    for vector in vectors:
        torch.testing.assert_close(product(vector), expected @ vector, rtol=1e-9, atol=1e-12)


def test_with_as_many_steps_as_weights_the_spectrum_is_exact():
    network, (images, targets) = small_network(), examples()
    product, size = make_hessian_product(network, SUM, [(images, targets)])
    expected = torch.linalg.eigvalsh(full_hessian(network, images, targets)).flip(0)
    found = find_eigenvalues(product, size, 1000, rng())
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    for z in (1e-3, 0.1, 10.0):
        positive = expected.clamp(min=0)
        assert compute_effective_dimension(found, z) == pytest.approx(
            float((positive / (positive + z)).sum()), rel=1e-7
        )


@pytest.mark.parametrize("steps", [1, 5, 20, 40])
def test_few_steps_give_lower_bounds_and_the_outermost_first(steps):
    network, (images, targets) = small_network(), examples()
    product, size = make_hessian_product(network, SUM, [(images, targets)])
    expected = torch.linalg.eigvalsh(full_hessian(network, images, targets)).flip(0)
    found = find_eigenvalues(product, size, steps, rng())
    assert len(found) == steps
    assert (found <= expected[:steps] + 1e-12).all()
    for z in (0.01, 1.0):
        assert compute_effective_dimension(found, z) <= compute_effective_dimension(expected, z) + 1e-12
    if steps >= 20:
        torch.testing.assert_close(found[:3], expected[:3], rtol=1e-8, atol=0)


@pytest.mark.parametrize(
    "eigenvalues",
    [(2.0,) * 6, (0.0,) * 5, (3.0, 3.0, 1.0, 1.0, 1.0, 0.0), (5.0, -5.0, 0.1, 0.1), (1e6, 1.0, 1e-3), (4.0,)],
)
def test_multiple_eigenvalues_are_found_as_often_as_they_are_there(eigenvalues):
    H = matrix(*eigenvalues)
    found = find_eigenvalues(lambda vector: H @ vector, len(H), len(H), rng())
    expected = torch.tensor(sorted(eigenvalues, reverse=True), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8 * max(1, *eigenvalues))


def test_no_eigenvalue_is_found_twice():
    """What Lanczos without orthogonalisation does once the largest have converged."""
    eigenvalues = [100.0, 50.0, *(0.5**index for index in range(200))]
    H = matrix(*eigenvalues)
    found = find_eigenvalues(lambda vector: H @ vector, len(H), 60, rng())
    assert ((found > 20).sum(), (found > 60).sum()) == (2, 1)


def test_negative_eigenvalues_count_as_nothing():
    assert compute_effective_dimension(torch.tensor([3.0, 1.0, -1.0, -7.0]), 1.0) == pytest.approx(0.75 + 0.5)


def test_what_the_loss_does_not_depend_on_is_left_out():
    network = small_network()
    network.unused = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    network.forward = lambda given: network[3](network[2](network[1](network[0](given))))
    network[0].bias.requires_grad_(False)
    assert make_hessian_product(network, SUM, [examples()])[1] == 75


def test_evenly_spaced_places():
    assert space_evenly(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert space_evenly(3, 5).tolist() == [0, 1, 2]
    assert len(space_evenly(50_000, 1000).unique()) == 1000
