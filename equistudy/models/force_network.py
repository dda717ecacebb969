"""A compact network for bodies in the plane: it learns the force between two of them, and lets time pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from equistudy.datasets.dataset import Modality, Target
from equistudy.models.model import Model, Module

__all__ = ["ForceNetwork"]


@dataclass(frozen=True)
class ForceNetwork(Model):
    """A network of `width` gives the force of one body on another, from their difference and both spring constants.

    The trajectory is the leapfrog of Newton's equations with `substeps` steps between two times, `step` apart: the
    step of the dataset. Momentum is kept, for forces are equal and opposite. With `central` the force points along the
    difference, by a factor that depends on its length alone, as every force does that turns with the bodies: the
    hand-made symmetry.

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
                f"ForceNetwork needs a width and a substep of at least 1 and a positive step, got width={self.width}, "
                f"substeps={self.substeps}, step={self.step}. Use 32, 2 and the dataset's step."
            )

    def build(self, image_shape: tuple[int, int], num_outputs: int) -> Module:
        """A fresh network, initialised from torch's current random state; `num_outputs` counts the times."""
        from equistudy.networks.points import Rollout

        if image_shape[1] != 6:
            raise ValueError(
                f"ForceNetwork takes places, momenta, mass and spring constant in the plane, got {image_shape[1]} "
                "features. Use Springs()."
            )
        return Rollout(self.width, self.step, self.substeps, self.central, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The trajectory alone."""
        return {"output": ""}
