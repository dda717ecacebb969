"""Channel maps against the permutation and the matrix that made the features."""

import torch

from equistudy.measuring.products import ChannelProducts, fit_linear_maps, fit_permutation_maps


def products(a: torch.Tensor, b: torch.Tensor) -> ChannelProducts:
    """Of rows of centred values, for one element."""
    a, b = (values - values.mean(dim=1, keepdim=True) for values in (a, b))
    return ChannelProducts((a * a).sum(1)[None], (a @ b.T)[None], (b @ b.T)[None])


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_permutation_is_found_whatever_the_gains() -> None:
    b, order = noise(7, 500), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    a = torch.arange(1.0, 8)[:, None] * b[order] + 0.5 * noise(7, 500).roll(1, 1)
    (found,) = fit_permutation_maps(products(a, b))
    assert torch.equal(found, torch.eye(7, dtype=torch.float64)[order])


def test_a_linear_map_is_found() -> None:
    b, matrix = noise(5, 400), noise(5, 5)
    (found,) = fit_linear_maps(products(matrix @ b, b))
    torch.testing.assert_close(found, matrix, rtol=0, atol=1e-5)


def test_dead_channels_disturb_no_map() -> None:
    b = noise(4, 300)
    b[2] = 0
    for maps in (fit_permutation_maps, fit_linear_maps):
        (found,) = maps(products(b[[1, 0, 2, 3]], b))
        assert found.isfinite().all()
        torch.testing.assert_close((found @ b), b[[1, 0, 2, 3]], rtol=0, atol=1e-4)
    assert fit_linear_maps(products(b * 0, b * 0)).abs().max() == 0
