"""Finds every tensor that the modules of a network return, and why the other modules return none."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.measuring.stages import evaluation_mode, list_entries

__all__ = ["OUTPUT", "FoundStages", "find_stages"]

OUTPUT = "output"  # what the network itself is called among its layers


class FoundStages(NamedTuple):
    """The path of every stage by its name, in the order in which they run.

    `same` maps a block that returns the very tensor of another stage, such as a residual block that ends in an
    activation, to that stage; `absent` says why a module is not a stage.
    """

    paths: dict[str, str]
    same: dict[str, str]
    absent: dict[str, str]


class _SeenTensor(NamedTuple):
    """A tensor that a module returned, kept alive so that its id stays unique, with its version at that time."""

    name: str
    tensor: Tensor
    version: int


def find_stages(network: nn.Module, images: Float[Tensor, "N C H W"]) -> FoundStages:
    """Every tensor that a module of the network returns, if it has one entry per image.

    A module that runs several times has a stage per call, and one that returns a tuple, list, dict or dataclass has a
    stage per tensor in it (`HookPoint` defines how they are written). A block that returns the very tensor of its last
    layer is the same stage. Every other module is in `absent` with the reason: it does not run, returns no such tensor,
    or returns its input, like an identity. A tensor that was modified in place in between is another stage.
    """
    modules = dict(network.named_modules())
    shared = {path: module for path, module in network.named_modules(remove_duplicate=False) if path not in modules}
    first_paths = {module: path for path, module in modules.items()}
    outputs: dict[str, list[list[tuple[str, Any, int]]]] = {path: [] for path in modules}
    order: list[tuple[str, int]] = []

    def record(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            order.append((path, len(outputs[path])))
            outputs[path].append(
                [(keys, each, each._version if isinstance(each, Tensor) else 0) for keys, each in _list_leaves(output)]
            )

        return hook

    like = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), images)
    handles = [module.register_forward_hook(record(path)) for path, module in modules.items()]
    try:
        # inference tensors do not count their changes in place
        with evaluation_mode(network), torch.inference_mode(mode=False), torch.no_grad():
            network(images[:2].clone().to(like))
    finally:
        for handle in handles:
            handle.remove()
    blocks = {path for path, module in modules.items() if any(True for _ in module.children())}
    found = _name_stages(outputs, order, min(2, len(images)), blocks)
    silent = {path: "it does not run in the forward pass" for path in modules if not outputs[path]}
    again = {path: f"it is the same module as {first_paths[module] or OUTPUT}" for path, module in shared.items()}
    return FoundStages(found.paths, found.same, found.absent | silent | again)


def _name_stages(
    outputs: dict[str, list[list[tuple[str, Any, int]]]], order: list[tuple[str, int]], entries: int, blocks: set[str]
) -> FoundStages:
    """Which of the outputs, in the order of the calls, are stages."""
    found = FoundStages({}, {}, {})
    seen: dict[int, list[_SeenTensor]] = {}
    for path, call in order:
        leaves = outputs[path][call]
        runs = f"#{call + 1}" if len(outputs[path]) > 1 else ""
        if not leaves:
            found.absent[f"{path or OUTPUT}{runs}"] = "its output is empty"
        for keys, output, version in leaves:
            address = f"{path}{runs}{keys}"
            name = address if path else f"{OUTPUT}{runs}{keys}"
            reason = _find_obstacle(output, entries)
            known = seen.setdefault(id(output), [])
            earlier = next((other.name for other in known if other.version == version), None)
            if reason is not None:
                found.absent[name] = reason
            elif earlier is None:
                known.append(_SeenTensor(name, output, version))
                found.paths[name] = address
            elif path in blocks:
                found.same[name] = earlier
            else:
                found.absent[name] = f"it returns the output of {earlier}"
    return found


def _list_leaves(output: Any, keys: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in nested tuples, lists, dicts and dataclasses, with the keys that lead there."""
    entries = list_entries(output)
    if not entries and not isinstance(output, (tuple, list, dict)):
        yield keys, output
    for key, value in entries:
        yield from _list_leaves(value, f"{keys}[{key}]")


def _find_obstacle(output: Any, entries: int) -> str | None:
    """Why an output is not a stage, or None."""
    if not isinstance(output, Tensor):
        return f"its output is of type {type(output).__name__}, not a tensor"
    if not output.is_floating_point():
        return f"its output holds {str(output.dtype).removeprefix('torch.')}, not floating-point numbers"
    if output.ndim < 2 or len(output) != entries:
        return f"its output of shape {list(output.shape)} does not have one entry for each of {entries} images"
    return None
