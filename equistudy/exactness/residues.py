"""The input sizes at which a network is exact: proposed by rules and confirmed, or searched, numerically."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from equistudy.exactness.trace import SymmetryTracer
from equistudy.exactness.windows import Residue

__all__ = ["ExactSizes", "find_exact_sizes", "search_exact_sizes"]

SMALLEST = 2
MOST_CONFIRMATIONS = 4  # candidates of the rules, on each side, that the numbers may reject
LEAST_DISTANCE = 16  # sizes on each side among which the rules look for the nearest exact one
MORE_SIZES = 6  # sizes beyond one period that must repeat it
SEARCHED_DISTANCE = 40  # sizes on each side that are searched by numbers alone
SEARCHED_PIXELS = 400_000  # of all images of such a search


class ExactSizes(NamedTuple):
    """Whether a size is exact, which sizes are, and the nearest ones below and above; None if there are none.

    `searched` is the range of sizes that was searched numerically; None if rules determine them.
    """

    exact: bool
    residue: Residue | None
    below: int | None
    above: int | None
    searched: tuple[int, int] | None = None


def find_exact_sizes(
    tracer: SymmetryTracer, size: int, exact: bool, confirm: Callable[[int], bool]
) -> ExactSizes | None:
    """The exact sizes by the rules, with the nearest ones confirmed; None if the numbers contradict the rules.

    Exactness repeats with the least common multiple of all strides and windows. One period of sizes is tried where the
    deepest map still has several cells: on a map of one cell everything is symmetric.
    """
    period = tracer.period
    start = max(size - period // 2, 2 * period, SMALLEST)
    remainders = [number % period for number in range(start, start + period) if tracer.is_exact(number)]
    if not remainders and exact:
        return ExactSizes(True, None, None, None)  # a network that takes one size only
    nearest: list[int | None] = []
    for step in (-1, 1):
        candidates = list(islice(_iterate_candidates(tracer, remainders, size, step), MOST_CONFIRMATIONS))
        nearest.append(next((number for number in candidates if confirm(number)), None))
        if candidates and nearest[-1] is None:
            return None
    if nearest == [None, None]:
        return ExactSizes(exact, None, None, None)
    residue = _find_residue(remainders, period)
    following = range(start + period, start + period + max(period, MORE_SIZES))
    if residue is not None and any((number in residue) != tracer.is_exact(number) for number in following):
        residue = None
    return ExactSizes(exact, residue, nearest[0], nearest[1])


def _find_residue(remainders: list[int], period: int) -> Residue | None:
    """The smallest modulus for which all remainders are congruent; None if there is none."""
    if not remainders:
        return None
    modulus = period // len(remainders)
    classes = {remainder % modulus for remainder in remainders}
    return Residue(modulus, classes.pop()) if len(classes) == 1 and modulus * len(remainders) == period else None


def _iterate_candidates(tracer: SymmetryTracer, remainders: list[int], size: int, step: int) -> Iterator[int]:
    """The sizes below or above that have one of the remainders and are exact by the rules, nearest first."""
    known = set(remainders)
    for distance in range(1, max(2 * tracer.period, LEAST_DISTANCE) + 1):
        number = size + step * distance
        if number >= SMALLEST and number % tracer.period in known and tracer.is_exact(number):
            yield number


def search_exact_sizes(size: int, exact: bool, confirm: Callable[[int], bool]) -> ExactSizes:
    """The nearest exact sizes by a numerical search, within a fixed budget of pixels."""
    distance = max(1, min(SEARCHED_DISTANCE, SEARCHED_PIXELS // (2 * size**2)))
    found: list[int | None] = []
    for step in (-1, 1):
        numbers = (size + step * away for away in range(1, distance + 1))
        found.append(next((number for number in numbers if number >= SMALLEST and confirm(number)), None))
    searched = (max(SMALLEST, size - distance), size + distance)
    return ExactSizes(exact, None, found[0], found[1], searched)
