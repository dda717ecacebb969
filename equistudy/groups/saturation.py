"""Gains of all values that a network sees: a group of one parameter that moves no content."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.groups.group import Element, Grid, Group, Views
from equistudy.spec import Generator, Tensor

__all__ = ["Saturation"]


@dataclass(frozen=True)
class Saturation(Group):
    """Multiplication of what the network sees, images less their mean over their standard deviation, by exp(t).

    Feature maps are multiplied too, vectors are not: equivariant are homogeneous layers, such as convolutions without
    bias and ReLU, and normalisations are the least equivariant. For `LieDerivative` and `LieContribution` alone: other
    measures compare images before they are normalised.

    Source: one of the fields of Gruver et al. 2023, arXiv:2210.02984, whose code calls it so; colours keep their
    saturation.
    """

    unit: ClassVar[str] = "log factor"

    def elements(self) -> tuple[Element, ...]:
        """None: it is differentiated."""
        return ()

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N 1"]:
        """Standard normal logarithms of factors."""
        import torch

        return torch.randn(count, 1, generator=rng, device=rng.device)

    def inverse(self, elements: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """The opposite parameters."""
        return -elements

    def compose(self, first: Float[Tensor, "N 1"], second: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """The sums of the parameters."""
        return first + second

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 1"]) -> Float[Tensor, "B C H W"]:
        """Each image, normalised as the network sees it, times its own factor."""
        return images * elements.exp()[..., None, None].to(images)

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> Views:
        """ValueError: images that are not normalised have no views."""
        raise ValueError(
            "Measures that compare images with transformed ones need a group that moves content, got Saturation(). "
            "Use it in LieDerivative or LieContribution."
        )

    def obstacle(self, grid: Grid) -> str | None:
        """None: maps of any grid can be multiplied."""
        return None
