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
CELL = 32  # the total stride of most networks, in pixels


class Protocol(Enum):
    """How images become the input of a network that was trained elsewhere.

    DATASET: at the dataset's size, normalised by its mean and std. COMMON: one size for all networks, the largest
    multiple of 32 within 7/8 of the image (224 of 256), with ImageNet's mean and std. NATIVE: the size, mean and std
    with which timm evaluates these weights, on images resized to 8/7 of that size. This is timm's usual crop of 0.875;
    for networks with a larger crop, objects are up to an eighth smaller here, because moving windows need a margin.
    """

    DATASET = "dataset"
    COMMON = "common"
    NATIVE = "native"


@dataclass(frozen=True)
class TimmModel(Model):
    """A network of timm (PyTorch Image Models, Wightman 2019) by its full name: architecture, dot, tag.

    The tag selects the weights, as in `resnet50.a1_in1k`; without `pretrained` it may be omitted. Pretrained weights
    are read from the folder of `--weights-dir`, or from the local Hugging Face cache, which `fetch` fills; the digest
    of their file is part of a trial's identity. The input channels, the image size if the architecture fixes it, and
    the classifier if its number of classes differs, are adapted to the dataset. `protocol` determines how images become
    inputs, in training and in measuring; Protocol.NATIVE fine-tunes with timm's own preprocessing. Stages before
    `pooled` have timm's names (`layer1`, `blocks.3`) and are those listed in its `feature_info`: maps (B, C, H, W) for
    convolutional networks, and as timm returns them for others.

    `weights` names the file of weights instead of searching for it.

    >>> import equistudy as eq
    >>> eq.TimmModel("resnet18").obstacle() is None
    True
    """

    name: str
    pretrained: bool = False
    protocol: Protocol = added_field(Protocol.DATASET)  # noqa: RUF009 -- a field
    weights: str | None = location_field(None)

    def validate(self) -> None:
        """Raises ValueError if timm does not know the name, or if pretrained weights are not on this machine."""
        from equistudy.networks.timm_network import check_name

        check_name(self.name, needs_tag=self.pretrained)
        if self.pretrained and self._find_file() is None:
            raise ValueError(
                f"Pretrained weights must be on this machine, {describe_search(self.name)}, or use pretrained=False."
            )

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """A new network, initialised from torch's current random state or with the pretrained weights."""
        from equistudy.networks.timm_network import build_network

        self.validate()
        return build_network(self.name, image_shape, num_outputs, self._find_file() if self.pretrained else None)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The feature stages of timm, the vector that enters the classifier, and the logits."""
        paths: dict[str, str] = network.stage_paths  # type: ignore[assignment]
        return paths

    @property
    def has_own_preprocessing(self) -> bool:
        """Whether `protocol` is not DATASET."""
        return self.protocol is not Protocol.DATASET

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """The preprocessing of `protocol`."""
        if self.protocol is Protocol.DATASET:
            return super().preprocessing(dataset)
        channels, *size = dataset.image_shape
        if channels != len(IMAGENET_MEAN):
            raise ValueError(
                f"Protocol.{self.protocol.name} needs images with 3 channels, got {channels} of {dataset}. "
                "Use Protocol.DATASET."
            )
        if self.protocol is Protocol.NATIVE:
            from equistudy.networks.timm_network import get_native_preprocessing

            mean, std, side, *_ = get_native_preprocessing(self.name)
            return Preprocessing(mean, std, side + 2 * -(-side // 14), side)  # a margin for moving windows
        window = min(size) * 7 // 8 // CELL * CELL
        if not window:
            raise ValueError(
                f"Protocol.COMMON needs images of at least 37 pixels, got {min(size)} of {dataset}. "
                "Use Protocol.DATASET, or larger images."
            )
        return Preprocessing(IMAGENET_MEAN, IMAGENET_STD, window=window)

    @property
    def untrained(self) -> "TimmModel":
        """The same architecture with random weights."""
        return dataclasses.replace(self, pretrained=False)

    def fingerprint(self) -> str | None:
        """The digest of the file of weights, or "no weights" if it is missing; None without pretrained weights."""
        if not self.pretrained:
            return None
        file = self._find_file()
        return "no weights" if file is None else compute_file_digest(file)

    def obstacle(self) -> str | None:
        """The text "no weights" if pretrained weights are not on this machine, or None."""
        return "no weights" if self.pretrained and self._find_file() is None else None

    def with_absolute_paths(self) -> "TimmModel":
        """The same model with the absolute path of its weights."""
        file = self._find_file() if self.pretrained else None
        return self if file is None else dataclasses.replace(self, weights=str(file.absolute()))

    def _find_file(self) -> Path | None:
        if self.weights is None:
            return find_weights(self.name)
        return Path(self.weights) if Path(self.weights).is_file() else None
