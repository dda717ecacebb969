"""From stored inputs to network inputs: resized, cropped and normalised."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import interpolate

from equistudy.datasets.dataset import Modality
from equistudy.measuring.stages import crop_centre
from equistudy.models.model import Preprocessing
from equistudy.study.trial import Trial

__all__ = ["normalise_images", "prepare_inputs", "scale_images", "to_raw_inputs", "undo_preparation"]


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
