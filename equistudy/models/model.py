"""What a model is: a spec that builds a network whose stages can be read by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equistudy.spec import Spec

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = ["Model"]


@dataclass(frozen=True)
class Model(Spec):
    """Base of the models."""

    def validate(self) -> None:
        """ValueError if no network can be built from this spec, for what its fields alone do not show.

        Called once before a study trains, not when it is planned: it may import what builds the network.
        """

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A fresh network for images of (channels, height, width), initialised from torch's current random state."""
        raise NotImplementedError

    def stages(self, network: Module) -> Mapping[str, str]:
        """Name of each stage and the path of the submodule whose output it is, in order; "" is the network itself.

        The last two are `pooled`, a vector, and `logits`; the ones before are feature maps.
        """
        raise NotImplementedError
