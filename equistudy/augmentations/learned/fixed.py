"""The learned augmentation's box with half-extents that are given: the baseline with as many copies."""

from dataclasses import dataclass

from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.regulariser import NormRegulariser, Regulariser

__all__ = ["FixedAugmentation"]

NO_REGULARISER = NormRegulariser(0.0)


@dataclass(frozen=True)
class FixedAugmentation(LearnedAugmentation):
    """As `LearnedAugmentation`, with half-extents that stay at their starts: nothing is learned but the weights.

    What a learned augmentation gains over it with the same copies in training and testing, it gains by learning. In the
    paper the two differ in copies too.
    """

    regulariser: Regulariser = NO_REGULARISER

    def __post_init__(self) -> None:
        fixed = tuple(generator.without_learning() for generator in self.generators)
        object.__setattr__(self, "generators", fixed)
        super().__post_init__()

    def _check_learned(self) -> None:
        if not self.generators:
            raise ValueError("A fixed augmentation moves along at least one generator, got none. Use NoAugmentation().")
