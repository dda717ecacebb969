"""A network from timm by its full name."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Model, Module, Preprocessing
from equistudy.models.weights import compute_file_digest, describe_search, find_weights
from equistudy.spec import added_field, location_field

__all__ = ["Protocol", "TimmModel"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CELL = 32  # pixels of the largest cells of most networks


class Protocol(Enum):
    """How images become the input of a network that was trained elsewhere.

    DATASET: as the dataset has them, normalised by its own mean and std. COMMON: one size for all networks, the largest
    multiple of 32 in 7/8 of the image (224 of 256), and ImageNet's mean and std. NATIVE: the size, mean and std with
    which timm evaluates these weights, on images scaled to 8/7 of that size (timm's usual crop of 0.875; where its own
    is larger, objects are up to an eighth smaller here, for windows that move need room).
    """

    DATASET = "dataset"
    COMMON = "common"
    NATIVE = "native"


@dataclass(frozen=True)
class TimmModel(Model):
    """The network that timm (PyTorch Image Models, Wightman 2019) calls `name`: architecture, dot, tag.

    The tag says which weights, such as `resnet50.a1_in1k`; without `pretrained` it may be left out. Pretrained weights
    are taken from the folder of `--weights-dir` or the local cache of the Hugging Face hub, which `fetch` fills, and
    the digest of their file is part of a trial's identity. The classifier (unless it has the dataset's number of
    classes), the input channels and, where the architecture fixes it, the image size are adapted to the dataset.
    `protocol` says how images become its input, in training as in measuring: Protocol.NATIVE fine-tunes with timm's own
    numbers. Stages before `pooled` bear timm's own names (`layer1`, `blocks.3`): they are what its `feature_info`
    lists, as maps (B, C, H, W) for convolutional networks and as timm leaves them for others.

    `weights` is the file, where it is not to be searched.
    """

    name: str
    pretrained: bool = False
    protocol: Protocol = added_field(Protocol.DATASET)  # noqa: RUF009 -- a field
    weights: str | None = location_field(None)

    def validate(self) -> None:
        """ValueError if timm has no such name, offering the nearest, or if its pretrained weights are not there."""
        from equistudy.networks.timm_network import check_name

        check_name(self.name, needs_tag=self.pretrained)
        if self.pretrained and self._find_file() is None:
            raise ValueError(
                f"Pretrained weights must be on this machine, {describe_search(self.name)}, or use pretrained=False."
            )

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A fresh network, initialised from torch's current random state, or from the pretrained weights."""
        from equistudy.networks.timm_network import build_network

        self.validate()
        return build_network(self.name, image_shape, num_outputs, self._find_file() if self.pretrained else None)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The feature stages that timm names, the vector that enters the classifier, and the logits."""
        paths: dict[str, str] = network.stage_paths  # type: ignore[assignment]
        return paths

    @property
    def has_own_preprocessing(self) -> bool:
        """Unless it is the dataset's."""
        return self.protocol is not Protocol.DATASET

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """As `protocol` says."""
        if self.protocol is Protocol.DATASET:
            return super().preprocessing(dataset)
        channels, *size = dataset.image_shape
        if channels != len(IMAGENET_MEAN):
            raise ValueError(
                f"Protocol.{self.protocol.name} normalises images of 3 channels, got {channels} of {dataset}. "
                "Use Protocol.DATASET."
            )
        if self.protocol is Protocol.NATIVE:
            from equistudy.networks.timm_network import get_native_preprocessing

            mean, std, side, *_ = get_native_preprocessing(self.name)
            return Preprocessing(mean, std, side + 2 * -(-side // 14), side)  # room for windows to move
        window = min(size) * 7 // 8 // CELL * CELL
        if not window:
            raise ValueError(f"Protocol.COMMON needs images of at least 37 pixels, got {min(size)} of {dataset}.")
        return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, window=window)

    @property
    def untrained(self) -> "TimmModel":
        """The same architecture with random weights."""
        return dataclasses.replace(self, pretrained=False)

    def fingerprint(self) -> str | None:
        """The digest of the weights' file, or that it is not here; None without pretrained weights."""
        if not self.pretrained:
            return None
        file = self._find_file()
        return "no weights" if file is None else compute_file_digest(file)

    def obstacle(self) -> str | None:
        """Weights that are not on this machine."""
        return "no weights" if self.pretrained and self._find_file() is None else None

    def with_absolute_paths(self) -> "TimmModel":
        """The same model with the file of its weights."""
        file = self._find_file() if self.pretrained else None
        return self if file is None else dataclasses.replace(self, weights=str(file.absolute()))

    def _find_file(self) -> Path | None:
        if self.weights is None:
            return find_weights(self.name)
        return Path(self.weights) if Path(self.weights).is_file() else None
