"""What pays for reach: without it the widths of a learned augmentation only ever shrink."""

from dataclasses import dataclass
from math import isfinite, log
from typing import ClassVar

from jaxtyping import Float

from equistudy.spec import Spec, Tensor

__all__ = ["BandRegulariser", "BudgetRegulariser", "EntropyRegulariser", "NormRegulariser", "Regulariser"]


@dataclass(frozen=True)
class Regulariser(Spec):
    """Base of the regularisers. `weight` is lambda, in nats; 0 is no regulariser.

    Widths are full widths of the box in coefficients of the matrices: 2 h rate, which for rotations is in radians.
    """

    adaptive: ClassVar[bool] = False

    weight: float = 0.05

    def __post_init__(self) -> None:
        if not (isfinite(self.weight) and self.weight >= 0):
            raise ValueError(
                f"A regulariser's weight is a finite number of at least 0, got weight={self.weight}. "
                f"Use 0.01 to 0.1, or 0 for none."
            )

    def reward(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """What lambda is paid for."""
        raise NotImplementedError

    def penalty(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """What is added to the mean loss of a batch while lambda is `weight`."""
        return -self.weight * self.reward(widths)

    def adapt_weight(
        self, weight: Float[Tensor, ""], widths: Float[Tensor, " P"], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """The lambda of the next step, from that of this one and the mean loss of its batch."""
        return weight


@dataclass(frozen=True)
class NormRegulariser(Regulariser):
    """- lambda |widths|, the Euclidean norm: a push of lambda in all, shared in proportion to the widths.

    It adds radians to pixels, and generators compete: the widest takes the push of the others.

    Source: Benton et al. 2020, arXiv:2010.11882, as their code has it; the paper's text squares the norm. Differs in
    units (translations in pixels; theirs in twentieths of the image's width), and in that a width at its cap is held
    there alone, where the code takes the push from all widths as soon as one is above 10.
    """

    def reward(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The norm."""
        return widths.norm()


@dataclass(frozen=True)
class EntropyRegulariser(Regulariser):
    """- lambda times the entropy of the box, the sum of the logarithms of the widths: no unit, and no competition.

    Its push on a width, lambda / width, grows as the width shrinks: no width goes to zero.
    """

    def reward(self, widths: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The sum of the logarithms."""
        return widths.log().sum()


@dataclass(frozen=True)
class AdaptiveRegulariser(EntropyRegulariser):
    """Base of those that pay for entropy and set lambda themselves, step by step; it begins as `weight`.

    It stays within a factor `RANGE` of that.
    """

    adaptive: ClassVar[bool] = True
    RANGE: ClassVar[float] = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight > 0:
            raise ValueError(
                f"A lambda that adapts is multiplied, so it begins positive, got weight={self.weight}. Use 0.05."
            )

    def _clamp_weight(self, weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return weight.clamp(self.weight / self.RANGE, self.weight * self.RANGE)


@dataclass(frozen=True)
class BudgetRegulariser(AdaptiveRegulariser):
    """The widest box whose mean training loss is within a budget: the dual form, in which lambda is learned.

    max over widths of the entropy, subject to loss <= `budget` in nats. Dual ascent: after each step log lambda grows
    by `rate` (1 - loss / budget), at most by `rate` and falling by at most three times that, so that the epochs before
    the network has learned anything do not carry it away. No lambda blows up: a box that costs too much loses its push.
    The budget holds what the network cannot fit as well; it is compared with the loss over augmented copies.
    """

    budget: float = 0.05
    rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("budget", "rate"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(
                    f"A budget of loss and the rate of its lambda are positive and finite, got {name}={value}. "
                    f"Use 0.05."
                )

    def adapt_weight(
        self, weight: Float[Tensor, ""], widths: Float[Tensor, " P"], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """More while the loss is within the budget, less beyond it."""
        return self._clamp_weight(weight * (self.rate * (1 - loss / self.budget).clamp(-3, 1)).exp())


@dataclass(frozen=True)
class BandRegulariser(AdaptiveRegulariser):
    """Keeps the entropy of the box in nats, the sum of the logarithms of its widths, between `low` and `high`.

    After each step outside the band lambda is multiplied or divided by `factor`; inside it stays. What the labels allow
    plays no part: the band is the user's. Above the band nothing but the data draws the box in.

    Source: the controller of Miao et al. 2023, "Learning Instance-Specific Augmentations by Capturing Local
    Invariances", arXiv:2206.00051. Their factor is 1.2; the widths, which go a limited way in each step of Adam, are
    then far above the band before lambda has fallen.
    """

    low: float = 0.0
    high: float = 0.5
    factor: float = 1.03

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"A band of entropy reaches from low to a higher end, got low={self.low}, high={self.high}. A rotation "
                f"of 30 to 60 degrees to each side is low={log(60 / 57.3):.2g}, high={log(120 / 57.3):.2g}."
            )
        if not (isfinite(self.factor) and self.factor > 1):
            raise ValueError(f"Lambda changes by a factor above 1, got factor={self.factor}. Use 1.03.")

    def adapt_weight(
        self, weight: Float[Tensor, ""], widths: Float[Tensor, " P"], loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """More below the band, less above it."""
        entropy = self.reward(widths)
        steps = (entropy < self.low).to(weight) - (entropy > self.high).to(weight)
        return self._clamp_weight(weight * (steps * log(self.factor)).exp())
