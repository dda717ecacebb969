"""A cache for a tensor that is computed from parameters, valid until their values change."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["TensorCache"]


class TensorCache:
    """Caches one tensor as long as the parameters that it is computed from have the same values.

    The values themselves are compared with a copy, because fused optimisers, `.data` and shared memory change
    parameters without incrementing their version. On the CPU this takes a small fraction of the time of a convolution;
    on other devices it would synchronise, so nothing is cached there. Copies and pickles of a cache are empty.
    """

    def __init__(self) -> None:
        self._value: Tensor | None = None
        self._known: list[Tensor] = []

    def __reduce__(self) -> tuple[type["TensorCache"], tuple[()]]:
        return TensorCache, ()

    def clear(self) -> None:
        """Empties the cache."""
        self._value = None
        self._known = []

    def get_or_compute(self, parameters: Sequence[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """The result of `compute`, cached unless gradients may be needed."""
        if not _is_cacheable(parameters):
            return compute()
        if self._value is None or not _are_same(parameters, self._known):
            # Outside inference mode, so that the tensor can be used with autograd later.
            with torch.inference_mode(False), torch.no_grad():
                self._value = compute()
                self._known = [parameter.detach().clone() for parameter in parameters]
        return self._value


def _is_cacheable(parameters: Sequence[Tensor]) -> bool:
    """Whether the result may be cached: no gradients, and plain parameters on the CPU.

    Stand-ins for parameters under `torch.func`, or weights computed from others as in weight norm, are not
    nn.Parameters. Compiled graphs hold no cache, and inference tensors cannot enter later computations.
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
    """Whether values, dtype and memory format equal those of the copies."""
    return len(parameters) == len(known) and all(
        mine.dtype == its.dtype and mine.stride() == its.stride() and torch.equal(mine, its)
        for mine, its in zip(parameters, known, strict=True)
    )
