"""The base of all models: a spec that builds a network whose stages can be read by name."""

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

    Images are resized so that their shorter side has `image_size` pixels (None: not resized), moved by a group element
    if one acts, cropped to a central square of `window` pixels (None: not cropped), and normalised by `mean` and `std`,
    one number per channel. With a window, what moves into view is real image content.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int | None = None
    window: int | None = None

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the network's input for inputs of this shape."""
        return shape if self.window is None else (shape[0], self.window, self.window)


@dataclass(frozen=True)
class Model(Spec):
    """Base of the models. `inputs` are the modalities that its networks accept, `targets` what they can predict."""

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.IMAGES,)
    targets: ClassVar[tuple[Target, ...]] = (Target.CLASS, Target.NUMBERS)

    def check(self, dataset: Dataset) -> None:
        """Raises ValueError if its networks do not fit the dataset's inputs or targets."""
        name = type(self).__name__
        if dataset.modality not in self.inputs:
            raise ValueError(
                f"{name} needs {' or '.join(kind.value for kind in self.inputs)} as input, got {dataset}, whose inputs "
                f"are {dataset.modality.value}. Use another model or dataset."
            )
        if dataset.target not in self.targets:
            raise ValueError(
                f"{name} predicts {' or '.join(target.value for target in self.targets)}, got {dataset}, whose target "
                f"is {dataset.target.value}. Use another model or dataset."
            )

    def validate(self) -> None:
        """Raises ValueError if no network can be built, for reasons that the fields alone do not reveal.

        Called once before a study trains, not when it is planned, so it may import what builds the network.
        """

    def build(self, image_shape: tuple[Any, ...], num_outputs: int) -> Module:
        """A new network for images of (channels, height, width), initialised from torch's current random state.

        For points the shape is (most points, features).
        """
        raise NotImplementedError

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stages in order, from name to the path of the submodule that outputs it; "" is the network itself.

        The last two are `pooled`, a vector, and `logits`; all before them are feature maps.
        """
        raise NotImplementedError

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """How the dataset's images become the network's input: by default with the dataset's mean and std."""
        return Preprocessing(dataset.mean, dataset.std)

    @property
    def has_own_preprocessing(self) -> bool:
        """Whether `preprocessing` is the model's own rather than the dataset's."""
        return False

    @property
    def untrained(self) -> "Model":
        """The same architecture before any training, for comparison: by default this model."""
        return self

    def fingerprint(self) -> str | None:
        """A digest of what the network is built from besides the spec, such as weights, or None.

        Part of the id of every trial with the model. Computed without torch.
        """
        return None

    def obstacle(self) -> str | None:
        """Why no network can be built on this machine, in a few words, or None. Determined without torch."""
        return None

    def with_absolute_paths(self: Self) -> Self:
        """The same model with absolute paths, for a process with another working directory."""
        return self
