"""The trial of a network that `measure` takes as it is, on images that are made or read for it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.cli.data import DEAD_LEAVES, match_outputs, parse_dataset
from equistudy.cli.groups import Room
from equistudy.cli.preprocessing import describe_normalisation, fit_model, get_architecture, parse_numbers
from equistudy.datasets.dataset import Dataset
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.photographs import Photographs
from equistudy.models.checkpoint import Checkpoint, has_average
from equistudy.models.custom import Custom
from equistudy.models.model import Model
from equistudy.models.timm_model import TimmModel
from equistudy.models.window import Window
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

__all__ = ["ImageWords", "NewTrial", "build_new_trial", "build_trial", "prefer_average"]

Tell = Callable[[str], None]


class ImageWords(NamedTuple):
    """The words of the command about images."""

    data: str | None = None
    images: int | None = None
    room: int | None = None
    mean: str | None = None
    std: str | None = None
    classes: str | None = None


class NewTrial(NamedTuple):
    """A trial, and the room that its images have around the network's window."""

    trial: Trial
    room: Room


def build_new_trial(model: Model, words: ImageWords, labelled: bool, tell: Tell) -> NewTrial:
    """The network on the images of `words`; `tell` gets what was assumed. With `labelled` a measure needs classes."""
    data = words.data or DEAD_LEAVES
    mean, std = parse_numbers("--mean", words.mean), parse_numbers("--std", words.std)
    fitted = fit_model(model, data == DEAD_LEAVES, words.room, mean, std)
    size = fitted.model.preprocessing(DeadLeaves()).image_size
    assert size is not None
    dataset = parse_dataset(data, words.images, size, labelled, tell)
    if isinstance(dataset, Photographs):
        dataset = dataclasses.replace(dataset, interpolation=fitted.interpolation, squash=fitted.squash)
    dataset = _fit_classes(fitted.model, dataset, words.classes, labelled, tell)
    for line in (describe_normalisation(fitted.model, dataset), _describe_random_weights(fitted.model)):
        if line is not None:
            tell(line)
    found = fitted.model.preprocessing(dataset)
    window = found.window or min(dataset.image_shape[1:])
    return NewTrial(build_trial(fitted.model, dataset), Room(window, (found.image_size or window) - window))


def build_trial(model: Model, dataset: Dataset) -> Trial:
    """The trial that takes the network as it is."""
    return Trial(model, dataset, Classification(), NoAugmentation(), Recipe(epochs=0), 0)


def prefer_average(model: Model, ema: bool | None, tell: Tell) -> Model:
    """The model with the moving average of its weights, if its checkpoint has one, unless `ema` says otherwise."""
    inner = model.model if isinstance(model, Window) else model
    if not isinstance(inner, Checkpoint) or inner.file is None:
        if ema is not None:
            raise ValueError("--ema and --no-ema apply to a checkpoint file, got another target. Leave them out.")
        return model
    if ema is None and Path(inner.file).is_file() and has_average(Path(inner.file)):
        tell(
            f"{inner.file} holds a moving average of the weights, which is measured; --no-ema measures the last weights"
        )
        ema = True
    averaged = dataclasses.replace(inner, ema=bool(ema))
    return dataclasses.replace(model, model=averaged) if isinstance(model, Window) else averaged


def _fit_classes(model: Model, dataset: Dataset, classes: str | None, labelled: bool, tell: Tell) -> Dataset:
    """The dataset with its classes as the network numbers them, where a measure looks at them."""
    inner = model.model if isinstance(model, Window) else model
    if isinstance(inner, TimmModel):
        return _fit_timm_classes(inner, dataset, classes, labelled, tell)
    if classes is not None and not labelled:
        raise ValueError("--classes is for measures of accuracy, got no such measure. Leave it out, or add one.")
    if not labelled or not dataset.has_labels or not isinstance(get_architecture(model), Custom | TimmModel):
        return dataset
    return match_outputs(dataset, _count_outputs(model, dataset), classes, tell)


def _fit_timm_classes(model: TimmModel, dataset: Dataset, classes: str | None, labelled: bool, tell: Tell) -> Dataset:
    """The same for a network of timm; ValueError where timm would put a random classifier in place of the trained one.

    An untrained network gets as many outputs as there are classes.
    """
    if not model.pretrained:
        return dataset
    from equistudy.networks.timm_network import get_native_num_classes

    outputs = get_native_num_classes(model.name)
    if labelled and dataset.has_labels:
        return match_outputs(dataset, outputs, classes, tell, exact=True)
    if outputs != dataset.num_classes:
        raise ValueError(
            f"A trained classifier can only be scored on images with its own classes, got {outputs} classes of "
            f"{model.name} and {dataset.num_classes} of {dataset}. Measure its weights file instead: measure FILE "
            f"--model {model.name.partition('.')[0]}"
        )
    return dataset


def _count_outputs(model: Model, dataset: Dataset) -> int:
    """How many numbers the network gives for an image."""
    import torch

    shape = model.preprocessing(dataset).input_shape(dataset.image_shape)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        outputs = model.build(shape, dataset.num_classes).eval()(torch.zeros(1, *shape))
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        got = type(outputs).__name__ if not isinstance(outputs, torch.Tensor) else f"shape {tuple(outputs.shape)}"
        raise ValueError(f"Accuracy needs a network that gives one number for each class, got {got} of {model}.")
    return int(outputs.shape[1])


def _describe_random_weights(model: Model) -> str | None:
    """That the network has random weights, where it has."""
    inner = model.model if isinstance(model, Window) else model
    if isinstance(inner, TimmModel) and not inner.pretrained:
        return f"{inner.name} has no tag, so its weights are random; NAME.TAG is a trained network"
    if isinstance(inner, Custom) and _is_random(inner):
        return f"{inner.function}() makes a network with random weights; measure FILE --model loads trained ones"
    return None


def _is_random(model: Custom) -> bool:
    """Whether two calls of the function give different weights."""
    import torch

    found = []
    for seed in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(model.build((3, 0, 0), 0).state_dict())
    return any(not torch.equal(first, second) for first, second in zip(*(each.values() for each in found), strict=True))
