"""How a network is looked into while it is measured: evaluation mode, stages by name, a calibrated untrained copy."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from equistudy.float32 import use_full_float32
from equistudy.measuring.measure import Subject

__all__ = [
    "CALIBRATION_IMAGES",
    "HookPoint",
    "StopForwardPass",
    "calibrate_batch_norms",
    "crop_centre",
    "evaluation_mode",
    "find_hook_points",
    "list_entries",
    "observe_outputs",
    "prepare_images",
]

CALIBRATION_IMAGES = 128  # what one pass in training mode sees
HOOK_POINT_PATTERN = re.compile(r"(?P<module>.*?)(?:#(?P<call>[0-9]+))?(?P<keys>(?:\[[^\[\]]+\])*)", re.DOTALL)
KEY_PATTERN = re.compile(r"\[([^\[\]]+)\]")


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


class HookPoint(NamedTuple):
    """One tensor that a network computes: the output of a module, of its n-th call, or an entry of that output.

    As text it is the module's path, `#n` for the n-th call of a module that runs several times, and `[key]` for each
    tuple, list, dict or dataclass on the way to the tensor: `layer1.0.relu#2`, `blocks.3[0]`, `encoder[features][1]`.
    """

    module: nn.Module
    call: int | None = None
    keys: tuple[str, ...] = ()

    def select(self, output: Any) -> Any:
        """The entry of an output, None where there is none."""
        for key in self.keys:
            output = dict(list_entries(output)).get(key)
        return output


def list_entries(output: Any) -> list[tuple[str, Any]]:
    """The entries of a tuple, list, dict or dataclass by key; none of anything else."""
    if isinstance(output, Mapping):
        return [(str(key), value) for key, value in output.items()]
    if isinstance(output, (tuple, list)):
        return [(str(index), value) for index, value in enumerate(output)]
    if is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    return []


def find_hook_points(network: nn.Module, stages: Mapping[str, str]) -> dict[str, HookPoint]:
    """Where each stage is read; "" is the network itself, and `HookPoint` says how paths are written."""
    paths = dict(network.named_modules(remove_duplicate=False))
    found, missing = {}, {}
    for name, path in stages.items():
        parts = HOOK_POINT_PATTERN.fullmatch(path)
        assert parts is not None
        if parts["module"] not in paths:
            missing[name] = path
            continue
        call = None if parts["call"] is None else int(parts["call"])
        found[name] = HookPoint(paths[parts["module"]], call, tuple(KEY_PATTERN.findall(parts["keys"])))
    if missing:
        listed = ", ".join(f"{name} -> {path}" for name, path in missing.items())
        raise ValueError(
            f"Each stage must name a submodule of the network, got {listed}. "
            f"There are: {', '.join(path for path in paths if path and path.count('.') < 2)}."
        )
    return found


class StopForwardPass(Exception):  # noqa: N818 -- no error
    """Raised while watching: all that was asked for has been seen, and the rest of the network need not run."""


def _replace_entry(output: Any, keys: tuple[str, ...], value: Any) -> Any:
    """A copy of the output with another value in the place of one entry."""
    if not keys:
        return value
    entries = dict(list_entries(output))
    entries[keys[0]] = _replace_entry(entries[keys[0]], keys[1:], value)
    if isinstance(output, Mapping):
        return type(output)({key: entries[str(key)] for key in output})  # type: ignore[call-arg]
    if isinstance(output, (tuple, list)):
        return output._make(entries.values()) if hasattr(output, "_make") else type(output)(entries.values())
    return replace(output, **entries)


@contextmanager
def observe_outputs(
    network: nn.Module, points: Mapping[str, nn.Module | HookPoint], look: Callable[[str, Any], Any]
) -> Iterator[None]:
    """Calls `look(stage, output)` whenever a stage has been computed, so that its output need not be kept.

    What it returns, unless None, takes the place of the stage in the forward pass.
    """
    calls: Counter[nn.Module] = Counter()

    def hook(name: str, point: HookPoint) -> Callable[[nn.Module, Any, Any], Any]:
        def see(module: nn.Module, inputs: Any, output: Any) -> Any:
            if point.call is not None and calls[module] != point.call:
                return None
            selected = point.select(output)
            changed = None if point.keys and selected is None else look(name, selected)
            return None if changed is None else _replace_entry(output, point.keys, changed)

        return see

    wanted = {name: point if isinstance(point, HookPoint) else HookPoint(point) for name, point in points.items()}
    handles = [network.register_forward_pre_hook(lambda module, inputs: calls.clear())]
    for module in {point.module for point in wanted.values() if point.call is not None}:
        handles.append(module.register_forward_hook(lambda module, inputs, output: calls.update([module])))
    handles += [point.module.register_forward_hook(hook(name, point)) for name, point in wanted.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def prepare_images(images: Float[Tensor, "B C H W"], subject: Subject, network: nn.Module) -> Float[Tensor, "B C h w"]:
    """Images in [0, 1] cut to the subject's window and normalised, on the device and in the number format."""
    placed = crop_centre(images, subject.window).to(get_input_like(network, images))
    mean, std = (placed.new_tensor(values)[:, None, None] for values in (subject.mean, subject.std))
    return (placed - mean).div_(std)


def get_input_like(network: nn.Module, images: Tensor) -> Tensor:
    """A tensor with the device and the number format that the network's inputs need."""
    return next((parameter for parameter in network.parameters() if parameter.is_floating_point()), images)


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
