"""A compact network for sets of points: what it sees of two of them decides what it is invariant to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from equistudy.datasets.dataset import Modality
from equistudy.models.model import Model, Module
from equistudy.networks.choices import PairFeatures

__all__ = ["PointNetwork"]


@dataclass(frozen=True)
class PointNetwork(Model):
    """Sums over points, of sums over the other points, of what a small network of `width` makes of the two.

    It takes what is seen of their places and all their other features; a second network stands before the outer sum.
    The first three features of a point are its place. Where there are more, points without any are padding and count
    nowhere. The sum over points is what an energy is; a network of it suits molecules of different sizes.

    Source: two rounds of Deep Sets (Zaheer et al. 2017, arXiv:1703.06114). Benton et al. 2020, arXiv:2010.11882, use
    LieConv, with the trivial group or shifts: PairFeatures.PLACES or PairFeatures.DIFFERENCES.
    """

    width: int = 32
    sight: PairFeatures = PairFeatures.DIFFERENCES

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.POINTS,)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"PointNetwork width must be at least 1, got width={self.width}. Use 32.")

    def build(self, image_shape: tuple[int, int], num_outputs: int) -> Module:
        """A fresh network for sets of points, initialised from torch's current random state."""
        from equistudy.networks.points import PointSums

        if image_shape[1] < 3:
            raise ValueError(f"PointNetwork takes points of space, got {image_shape[1]} features. Use 3 or more.")
        return PointSums(self.sight, self.width, image_shape[1] - 3, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The outputs alone: no stage is a map of an image."""
        return {"output": ""}
