"""A tensor that is computed from parameters and kept until one of them changes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["TensorCache"]


class TensorCache:
    """Keeps one tensor as long as the parameters that it is made from are the same objects with the same content.

    Every change in place that torch counts is seen: optimiser steps, `load_state_dict`, `copy_`. A change through
    `.data` is not; `clear` after it. Copies and pickles of a cache are empty.
    """

    def __init__(self) -> None:
        self._value: Tensor | None = None
        self._key: list[tuple[Tensor, int, int]] = []

    def __reduce__(self) -> tuple[type["TensorCache"], tuple[()]]:
        return TensorCache, ()

    def clear(self) -> None:
        """Forgets the tensor."""
        self._value = None

    def get_or_compute(self, parameters: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` gives: with its gradients where they are asked for, else without and kept."""
        if not _is_cacheable(parameters):
            return compute()
        key = [(parameter, parameter._version, parameter.data_ptr()) for parameter in parameters]
        if self._value is None or not _is_same_key(key, self._key):
            # outside of inference mode, so that the tensor may meet the gradients of images later on
            with torch.inference_mode(False), torch.no_grad():
                self._value = compute()
            self._key = key
        return self._value


def _is_cacheable(parameters: Sequence[Tensor]) -> bool:
    """Whether nothing else than the value is asked for, and changes are counted, as they are not of inference tensors.

    What stands in for a parameter under a transform of `torch.func` is no nn.Parameter. A compiled graph has no memory.
    """
    if torch.compiler.is_compiling():
        return False
    if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
        return False
    return all(isinstance(parameter, nn.Parameter) and not parameter.is_inference() for parameter in parameters)


def _is_same_key(key: list[tuple[Tensor, int, int]], other: list[tuple[Tensor, int, int]]) -> bool:
    # tensors are compared by identity: == would compare their entries
    return len(key) == len(other) and all(
        mine[0] is its[0] and mine[1:] == its[1:] for mine, its in zip(key, other, strict=True)
    )
