"""Imports timm even if torchvision was built for CUDA and torch was not.

Such a torchvision finds no CUDA libraries, registers none of its operators, and fails at import with `operator
torchvision::nms does not exist`, and so does timm. Declaring the two operators that it looks up makes the import
succeed. Calling them still fails, but no model here does.
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
    """The module timm. All code must import it through this function, in every process."""
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
    """The declarations, which exist as long as this object."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
