"""Random numbers for generated datasets that stay the same across versions of NumPy."""

import numpy as np
from jaxtyping import Float64

__all__ = ["draw_normals", "draw_uniforms"]

BITS_TO_UNIT = 2.0**-53  # scales the upper 53 of 64 random bits to [0, 1)


def draw_uniforms(seed: int, *shape: int) -> Float64[np.ndarray, "..."]:
    """Uniform on [0, 1), from the raw bits of PCG64. A longer first axis starts with the numbers of a shorter one."""
    bits = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return ((bits >> np.uint64(11)) * BITS_TO_UNIT).reshape(shape)


def draw_normals(seed: int, *shape: int) -> Float64[np.ndarray, "..."]:
    """Standard normal, each from two uniform numbers (Box-Muller)."""
    pairs = draw_uniforms(seed, *shape, 2)
    return np.sqrt(-2 * np.log1p(-pairs[..., 0])) * np.cos(2 * np.pi * pairs[..., 1])
