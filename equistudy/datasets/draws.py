"""Random numbers for generated datasets that no version of a random generator can change."""

import numpy as np
from jaxtyping import Float64

__all__ = ["draw_normals", "draw_uniforms"]

BITS_TO_UNIT = 2.0**-53  # what the upper 53 of 64 random bits are multiplied with


def draw_uniforms(seed: int, *shape: int) -> Float64[np.ndarray, "..."]:
    """Uniform on [0, 1), from the raw bits of PCG64. A larger first axis begins with the smaller one's numbers."""
    bits = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return ((bits >> np.uint64(11)) * BITS_TO_UNIT).reshape(shape)


def draw_normals(seed: int, *shape: int) -> Float64[np.ndarray, "..."]:
    """Standard normal, two uniform numbers each (Box and Muller)."""
    pairs = draw_uniforms(seed, *shape, 2)
    return np.sqrt(-2 * np.log1p(-pairs[..., 0])) * np.cos(2 * np.pi * pairs[..., 1])
