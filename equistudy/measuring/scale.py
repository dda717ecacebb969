"""On which scale the errors of a value are symmetric: intervals are made there and carried back."""

from enum import Enum

from jaxtyping import Float

from equistudy.spec import Tensor

__all__ = ["Scale"]

ATANH_LIMIT = 1 - 1e-6  # nearer to 1, rounding in float32 decides the digits, which would make a width of many z
SMALLEST_POSITIVE = 1e-300


class Scale(Enum):
    """FISHER: atanh, for correlations. LOG: for errors, which are positive. LINEAR: as it is, for decibels."""

    FISHER = "fisher"
    LOG = "log"
    LINEAR = "linear"

    def transform(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values on the scale, within what it can hold."""
        if self is Scale.FISHER:
            return values.clamp(-ATANH_LIMIT, ATANH_LIMIT).atanh()
        return values.clamp(min=SMALLEST_POSITIVE).log() if self is Scale.LOG else values

    def invert(self, scaled: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values of what is on the scale."""
        if self is Scale.FISHER:
            return scaled.tanh()
        return scaled.exp() if self is Scale.LOG else scaled
