"""Compact networks for sets of points: energies from pair features, and trajectories from pairwise forces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from equistudy.datasets.dataset import Modality, Target
from equistudy.models.model import Model, Module
from equistudy.networks.choices import PairFeatures

__all__ = ["ForceNetwork", "PointNetwork"]


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


@dataclass(frozen=True)
class ForceNetwork(Model):
    """A perceptron of `width` hidden units predicts the force between two bodies from their difference and constants.

    The trajectory is the leapfrog integration of Newton's equations with `substeps` steps between two times, which are
    `step` apart as in the dataset. Forces are equal and opposite, so momentum is conserved. With `central`, the force
    points along the difference, with a magnitude that depends only on its length: the built-in rotation equivariance.

    Source: after the interaction networks of Battaglia et al. 2016, arXiv:1612.00222. Benton et al. 2020,
    arXiv:2010.11882, use a Hamiltonian LieConv network (HLieResNet).
    """

    REVISION: ClassVar[int] = 2

    width: int = 32
    step: float = 0.25
    substeps: int = 2
    central: bool = False

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.POINTS,)
    targets: ClassVar[tuple[Target, ...]] = (Target.TRAJECTORY,)

    def __post_init__(self) -> None:
        if self.width < 1 or self.substeps < 1 or not self.step > 0:
            raise ValueError(
                f"ForceNetwork needs width and substeps of at least 1 and a positive step, got width={self.width}, "
                f"substeps={self.substeps}, step={self.step}. Use 32, 2 and the dataset's step."
            )

    def build(self, image_shape: tuple[int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state; `num_outputs` is the number of times."""
        from equistudy.networks.points import Rollout

        if image_shape[1] != 6:
            raise ValueError(
                "ForceNetwork needs 6 features (position, momentum, mass and spring constant in the plane), got "
                f"{image_shape[1]}. Use Springs()."
            )
        return Rollout(self.width, self.step, self.substeps, self.central, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """Only the trajectory."""
        return {"output": ""}
