"""Makes timm importable beside a torch without CUDA, whose torchvision cannot load its operators.

The torchvision that is published for CUDA finds no CUDA libraries under a CPU-only torch, registers none of its
operators, and then fails at import, and timm with it: `operator torchvision::nms does not exist`. Declaring the two
operators that it looks up lets the import go on. Calling them still fails; no model here does.
"""

import importlib
import sys
from functools import cache
from types import ModuleType

import torch

__all__ = ["import_timm"]

OPERATORS = ("nms", "qnms")
MISSING_OPERATOR_MESSAGE = "torchvision::nms does not exist"


@cache
def import_timm() -> ModuleType:
    """The module timm. Everything that needs timm asks here, in every process."""
    try:
        return importlib.import_module("timm")
    except RuntimeError as error:
        if MISSING_OPERATOR_MESSAGE not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
        del sys.modules[name]
    _declare_operators()
    return importlib.import_module("timm")


@cache
def _declare_operators() -> torch.library.Library:
    """The declarations, which last as long as this object."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
