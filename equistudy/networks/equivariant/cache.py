"""A tensor that is computed from parameters and kept until their numbers change."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["TensorCache"]


class TensorCache:
    """Keeps one tensor as long as the parameters that it is computed from hold the same numbers.

    The numbers themselves are compared with a copy: fused optimisers, `.data` and shared memory change parameters
    without raising their version. Comparing takes a small part of the time of a convolution on the CPU, but would wait
    for the device elsewhere, so nothing is kept there. Copies and pickles of a cache are empty.
    """

    def __init__(self) -> None:
        self._value: Tensor | None = None
        self._known: list[Tensor] = []

    def __reduce__(self) -> tuple[type["TensorCache"], tuple[()]]:
        return TensorCache, ()

    def clear(self) -> None:
        """Forgets the tensor."""
        self._value = None
        self._known = []

    def get_or_compute(self, parameters: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` gives: freshly computed where gradients may be needed, otherwise kept."""
        if not _is_cacheable(parameters):
            return compute()
        if self._value is None or not _are_same(parameters, self._known):
            # outside of inference mode, so that the tensor may meet gradients of images later on
            with torch.inference_mode(False), torch.no_grad():
                self._value = compute()
                self._known = [parameter.detach().clone() for parameter in parameters]
        return self._value


def _is_cacheable(parameters: Sequence[Tensor]) -> bool:
    """Whether only the value is needed, of plain parameters on the CPU.

    What stands in for a parameter under a transform of `torch.func`, or is computed from others as weight norm does, is
    no nn.Parameter. A compiled graph has no memory, and inference tensors cannot enter later computations.
    """
    if torch.compiler.is_compiling():
        return False
    if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
        return False
    return all(
        type(parameter) is nn.Parameter and parameter.device.type == "cpu" and not parameter.is_inference()
        for parameter in parameters
    )


def _are_same(parameters: Sequence[Tensor], known: Sequence[Tensor]) -> bool:
    """Whether numbers, type and memory format are those of the copies."""
    return len(parameters) == len(known) and all(
        mine.dtype == its.dtype and mine.stride() == its.stride() and torch.equal(mine, its)
        for mine, its in zip(parameters, known, strict=True)
    )
