"""The input sizes at which a network is exact: one period of sizes is tried, then the nearest ones are."""

from typing import NamedTuple

from equistudy.exactness.trace import SymmetryTracer
from equistudy.exactness.windows import Residue

__all__ = ["ExactSizes", "find_exact_sizes"]

MAX_SIZE = 512  # sizes that are tried in one period


class ExactSizes(NamedTuple):
    """Whether a size is exact, which sizes are, and the nearest ones below and above; None where there are none."""

    exact: bool
    residue: Residue | None
    below: int | None
    above: int | None


def find_exact_sizes(tracer: SymmetryTracer, size: int, exact: bool) -> ExactSizes:
    """What is known about sizes near one. The total stride of the network is the period with which they repeat.

    They are tried where the deepest map still has several cells: on a map of one cell everything is symmetric.
    """
    period = min(tracer.period, MAX_SIZE)
    start = max(size - period // 2, 2 * period, 2)
    remainders = [number % period for number in range(start, start + period) if tracer.is_exact(number)]
    if not remainders and exact:
        return ExactSizes(True, None, None, None)  # a network that takes one size only
    return ExactSizes(
        exact,
        _find_residue(remainders, period),
        _find_nearest(tracer, remainders, size, -1),
        _find_nearest(tracer, remainders, size, 1),
    )


def _find_residue(remainders: list[int], period: int) -> Residue | None:
    """The smallest modulus of which the remainders are one class; None if they are none or several."""
    if not remainders:
        return None
    modulus = period // len(remainders)
    classes = {remainder % modulus for remainder in remainders}
    return Residue(modulus, classes.pop()) if len(classes) == 1 and modulus * len(remainders) == period else None


def _find_nearest(tracer: SymmetryTracer, remainders: list[int], size: int, step: int) -> int | None:
    """The first size from here on, below or above, that has one of the remainders and is taken by the network."""
    period = min(tracer.period, MAX_SIZE)
    near = [size + step * distance for distance in range(1, 2 * period + 1)]
    return next((n for n in near if n > 1 and n % period in remainders and tracer.is_exact(n)), None)
