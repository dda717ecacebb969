"""Regularisers of learned augmentations: they reward wide ranges, which would otherwise only shrink."""

from dataclasses import dataclass
from math import isfinite, log
from typing import ClassVar

from jaxtyping import Float

from equistudy.spec import Spec, Tensor

__all__ = ["BandRegulariser", "BudgetRegulariser", "EntropyRegulariser", "NormRegulariser", "Regulariser"]


@dataclass(frozen=True)
class Regulariser(Spec):
    """Base of the regularisers. `weight` is lambda, in units of the loss; 0 switches it off.

    Widths are full widths of the box in coefficients of the matrices: 2 h rate, which for rotations is in radians.
    """

    adaptive: ClassVar[bool] = False

    weight: float = 0.05

    def __post_init__(self) -> None:
        if not (isfinite(self.weight) and self.weight >= 0):
            raise ValueError(
                f"A regulariser's weight must be finite and not negative, got weight={self.weight}. "
                f"Use 0.01 to 0.1, or 0 for none."
            )

    def reward(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The quantity that lambda rewards."""
        raise NotImplementedError

    def penalty(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """What is added to the mean loss of a batch when lambda is `weight`."""
        return -self.weight * self.reward(widths)

    def adapt_weight(
        self, weight: Float[Tensor, ""], widths: Float[Tensor, " P"], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """Lambda for the next step, given that of this step and the mean loss of its batch."""
        return weight


@dataclass(frozen=True)
class NormRegulariser(Regulariser):
    """- lambda |widths|, the Euclidean norm: a total push of lambda, shared in proportion to the widths.

    It adds radians to pixels, and generators compete: the widest receives most of the push.

    Source: Benton et al. 2020, arXiv:2010.11882, as in their code; the paper's text squares the norm. Units differ
    (translations in pixels, theirs in twentieths of the image's width), and a width at its cap does not affect the
    others, whereas their code stops pushing all widths as soon as one exceeds 10.

    >>> import torch, equistudy as eq
    >>> float(eq.NormRegulariser(0.05).penalty(torch.tensor([3.0, 4.0])))
    -0.25
    """

    def reward(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The norm."""
        return widths.norm()


@dataclass(frozen=True)
class EntropyRegulariser(Regulariser):
    """- lambda times the entropy of the box, the sum of log widths: independent of units, without competition.

    Its push on a width, lambda / width, grows as the width shrinks, so no width goes to zero.
    """

    def reward(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The sum of the log widths."""
        return widths.log().sum()


@dataclass(frozen=True)
class AdaptiveRegulariser(EntropyRegulariser):
    """Base of the regularisers that reward entropy and adapt lambda after each step, starting from `weight`.

    Lambda stays within a factor of `RANGE` of its start.
    """

    adaptive: ClassVar[bool] = True
    RANGE: ClassVar[float] = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight > 0:
            raise ValueError(
                f"An adaptive lambda is multiplied, so it must start positive, got weight={self.weight}. Use 0.05."
            )

    def _clamp_weight(self, weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return weight.clamp(self.weight / self.RANGE, self.weight * self.RANGE)


@dataclass(frozen=True)
class BudgetRegulariser(AdaptiveRegulariser):
    """Finds the widest box whose mean training loss stays within a budget: the dual form, in which lambda is learned.

    It maximises the entropy over widths subject to loss <= `budget`, in the unit of the loss. Dual ascent: after each
    step log lambda grows by `rate` (1 - loss / budget), limited to [-3 `rate`, `rate`] so that the first epochs, before
    the network has learned anything, do not dominate. Lambda cannot blow up, because a box that costs too much loses
    its push. The loss is that over augmented copies and includes whatever the network cannot fit.

    >>> import equistudy as eq
    >>> eq.BudgetRegulariser(weight=0.05, budget=0.1).budget
    0.1
    """

    budget: float = 0.05
    rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("budget", "rate"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(
                    f"The budget and the rate of lambda must be positive and finite, got {name}={value}. Use 0.05."
                )

    def adapt_weight(
        self, weight: Float[Tensor, ""], widths: Float[Tensor, " P"], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """Raises lambda while the loss is within the budget, and lowers it otherwise."""
        return self._clamp_weight(weight * (self.rate * (1 - loss / self.budget).clamp(-3, 1)).exp())


@dataclass(frozen=True)
class BandRegulariser(AdaptiveRegulariser):
    """Keeps the entropy of the box in nats, the sum of its log widths, between `low` and `high`.

    After each step outside the band lambda is multiplied or divided by `factor`; inside the band it stays. The user
    chooses the band, whatever the labels allow. Above the band only the data pulls the widths in.

    Source: the controller of Miao et al. 2023, "Learning Instance-Specific Augmentations by Capturing Local
    Invariances", arXiv:2206.00051. Their factor is 1.2, with which widths overshoot the band before lambda has fallen,
    because a step of Adam changes them by a limited amount.
    """

    low: float = 0.0
    high: float = 0.5
    factor: float = 1.03

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"low must be finite and less than high, got low={self.low}, high={self.high}. A rotation of 30 to 60 "
                f"degrees to each side is low={log(60 / 57.3):.2g}, high={log(120 / 57.3):.2g}."
            )
        if not (isfinite(self.factor) and self.factor > 1):
            raise ValueError(f"factor must be finite and above 1, got factor={self.factor}. Use 1.03.")

    def adapt_weight(
        self, weight: Float[Tensor, ""], widths: Float[Tensor, " P"], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """Raises lambda below the band, and lowers it above."""
        entropy = self.reward(widths)
        steps = (entropy < self.low).to(weight) - (entropy > self.high).to(weight)
        return self._clamp_weight(weight * (steps * log(self.factor)).exp())
