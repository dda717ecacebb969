"""Keeps matrix products in full float32 on GPUs that would otherwise round their inputs to TensorFloat32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["use_full_float32"]


@contextmanager
def use_full_float32() -> Iterator[None]:
    """All 23 bits in the convolutions and matrix products of this block; afterwards as it was.

    By default torch lets cuDNN round the factors of convolutions to TensorFloat32. The error of some 1e-3 would hide
    what sets an exactly equivariant network apart from a nearly equivariant one, and give other networks than a CPU.
    """
    backends: Any = torch.backends  # its stubs do not know them
    settings = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision
