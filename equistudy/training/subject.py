"""A trained network and its images in the form that measures expect; weights as safetensors."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, Int64
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from equistudy.augmentations.learned.network import AugmentedNetwork
from equistudy.datasets.dataset import Modality, Split, Target
from equistudy.datasets.resident import load_resident
from equistudy.exactness.judging import is_network_invariant
from equistudy.measuring.curvature import space_evenly
from equistudy.measuring.measure import Subject
from equistudy.results.sealing import seal_safetensors
from equistudy.study.trial import RandomStream, Trial, derive_seed
from equistudy.training.preparation import load_scaled, scale_images
from equistudy.training.trainer import build_network

__all__ = ["build_subject", "compute_network_digest", "compute_trial_digest", "restore_network", "serialise_weights"]


def serialise_weights(network: nn.Module, trial: Trial) -> bytes:
    """All parameters and buffers in safetensors format; the header contains the trial id and a checksum."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    return seal_safetensors(save(tensors, metadata={"trial": trial.id, "spec": str(trial)}))


def compute_trial_digest(network: nn.Module) -> str:
    """What a trial's network is built of, without the learned augmentation around it."""
    return compute_network_digest(network.network if isinstance(network, AugmentedNetwork) else network)


def restore_network(weights: bytes, trial: Trial, device: torch.device) -> nn.Module:
    """The trial's network with stored weights, in evaluation mode. Raises ValueError if they do not fit its model."""
    network, stored = build_network(trial, device), load(weights)
    misfit = _find_misfit(network, stored)
    if misfit is not None:
        raise ValueError(
            f"Stored weights must fit their model, got {trial.id}, which no longer does: {misfit}. Something that the "
            "model's code reads or imports has changed. Restore it, or delete the trial's files in weights/ and "
            "trials/ of the results and run the study again."
        )
    network.load_state_dict(stored)
    return network.eval()


def _find_misfit(network: nn.Module, stored: dict[str, Tensor]) -> str | None:
    """A description of the first tensor in which stored weights and network differ, or None."""
    built = network.state_dict()
    for name in sorted({*built, *stored}):
        if name not in stored:
            return f"{name} is not stored"
        if name not in built:
            return f"{name} is stored, but the network has no such tensor"
        if built[name].shape != stored[name].shape:
            return f"size mismatch in {name}, stored as {list(stored[name].shape)} and now {list(built[name].shape)}"
    return None


def build_subject(trial: Trial, network: nn.Module, device: torch.device) -> Subject:
    """The network before and after training, with the test images in [0, 1].

    A network that is not trained has no "before", unless its weights were loaded: then it is the randomly initialised
    network. Targets that are not classes are left out. Raises ValueError for points, because measures need images.
    """
    if trial.dataset.modality is not Modality.IMAGES:
        raise ValueError(
            f"Measures need images, got {trial.dataset}, which contains points. Use eq.Score(...) instead."
        )
    preprocessing = trial.model.preprocessing(trial.dataset)
    before = replace(trial, model=trial.model.untrained)
    images, targets = load_scaled(trial.dataset, preprocessing, device)
    side = preprocessing.window or min(images.shape[2:])  # measures crop images to a central square to rotate them
    return Subject(
        network=network,
        stages=_find_stages(trial, network),
        images=images,
        targets=targets if trial.dataset.has_labels and trial.dataset.target is Target.CLASS else None,
        mean=preprocessing.mean,
        std=preprocessing.std,
        background=trial.dataset.background,
        untrained=build_network(before, device) if trial.recipe.epochs or before != trial else None,
        seed=derive_seed(trial.seed, RandomStream.MEASURING),
        window=preprocessing.window,
        invariant=partial(is_network_invariant, network, side, images.shape[1]),
        train=partial(_load_training_images, trial, device),
    )


def _load_training_images(
    trial: Trial, device: torch.device, count: int
) -> tuple[Float[Tensor, "N C H W"], Int64[Tensor, " N"] | None]:
    """Evenly spaced training images in [0, 1], preprocessed for the model, and their classes if there are any."""
    examples = load_resident(trial.dataset, Split.TRAIN, device)
    places = space_evenly(len(examples.inputs), count)
    images = scale_images(examples.inputs[places].to(torch.float32) / 255, trial.model.preprocessing(trial.dataset))
    has_classes = trial.dataset.has_labels and trial.dataset.target is Target.CLASS
    return images, examples.targets[places] if has_classes else None


def _find_stages(trial: Trial, network: nn.Module) -> Mapping[str, str]:
    """The stages of the network, or of the network inside a learned augmentation."""
    if not isinstance(network, AugmentedNetwork):
        return trial.model.stages(network)
    return {name: f"network.{path}".rstrip(".") for name, path in trial.model.stages(network.network).items()}


DIGEST_LENGTH = 16
PLAIN_TYPES = (bool, int, float, str, tuple, type(None))


def compute_network_digest(network: nn.Module) -> str:
    """The digest of the module tree, with the settings that torch's own layers declare, and of all names and shapes.

    Settings are those of `__constants__`, such as strides and paddings. Values of weights do not enter. Neither does
    whether batch norms take their statistics over several workers, nor the name of the module that defines a class.
    """
    modules = [
        [path, _get_kind(module).__qualname__, _list_settings(module)]
        for path, module in network.named_modules(remove_duplicate=False)
    ]
    tensors = [[name, list(tensor.shape)] for name, tensor in network.state_dict().items()]
    text = json.dumps([modules, tensors])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def _get_kind(module: nn.Module) -> type[nn.Module]:
    return _BatchNorm if isinstance(module, _BatchNorm) else type(module)


def _list_settings(module: nn.Module) -> list[str]:
    names = getattr(_get_kind(module), "__constants__", ())
    found = {name: getattr(module, name, None) for name in names}
    return [f"{name}={value!r}" for name, value in sorted(found.items()) if isinstance(value, PLAIN_TYPES)]
