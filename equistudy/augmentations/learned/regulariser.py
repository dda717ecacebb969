"""What pays for reach: without it the widths of a learned augmentation only ever shrink."""

from dataclasses import dataclass
from math import isfinite

from jaxtyping import Float

from equistudy.spec import Spec, Tensor

__all__ = ["EntropyRegulariser", "NormRegulariser", "Regulariser"]


@dataclass(frozen=True)
class Regulariser(Spec):
    """Base of the regularisers. `weight` is lambda, in nats; 0 is no regulariser.

    Widths are full widths of the box in coefficients of the matrices: 2 h rate, which for rotations is in radians.
    """

    weight: float = 0.05

    def __post_init__(self) -> None:
        if not (isfinite(self.weight) and self.weight >= 0):
            raise ValueError(
                f"A regulariser's weight is a finite number of at least 0, got weight={self.weight}. "
                f"Use 0.01 to 0.1, or 0 for none."
            )

    def penalty(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """What is added to the mean loss of a batch."""
        raise NotImplementedError


@dataclass(frozen=True)
class NormRegulariser(Regulariser):
    """- lambda |widths|, the Euclidean norm: a push of lambda in all, shared in proportion to the widths.

    It adds radians to pixels, and generators compete: the widest takes the push of the others.

    Source: Benton et al. 2020, arXiv:2010.11882, as their code has it; the paper's text squares the norm. Differs in
    units (translations in pixels; theirs in twentieths of the image's width), and in that a width at its cap is held
    there alone, where the code takes the push from all widths as soon as one is above 10.
    """

    def penalty(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """- lambda times the norm."""
        return -self.weight * widths.norm()


@dataclass(frozen=True)
class EntropyRegulariser(Regulariser):
    """- lambda times the entropy of the box, the sum of the logarithms of the widths: no unit, and no competition.

    Its push on a width, lambda / width, grows as the width shrinks: no width goes to zero.
    """

    def penalty(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """- lambda times the sum of the logarithms."""
        return -self.weight * widths.log().sum()
