"""The curvature of a training loss: Hessian-vector products and Lanczos eigenvalues."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

__all__ = ["compute_effective_dimension", "find_eigenvalues", "make_hessian_product", "space_evenly"]

Product = Callable[[Tensor], Tensor]
Batches = Sequence[tuple[Tensor, Tensor]]

NEGLIGIBLE = 1e-10  # of the largest entry of the tridiagonal matrix: the Krylov space is exhausted


def space_evenly(total: int, count: int) -> Int64[Tensor, " N"]:
    """The indices of `count` evenly spaced samples out of `total`, or of all if these are fewer."""
    chosen = min(count, total)
    return torch.arange(chosen) * total // max(chosen, 1)


def compute_effective_dimension(eigenvalues: Float[Tensor, " K"], z: float) -> float:
    """N_eff = sum_i lambda_i / (lambda_i + z): how many directions of the weights the data determines beyond z.

    Negative eigenvalues, along which the loss is not at a minimum, count as 0.
    """
    positive = eigenvalues.clamp(min=0)
    return float((positive / (positive + z)).sum())


def make_hessian_product(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Batches,
) -> tuple[Product, int]:
    """The Hessian-vector product of the mean loss with respect to the network's parameters, and their number.

    `loss` returns the sum over a batch. Parameters that need no gradient, or that do not affect the loss, such as
    half-extents in evaluation mode, are left out. The product is computed batch by batch, by differentiating the
    product of the gradient and the vector.
    """
    count = sum(len(inputs) for inputs, _ in batches)
    candidates = [parameter for parameter in network.parameters() if parameter.requires_grad]
    inputs, targets = batches[0]
    slopes = torch.autograd.grad(loss(network(inputs), targets), candidates, allow_unused=True)
    parameters = [p for p, slope in zip(candidates, slopes, strict=True) if slope is not None]
    sizes = [parameter.numel() for parameter in parameters]

    def multiply(vector: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        parts = [
            part.reshape(parameter.shape).to(parameter)
            for part, parameter in zip(vector.split(sizes), parameters, strict=True)
        ]
        total = torch.zeros_like(vector)
        for inputs, targets in batches:
            gradients = torch.autograd.grad(loss(network(inputs), targets), parameters, create_graph=True)
            slope = torch.stack([(g * part).sum() for g, part in zip(gradients, parts, strict=True)]).sum()
            found = torch.autograd.grad(slope, parameters, allow_unused=True, materialize_grads=True)
            total += torch.cat([each.flatten() for each in found]).to(total)
        return total / count

    return multiply, sum(sizes)


def find_eigenvalues(
    multiply: Product, size: int, steps: int, rng: torch.Generator, device: torch.device | str = "cpu"
) -> Float[Tensor, " K"]:
    """The Ritz values of a symmetric matrix after `steps` steps of Lanczos, the largest first.

    Each lies below the eigenvalue of its rank, so that sums of increasing functions over the positive ones are lower
    bounds; the outermost converge first, and with as many steps as rows all are exact. Vectors are orthogonalised
    against all previous ones, twice, in float64, so that none is found twice; when the Krylov space is exhausted, a new
    random vector starts another one, so that multiple eigenvalues are found with their multiplicity.
    """
    steps = min(steps, size)
    basis = torch.zeros(steps, size, dtype=torch.float64, device=device)
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    vector = _orthogonalise(_draw(size, rng, device), basis[:0])
    for step in range(steps):
        basis[step] = vector / vector.norm()
        product = multiply(basis[step]).double()
        diagonal.append(product @ basis[step])
        if step + 1 == steps:
            break
        vector = _orthogonalise(product, basis[: step + 1])
        length = vector.norm()
        scale = torch.stack([*diagonal, *beside, length]).abs().max()
        if length <= NEGLIGIBLE * scale:
            vector, length = _orthogonalise(_draw(size, rng, device), basis[: step + 1]), torch.zeros_like(length)
        beside.append(length)
    tridiagonal = torch.diag(torch.stack(diagonal))
    if beside:
        off = torch.diag(torch.stack(beside), 1)
        tridiagonal = tridiagonal + off + off.T
    return torch.linalg.eigvalsh(tridiagonal).flip(0).cpu()


def _draw(size: int, rng: torch.Generator, device: torch.device | str) -> Float[Tensor, " P"]:
    return torch.randn(size, generator=rng, dtype=torch.float64).to(device)


def _orthogonalise(vector: Float[Tensor, " P"], basis: Float[Tensor, "K P"]) -> Float[Tensor, " P"]:
    for _ in range(2):
        vector = vector - basis.T @ (basis @ vector)
    return vector
