"""From stored inputs to network inputs: resized, cropped and normalised; of many test images, on demand."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import interpolate

from equistudy.datasets.dataset import Dataset, Modality, Split
from equistudy.datasets.photographs import Photographs
from equistudy.datasets.resident import load_resident
from equistudy.datasets.stored import StoredImages, open_stored
from equistudy.measuring.stages import crop_centre
from equistudy.models.model import Preprocessing
from equistudy.study.trial import Trial

__all__ = [
    "ScaledImages",
    "ScaledSplit",
    "load_scaled",
    "normalise_images",
    "prepare_inputs",
    "scale_images",
    "to_raw_inputs",
    "undo_preparation",
]


def to_raw_inputs(inputs: Shaped[Tensor, "B ..."], trial: Trial) -> Float[Tensor, "B ..."]:
    """The inputs of augmentations: images scaled to [0, 1] and resized for the model; points unchanged."""
    if trial.dataset.modality is not Modality.IMAGES:
        return inputs
    return scale_images(inputs.to(torch.float32).div_(255), trial.model.preprocessing(trial.dataset))


def prepare_inputs(inputs: Float[Tensor, "B ..."], trial: Trial) -> Float[Tensor, "B ..."]:
    """The inputs of the network: images cropped and normalised for the model; points unchanged."""
    if trial.dataset.modality is not Modality.IMAGES:
        return inputs
    preprocessing = trial.model.preprocessing(trial.dataset)
    return normalise_images(crop_centre(inputs, preprocessing.window), preprocessing)


def undo_preparation(inputs: Float[Tensor, "B C H W"], trial: Trial) -> Float[Tensor, "B C H W"]:
    """Images in [0, 1], recovered from the inputs of the network."""
    preprocessing = trial.model.preprocessing(trial.dataset)
    mean, std = (inputs.new_tensor(each)[:, None, None] for each in (preprocessing.mean, preprocessing.std))
    return inputs * std + mean


def normalise_images(images: Float[Tensor, "B C H W"], preprocessing: Preprocessing) -> Float[Tensor, "B C H W"]:
    """Images in [0, 1], normalised by the mean and standard deviation of each channel."""
    mean = torch.tensor(preprocessing.mean, device=images.device, dtype=images.dtype)
    std = torch.tensor(preprocessing.std, device=images.device, dtype=images.dtype)
    return (images - mean[:, None, None]) / std[:, None, None]


def scale_images(images: Float[Tensor, "N C H W"], preprocessing: Preprocessing) -> Float[Tensor, "N C h w"]:
    """Images resized to the preprocessing's size of the shorter side: bilinear, antialiased when shrinking."""
    size, shorter = preprocessing.image_size, min(images.shape[-2:])
    if size is None or size == shorter:
        return images
    height, width = (round(side * size / shorter) for side in images.shape[-2:])
    return interpolate(images, (height, width), mode="bilinear", antialias=True)


MAX_TENSOR_BYTES = {"cpu": 2**26, "cuda": 2**30}  # up to this size the images are one tensor
MAX_PART = 128  # images that a slice reads at once; longer slices are read lazily


class ScaledImages:
    """Lazy images (N, C, H, W) with the part of the tensor interface that measures use: `len`, `shape` and indexing.

    A list of indices, or a slice of at most `MAX_PART` images, returns a tensor; a longer slice returns another
    `ScaledImages`.
    """

    def __init__(
        self,
        source: StoredImages | Tensor,
        places: Sequence[int],
        preprocessing: Preprocessing,
        device: torch.device,
    ) -> None:
        self._source, self._places, self._preprocessing, self.device = source, places, preprocessing, device
        self.shape = torch.Size((len(places), *self._read(places[:1]).shape[1:]))
        self.dtype = torch.float32

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            return self._read([self._places[index]])[0]
        if not isinstance(index, slice):
            return self._read([self._places[int(each)] for each in index])
        chosen = self._places[index]
        if len(chosen) <= MAX_PART:
            return self._read(chosen)
        return ScaledImages(self._source, chosen, self._preprocessing, self.device)

    def is_floating_point(self) -> bool:
        """True, as for the tensors that indexing returns."""
        return True

    def _read(self, places: Sequence[int]) -> Float[Tensor, "n C H W"]:
        if isinstance(self._source, StoredImages):
            images = torch.from_numpy(self._source.read(places))
        elif isinstance(places, range) and places.step > 0:
            images = self._source[places.start : places.stop : places.step]
        else:
            images = self._source[np.asarray(places, dtype=np.int64)]
        return scale_images(images.to(self.device).to(torch.float32).div_(255), self._preprocessing)


class ScaledSplit(NamedTuple):
    """The test images, a tensor or `ScaledImages`, and their targets."""

    images: Any
    targets: Tensor


def load_scaled(dataset: Dataset, preprocessing: Preprocessing, device: torch.device) -> ScaledSplit:
    """The test images and their targets; if they are too large for one tensor, as `ScaledImages`."""
    most = MAX_TENSOR_BYTES.get(device.type, MAX_TENSOR_BYTES["cpu"])
    if isinstance(dataset, Photographs):
        size = max(preprocessing.image_size or 0, dataset.size)
        if 4 * len(dataset.choose_images(Split.TEST)) * 3 * size**2 > most:
            try:
                stored = open_stored(dataset, Split.TEST)
            except OSError:  # such as a full disk: keep them in memory as 8-bit values
                pass
            else:
                images = ScaledImages(stored, range(len(stored.found.slots)), preprocessing, device)
                return ScaledSplit(images, torch.tensor(stored.found.targets))
    inputs, targets = load_resident(dataset, Split.TEST, device)
    few = ScaledImages(inputs, range(len(inputs)), preprocessing, device)
    if 4 * int(np.prod(few.shape)) > most:
        return ScaledSplit(few, targets)
    return ScaledSplit(scale_images(inputs.to(torch.float32).div_(255), preprocessing), targets)
