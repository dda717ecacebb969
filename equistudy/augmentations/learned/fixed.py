"""The baseline of the learned augmentation: the same box and copies, with fixed half-extents."""

from dataclasses import dataclass

from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.regulariser import NormRegulariser, Regulariser

__all__ = ["FixedAugmentation"]

NO_REGULARISER = NormRegulariser(0.0)


@dataclass(frozen=True)
class FixedAugmentation(LearnedAugmentation):
    """A `LearnedAugmentation` whose half-extents stay at their starts: only the weights are learned.

    With the same numbers of copies, whatever a learned augmentation gains over this one it gains by learning. In the
    paper the two also differ in the number of copies.

    >>> import equistudy as eq
    >>> eq.FixedAugmentation((eq.RotationGenerator(start=20.0),), test_copies=8).num_parameters
    1
    """

    regulariser: Regulariser = NO_REGULARISER

    def __post_init__(self) -> None:
        fixed = tuple(generator.without_learning() for generator in self.generators)
        object.__setattr__(self, "generators", fixed)
        super().__post_init__()

    def _check_learned(self) -> None:
        if not self.generators:
            raise ValueError("A fixed augmentation needs at least one generator, got none. Use NoAugmentation().")
