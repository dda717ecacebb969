"""Runs networks in float64 even if they cast to a lower precision inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Float64Mode", "run_in_float64"]

_HIGHER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
_CASTS = frozenset({"half", "bfloat16", "float"})


@contextmanager
def run_in_float64(mode: "Float64Mode") -> Iterator[None]:
    """Activates the mode, and makes new tensors float64 by default."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), mode:
            yield
    finally:
        torch.set_default_dtype(usual)


class Float64Mode(TorchFunctionMode):
    """Every floating-point argument, dtype and result of a torch function becomes float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function in float64."""
        name = getattr(func, "__name__", "")
        if name in _CASTS:
            name, func, args, kwargs = "double", Tensor.double, args[:1], {}
        in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
        if in_place or name in ("__get__", "__set__", "__setitem__"):
            args = (*args[:1], *_promote(args[1:]))
        else:
            args = _promote(args)
        return _promote_result(self.call(name, func, args, _promote(kwargs or {})))

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of the function; subclasses intercept convolutions here."""
        return func(*args, **kwargs)


def _promote(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _promote_tensor(value) if value.dtype in _HIGHER else value
    if isinstance(value, torch.dtype):
        return _HIGHER.get(value, value)
    if type(value) in (tuple, list):
        return type(value)(_promote(item) for item in value)
    if type(value) is dict:
        return {key: _promote(item) for key, item in value.items()}
    return value


def _promote_tensor(tensor: Tensor) -> Tensor:
    """The promoted tensor, with the attributes that were set on it."""
    promoted = tensor.to(_HIGHER[tensor.dtype])
    vars(promoted).update(vars(tensor))
    return promoted


def _promote_result(value: Any) -> Any:
    """Promotes tensors only: a dtype that a network queries is reported as it is."""
    if isinstance(value, Tensor):
        return _promote(value)
    return type(value)(_promote_result(item) for item in value) if type(value) in (tuple, list) else value
