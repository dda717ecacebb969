"""Resizes square images bilinearly in exact integer arithmetic: the same bytes on every machine."""

import numpy as np
from jaxtyping import Float64, Integer, UInt8

__all__ = ["resize_square"]

CHUNK_SIZE = 2048  # images at a time: 2048 colour images of 32 x 32 pixels take 50 MB as float64


def resize_square(images: Integer[np.ndarray, "*N H H"], size: int, maximum: int = 255) -> UInt8[np.ndarray, "*N S S"]:
    """Square images with values from 0 to `maximum`, resized to `size` x `size` pixels with values from 0 to 255.

    Output pixel i lies at (i + 1/2) H / S - 1/2 in the input. Its weights are a triangle centred there, with a half-
    width of 1 pixel when enlarging and H / S pixels when shrinking (antialiasing); at the border, the weights inside
    are normalised to sum to 1. Every weight is a ratio of integers, so the weighted mean is exact; halves are rounded
    up. Resizing therefore commutes with every symmetry of the square, bit for bit.

    This is the bilinear filter of PIL and of `torch.nn.functional.interpolate(antialias=True)`, whose 8-bit versions
    round the weights and may be off by one.
    """
    before = images.shape[-1]
    if before == size and maximum == 255:
        return images.astype(np.uint8)
    weights, flat = _compute_weights(before, size), images.reshape(-1, before, before)
    sums = weights.sum(axis=1).astype(np.int64)
    whole = sums[:, None] * sums * maximum
    result = np.empty((len(flat), size, size), dtype=np.uint8)
    for start in range(0, len(flat), CHUNK_SIZE):
        part = flat[start : start + CHUNK_SIZE].astype(np.float64)
        # integers below 2^53 add up exactly in float64, in any order
        totals = (weights @ part @ weights.T).astype(np.int64)
        result[start : start + CHUNK_SIZE] = (2 * 255 * totals + whole) // (2 * whole)
    return result.reshape(*images.shape[:-2], size, size)


def _compute_weights(before: int, after: int) -> Float64[np.ndarray, "{after} {before}"]:
    """The triangle weights times 2 max(before, after), which makes them integers."""
    pixels, places = 2 * np.arange(before) + 1, 2 * np.arange(after) + 1
    distance = np.abs(pixels * after - places[:, None] * before)
    return np.maximum(2 * max(before, after) - distance, 0).astype(np.float64)
