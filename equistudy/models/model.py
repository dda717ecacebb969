"""What a model is: a spec that builds a network whose stages can be read by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.spec import Spec

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = ["Model", "Preprocessing"]

Self = TypeVar("Self", bound="Model")


class Preprocessing(NamedTuple):
    """How images become the input of a network.

    They are scaled so that their shorter side has `image_size` pixels (None: left as they are), moved, cut to a central
    square of `window` pixels (None: not cut), and normalised by `mean` and `std`, one number per channel. What moves
    into the window is then part of the image and not of its border.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int | None = None
    window: int | None = None

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what the network takes of inputs of this shape."""
        return shape if self.window is None else (shape[0], self.window, self.window)


@dataclass(frozen=True)
class Model(Spec):
    """Base of the models. `inputs` are what its networks see, and `targets` what they can be asked for."""

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.IMAGES,)
    targets: ClassVar[tuple[Target, ...]] = (Target.CLASS, Target.NUMBERS)

    def check(self, dataset: Dataset) -> None:
        """ValueError if its networks cannot see the dataset's inputs, or cannot give what its targets ask for."""
        name = type(self).__name__
        if dataset.modality not in self.inputs:
            raise ValueError(
                f"{name} sees {' or '.join(kind.value for kind in self.inputs)}, got {dataset}, whose inputs are "
                f"{dataset.modality.value}. Use a model or a dataset that fits the other."
            )
        if dataset.target not in self.targets:
            raise ValueError(
                f"{name} gives {' or '.join(target.value for target in self.targets)}, got {dataset}, which asks for "
                f"{dataset.target.value}. Use a model or a dataset that fits the other."
            )

    def validate(self) -> None:
        """ValueError if no network can be built from this spec, for what its fields alone do not show.

        Called once before a study trains, not when it is planned: it may import what builds the network.
        """

    def build(self, image_shape: tuple[Any, ...], num_outputs: int) -> Module:
        """A fresh network for images of (channels, height, width), initialised from torch's current random state.

        For points the shape is that of a set: the most points, and their features.
        """
        raise NotImplementedError

    def stages(self, network: Module) -> Mapping[str, str]:
        """Name of each stage and the path of the submodule whose output it is, in order; "" is the network itself.

        The last two are `pooled`, a vector, and `logits`; the ones before are feature maps.
        """
        raise NotImplementedError

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """How the dataset's images become the network's input: by default normalised with the dataset's own numbers."""
        return Preprocessing(dataset.mean, dataset.std)

    @property
    def has_own_preprocessing(self) -> bool:
        """Whether `preprocessing` is the model's own, and not the dataset's."""
        return False

    @property
    def untrained(self) -> "Model":
        """The same architecture as it is before any training, to compare with: by default this model."""
        return self

    def fingerprint(self) -> str | None:
        """A digest of what the network is built from beside the spec, such as weights; None where there is nothing.

        Part of the id of each trial with the model, and found without torch.
        """
        return None

    def obstacle(self) -> str | None:
        """Why no network can be built on this machine, in a few words, or None. Found without torch."""
        return None

    def with_absolute_paths(self: Self) -> Self:
        """The same model with absolute locations, to be sent to a process that runs in another directory."""
        return self
