"""How photographs become what a network of `measure` was made for: size, crop, interpolation, mean and std."""

from typing import NamedTuple

from equistudy.datasets.dataset import Dataset
from equistudy.datasets.photographs import Interpolation
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.model import Model
from equistudy.models.timm_model import TimmModel
from equistudy.models.window import Window

__all__ = ["FittedModel", "describe_normalisation", "fit_model", "get_architecture", "parse_numbers"]


class FittedModel(NamedTuple):
    """A model that prepares images as its network expects them, and how photographs are resized for it."""

    model: Model
    interpolation: Interpolation = Interpolation.BICUBIC
    squash: bool = False


def parse_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of an option such as --mean 0.485,0.456,0.406."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"{option} must be one number, or one per channel separated by commas, got {text!r}. "
            f"Try {option} 0.5,0.5,0.5."
        ) from error


def get_architecture(model: Model) -> Model:
    """The model inside the window and without its weights."""
    inner = model.model if isinstance(model, Window) else model
    return inner.model if isinstance(inner, Checkpoint) else inner


def fit_model(
    model: Model,
    generated: bool,
    room: int | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> FittedModel:
    """The model with the window, the room around it and the normalisation that the options ask for.

    Photographs are scaled as timm does for a network of timm, and to the network's size for any other, unless `room`
    says how many more pixels they have on each side. Generated images, of which there can always be more, are an eighth
    larger than the window.
    """
    inner = model.model if isinstance(model, Window) else model
    architecture, pixels = get_architecture(model), model.pixels if isinstance(model, Window) else None
    interpolation, squash, image_size = Interpolation.BICUBIC, False, pixels
    if isinstance(architecture, TimmModel):
        from equistudy.networks.timm_network import get_native_preprocessing

        native = get_native_preprocessing(architecture.name, pixels)
        pixels, image_size = native.size, max(native.size, native.image_size)
        interpolation, squash = Interpolation(native.interpolation), native.squash and room is None
    assert pixels is not None
    if room is not None:
        image_size = pixels + 2 * room
    elif generated:
        interpolation, squash, image_size = Interpolation.BICUBIC, False, None
    if image_size is None and mean is None and std is None:
        return FittedModel(model)
    fitted: Model = Window(inner, pixels, image_size=image_size, mean=mean, std=std)
    usual = pixels + 2 * -(-pixels // 14)
    if image_size == usual and mean is None and std is None:  # as without options, and so the same trial
        fitted = model
    return FittedModel(fitted, interpolation, squash)


def describe_normalisation(model: Model, dataset: Dataset) -> str | None:
    """That the mean and the std are assumed, where nobody said them."""
    inner = model.model if isinstance(model, Window) else model
    if isinstance(model, Window) and model.mean is not None and model.std is not None:
        return None
    architecture, found = get_architecture(model), model.preprocessing(dataset)
    if isinstance(architecture, TimmModel):
        if not isinstance(inner, Checkpoint):
            return None  # its weights come with their mean and std
        source = f"timm's for {architecture.name}"
    else:
        source = f"those of {type(dataset).__name__}"
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (found.mean, found.std))
    return f"mean {mean} and std {std} are assumed ({source}); --mean and --std set others"
