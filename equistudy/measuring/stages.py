"""How a network is looked into while it is measured: evaluation mode, stages by name, a calibrated untrained copy."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from equistudy.float32 import use_full_float32
from equistudy.measuring.measure import Subject

__all__ = [
    "CALIBRATION_IMAGES",
    "StopForwardPass",
    "calibrate_batch_norms",
    "crop_centre",
    "evaluation_mode",
    "find_modules",
    "observe_outputs",
    "prepare_images",
]

CALIBRATION_IMAGES = 128  # what one pass in training mode sees


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, full float32 and without gradients; afterwards all is as it was."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.inference_mode(), use_full_float32():
            yield
    finally:
        for module in training:
            module.training = True


def find_modules(network: nn.Module, stages: Mapping[str, str]) -> dict[str, nn.Module]:
    """The submodule of each stage; "" is the network itself."""
    paths = dict(network.named_modules(remove_duplicate=False))
    missing = {name: path for name, path in stages.items() if path not in paths}
    if missing:
        listed = ", ".join(f"{name} -> {path}" for name, path in missing.items())
        raise ValueError(
            f"Each stage must name a submodule of the network, got {listed}. "
            f"There are: {', '.join(path for path in paths if path and path.count('.') < 2)}."
        )
    return {name: paths[path] for name, path in stages.items()}


class StopForwardPass(Exception):  # noqa: N818 -- no error
    """Raised while watching: all that was asked for has been seen, and the rest of the network need not run."""


@contextmanager
def observe_outputs(modules: Mapping[str, nn.Module], look: Callable[[str, Any], None]) -> Iterator[None]:
    """Calls `look(stage, output)` whenever a stage's module has run, so that its output need not be kept."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: look(name, output)

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def prepare_images(images: Float[Tensor, "B C H W"], subject: Subject, network: nn.Module) -> Float[Tensor, "B C h w"]:
    """Images in [0, 1] cut to the subject's window and normalised, on the device and in the number format."""
    like = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), images)
    placed = crop_centre(images, subject.window).to(like)
    mean, std = (placed.new_tensor(values)[:, None, None] for values in (subject.mean, subject.std))
    return (placed - mean).div_(std)


def crop_centre(images: Float[Tensor, "B C H W"], window: int | None) -> Float[Tensor, "B C h w"]:
    """The central square of `window` pixels; the images as they are without one."""
    if window is None:
        return images
    height, width = images.shape[-2:]
    if min(height, width) < window:
        raise ValueError(
            f"Every view must fill the network's window of {window} x {window} pixels, got views of {height} x "
            f"{width}. Use smaller shifts, Border.CIRCULAR, or larger images."
        )
    return images[..., (height - window) // 2 :, (width - window) // 2 :][..., :window, :window]


def calibrate_batch_norms(network: nn.Module, images: Float[Tensor, "B C H W"]) -> nn.Module:
    """A copy whose batch norms have the statistics of these prepared images, from one pass in training mode.

    An untrained batch norm has mean 0 and variance 1, which no trained network has; the comparison would be with a
    network of another scale. Networks without batch norm come back as they are.
    """
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return network
    copy = deepcopy(network).eval()
    for module in copy.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.train()
            module.momentum = 1.0  # the statistics of the next batch replace the old ones
    with torch.no_grad():
        copy(images)
    return copy.eval()
