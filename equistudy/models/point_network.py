"""A compact network for sets of points, whose pair features determine what it is invariant to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from equistudy.datasets.dataset import Modality
from equistudy.models.model import Model, Module
from equistudy.networks.choices import PairFeatures

__all__ = ["PointNetwork"]


@dataclass(frozen=True)
class PointNetwork(Model):
    """Predicts sum_i b(sum_j a(x_i, x_j)) over points i and j, where a and b are perceptrons of `width` hidden units.

    `a` sees the `PairFeatures` of the two positions and all other features of both points. The first three features of
    a point are its position. If there are more, points whose other features are all 0 are padding and are ignored. The
    sum over points matches an energy, which is extensive, so molecules may differ in size.

    Source: two rounds of Deep Sets (Zaheer et al. 2017, arXiv:1703.06114). Benton et al. 2020, arXiv:2010.11882, use
    LieConv with the trivial group or translations, which correspond to PairFeatures.PLACES and
    PairFeatures.DIFFERENCES.

    >>> import torch, equistudy as eq
    >>> network = eq.PointNetwork(width=8).build((5, 3), num_outputs=1)
    >>> network(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 1])
    """

    width: int = 32
    sight: PairFeatures = PairFeatures.DIFFERENCES

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.POINTS,)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"PointNetwork width must be at least 1, got width={self.width}. Use 32.")

    def build(self, image_shape: tuple[int, int], num_outputs: int) -> Module:
        """A new network for sets of points, initialised from torch's current random state."""
        from equistudy.networks.points import PointSums

        if image_shape[1] < 3:
            raise ValueError(f"PointNetwork needs points in 3D, got {image_shape[1]} features. Use 3 or more.")
        return PointSums(self.sight, self.width, image_shape[1] - 3, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """Only the outputs, because no stage is a feature map of an image."""
        return {"output": ""}
