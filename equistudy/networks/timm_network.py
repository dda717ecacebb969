"""Builds networks from timm and finds their stages."""

import difflib
import math
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from equistudy.networks.import_timm import import_timm

__all__ = [
    "build_bare_network",
    "build_network",
    "check_name",
    "get_licence",
    "get_native_num_classes",
    "get_native_preprocessing",
    "match_architectures",
]


def check_name(name: str, *, needs_tag: bool) -> None:
    """Raises ValueError, with the nearest names, if timm does not know `name` or it lacks a required tag."""
    timm = import_timm()
    architecture, _, tag = name.partition(".")
    tagged = timm.list_pretrained(architecture) if timm.is_model(architecture) else []
    if needs_tag and not tag:
        nearest = tagged or _suggest_similar(name, timm.list_pretrained())
        raise ValueError(
            f"Pretrained weights need a full timm name with its tag, got name={name!r}. {_describe_nearest(nearest)}"
        )
    if architecture not in timm.list_models(architecture):
        nearest = _suggest_similar(name, timm.list_pretrained() if tag else timm.list_models())
        raise ValueError(f"name must be a model of timm, got name={name!r}. {_describe_nearest(nearest)}")
    if "." in name and name not in tagged:
        nearest = _suggest_similar(name, tagged) or tagged
        raise ValueError(
            f"The tag must be one of those of timm's {architecture}, got name={name!r}. {_describe_nearest(nearest)}"
        )


def match_architectures(pattern: str) -> list[str]:
    """The architectures whose names match a shell pattern, such as `resnet*`. Raises ValueError if none does."""
    names: list[str] = import_timm().list_models(pattern)
    if not names:
        near = _suggest_similar(pattern.strip("*"), import_timm().list_models())
        raise ValueError(f"The pattern must match a model of timm, got {pattern!r}. {_describe_nearest(near)}")
    return names


def _suggest_similar(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=3, cutoff=0.5)


def _describe_nearest(names: list[str]) -> str:
    return f"Nearest: {', '.join(names[:5])}." if names else "timm.list_models() lists all."


class NativeInput(NamedTuple):
    """How timm preprocesses images: resized to `image_size`, cropped to `size` pixels, normalised by mean and std.

    `interpolation` is the resizing filter; with `squash` both sides are resized to `image_size`, otherwise the shorter.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    image_size: int
    interpolation: str
    squash: bool


def get_native_preprocessing(name: str, size: int | None = None) -> NativeInput:
    """The preprocessing of timm for the network of that name, at its own size or at another one."""
    config = import_timm().get_pretrained_cfg(name)
    own = int(config.input_size[-1])
    size = size or own
    tested = config.test_input_size is not None and size == int(config.test_input_size[-1]) and size != own
    crop = config.test_crop_pct if tested and config.test_crop_pct else config.crop_pct
    image_size = math.floor(size / crop)
    squash = config.crop_mode == "squash"
    return NativeInput(tuple(config.mean), tuple(config.std), size, image_size, config.interpolation, squash)


def get_native_num_classes(name: str) -> int:
    """The number of classes of the weights of that name."""
    return int(import_timm().get_pretrained_cfg(name).num_classes)


def get_licence(name: str) -> str | None:
    """The licence of the weights according to timm, or None if it states none."""
    found = import_timm().models.get_pretrained_cfg(name)
    return None if found is None else found.license


def build_network(
    name: str, image_shape: tuple[int, int, int], num_outputs: int, weights: Path | None = None
) -> nn.Module:
    """A network for images of (channels, height, width), with `stage_paths`: the submodule of each stage by name."""
    options: dict[str, Any] = {"num_classes": num_outputs, "in_chans": image_shape[0]}
    if weights is not None:
        # Passed as a file, because timm would query the hub for a newer revision even of cached weights.
        overlay = {"file": str(weights), "custom_load": False}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        network = _create_network(name, image_shape[1:], options)
    except (RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        if weights is None:
            raise
        raise ValueError(
            f"The weights must fit the network, got {weights} for {name!r}: {str(error).splitlines()[0]} "
            f"Fetch the file again, or rename it after its network."
        ) from error
    paths = _find_stage_paths(name, network, image_shape)
    network.stage_paths = paths  # type: ignore[assignment]
    return network


def build_bare_network(name: str, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
    """An untrained network for images of (channels, height, width), which need not have stages or a classifier."""
    check_name(name, needs_tag=False)
    return _create_network(name, image_shape[1:], {"num_classes": num_outputs, "in_chans": image_shape[0]})


def _create_network(name: str, image_size: tuple[int, ...], options: dict[str, Any]) -> nn.Module:
    """Creates the network for an image size if its architecture accepts one; timm does not say which do."""
    timm, state = import_timm(), torch.get_rng_state()
    try:
        return timm.create_model(name, img_size=image_size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    torch.set_rng_state(state)
    return timm.create_model(name, **options)


def _find_stage_paths(name: str, network: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, str]:
    """The stages in order, found by a forward pass of one image in evaluation mode.

    Feature stages are the modules listed in `feature_info`, or the first tensor in the output of such a module. For
    architectures that list none, they are the modules whose outputs `forward_intermediates` returns. There is no
    `pooled` if no module outputs the input of the classifier.
    """
    outputs, classified = _record_forward_pass(name, network, image_shape)
    listed = getattr(network, "feature_info", None) or []
    entries = listed.get_dicts(["module"]) if hasattr(listed, "get_dicts") else listed
    modules = dict.fromkeys(entry["module"] for entry in entries)
    by_path = dict(outputs)
    paths = [path for path in modules if isinstance(by_path.get(path), Tensor)]
    if len(paths) < len(modules):
        located = (_locate_first_tensor(path, by_path.get(path)) for path in modules)
        paths = _match_intermediates(network, outputs, image_shape, modules) or [
            address for address in located if address
        ]
    vector = classified.ndim == 2 or classified.shape[2:] == (1, 1)
    pooled = [path for path, output in outputs if output is classified and vector]
    return {**{path: path for path in paths}, **({"pooled": pooled[-1]} if pooled else {}), "logits": ""}


def _locate_first_tensor(path: str, output: object) -> str | None:
    """The path of the first tensor with spatial positions in the output of a module."""
    if isinstance(output, Tensor):
        return path
    entries = enumerate(output) if isinstance(output, (tuple, list)) else ()
    return next(
        (f"{path}[{index}]" for index, entry in entries if isinstance(entry, Tensor) and entry.ndim > 2),
        None,
    )


def _match_intermediates(
    network: nn.Module,
    outputs: list[tuple[str, object]],
    image_shape: tuple[int, int, int],
    declared: Iterable[str],
) -> list[str]:
    """The last module that outputs each map of `forward_intermediates`; empty unless all are found."""
    if not hasattr(network, "forward_intermediates"):
        return []
    was_training = network.training
    try:
        with torch.no_grad():
            maps = network.eval().forward_intermediates(  # type: ignore[operator]
                _make_ramp(image_shape), intermediates_only=True, output_fmt="NCHW"
            )
    except (RuntimeError, TypeError, AssertionError, NotImplementedError):
        return []
    finally:
        network.train(was_training)
    found = []
    for wanted in maps:
        same = [
            f"{path}[{index}]" if isinstance(output, (tuple, list)) else path
            for path, output in outputs
            for index, entry in enumerate(output if isinstance(output, (tuple, list)) else [output])
            if isinstance(entry, Tensor) and _shows_same_map(entry, wanted)
        ]
        if not same:
            return []
        found.append(next((path for path in same if path.split("[")[0] in declared), same[-1]))
    return list(dict.fromkeys(found))


def _shows_same_map(output: Tensor, wanted: Tensor) -> bool:
    """Whether an output equals the map (1, C, H, W), with channels first or last, or as tokens after class tokens."""
    _, channels, height, width = wanted.shape
    if output.ndim == 4:
        layouts = (output, output.permute(0, 3, 1, 2))
        return any(layout.shape == wanted.shape and torch.equal(layout, wanted) for layout in layouts)
    if output.ndim != 3 or output.shape[2] != channels or output.shape[1] < height * width:
        return False
    return torch.equal(output[:, -height * width :].transpose(1, 2), wanted.flatten(2))


def _make_ramp(image_shape: tuple[int, int, int]) -> Tensor:
    """One image whose pixels all differ, without using torch's random state."""
    channels, height, width = image_shape
    return torch.linspace(-1, 1, channels * height * width).view(1, *image_shape)


def _record_forward_pass(
    name: str, network: nn.Module, image_shape: tuple[int, int, int]
) -> tuple[list[tuple[str, object]], Tensor]:
    """The outputs of all submodules before the classifier, in order, and the input of the classifier."""
    outputs: list[tuple[str, object]] = []
    classified: list[Tensor] = []
    head = network.get_classifier()  # type: ignore[operator]
    head = head[0] if isinstance(head, (tuple, list, nn.ModuleList)) else head

    def watch(path: str) -> Any:
        def keep(module: nn.Module, arguments: Any, output: object) -> None:
            if not classified:
                outputs.append((path, output))

        return keep

    hooks = [module.register_forward_hook(watch(path)) for path, module in network.named_modules()]
    hooks.append(head.register_forward_pre_hook(lambda module, arguments: classified.append(arguments[0])))
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(_make_ramp(image_shape))
    except Exception as error:  # architectures raise many types of error for an unsupported size
        raise ValueError(
            f"The timm model must accept the dataset's images, got name={name!r} and images of shape {image_shape}, "
            f"with: {error}. Choose another architecture or larger images."
        ) from error
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    if not classified:
        raise ValueError(
            f"The timm model must have a classifier, got name={name!r} without one. Choose another architecture."
        )
    return outputs, classified[0]
