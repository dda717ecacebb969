"""Compares the outputs of modules inside a network: which one deviates first, and whether features are exact."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from equistudy.exactness.copies import RefusedError, describe_error, iterate_tensors
from equistudy.exactness.elements import ElementParameters, get_generators, move_image
from equistudy.exactness.numerics import FilterRecorder, NumericalJudge
from equistudy.exactness.outputs import measure_relative_errors
from equistudy.exactness.precision import run_in_float64

__all__ = ["are_features_exact", "find_first_deviation"]


def find_first_deviation(judge: NumericalJudge, height: int, width: int, row: ElementParameters) -> str:
    """The path of the first module whose output does not transform with the image under an element.

    The name of the network itself if the outputs of all modules do.
    """
    image, recorder = judge.create_image(height, width), FilterRecorder()
    still: list[tuple[str, Tensor]] = []
    _run_watched(judge.network, image, recorder, lambda path, output: still.append((path, output)))
    expected, deviating = iter(still), []

    def compare(path: str, output: Tensor) -> None:
        other, features = next(expected, (None, output))
        error = measure_relative_errors(features, {row: output}, (height, width), judge.own_group)[row]
        if other != path or not error < judge.threshold:
            deviating.append(path)

    # an element that exchanges rows and columns may give an image that the network refuses
    with suppress(RefusedError):
        _run_watched(judge.network, move_image(image, row), judge.create_mode(row, recorder), compare)
    return next(iter(deviating), "") or "(the network itself)"


def are_features_exact(judge: NumericalJudge, height: int, width: int, heads: Collection[str]) -> bool:
    """Whether the last map before the heads transforms exactly with the image; False if the size is refused.

    If no map comes before the heads, the last vector is compared.
    """
    image, recorder = judge.create_image(height, width), FilterRecorder()
    try:
        still = _find_features(judge.network, image, recorder, heads)
        moved = {
            row: _find_features(judge.network, move_image(image, row), judge.create_mode(row, recorder), heads)
            for row in get_generators(judge.group)
        }
    except RefusedError:
        return False
    errors = measure_relative_errors(still, moved, (height, width), judge.own_group)
    return all(error < judge.threshold for error in errors.values())


def _find_features(network: nn.Module, image: Tensor, mode: Any, heads: Collection[str]) -> Tensor:
    outputs: list[tuple[str, Tensor]] = []
    _run_watched(network, image, mode, lambda path, output: outputs.append((path, output)))
    before = list(takewhile(lambda found: found[0] not in heads, outputs))
    maps = [tensor for _, tensor in before if tensor.ndim == 4 and max(tensor.shape[2:]) > 1]
    return (maps or [tensor for _, tensor in before])[-1]


def _run_watched(network: nn.Module, image: Tensor, mode: Any, keep: Callable[[str, Tensor], Any]) -> None:
    with torch.random.fork_rng(devices=[]), _watch_outputs(network, keep), run_in_float64(mode):
        torch.manual_seed(0)
        try:
            network(image)
        except Exception as error:  # every network refuses images in its own way
            raise RefusedError(describe_error(error)) from error


@contextmanager
def _watch_outputs(network: nn.Module, keep: Callable[[str, Tensor], Any]) -> Iterator[None]:
    """Passes every tensor that a module returns to a callback, in the order of the forward pass."""

    def create_hook(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            for tensor in iterate_tensors(output):
                keep(path, tensor.clone())  # layers that work in place would change it

        return hook

    handles = [module.register_forward_hook(create_hook(path)) for path, module in network.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
