"""Tone operations, applied to each image of a batch separately. Values lie in [0, 1]."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

__all__ = ["equalise", "posterise", "sharpen", "solarise", "stretch_contrast"]

NUM_LEVELS = 256


def sharpen(images: Float[Tensor, "B C H W"], factor: Float[Tensor, "B 1 1 1"]) -> Float[Tensor, "B C H W"]:
    """Blends `factor` parts of each image with 1 - `factor` parts of its smoothed version; 1 changes nothing.

    Smoothing weights a pixel by 5 / 13 and each of its eight neighbours by 1 / 13. Border pixels stay as they are.
    """
    height, width = images.shape[-2:]
    if min(height, width) <= 2:
        return images
    # sums of slices rather than a convolution, whose rounding depends on the batch size
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    squares = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = images[..., 1:-1, 1:-1]
    changed = images.clone()
    changed[..., 1:-1, 1:-1] = inner + (1 - factor) * ((squares + 4 * inner) / 13 - inner)
    return changed.clamp(0, 1)


def posterise(images: Float[Tensor, "B C H W"], bits: int) -> Float[Tensor, "B C H W"]:
    """Rounds values down to multiples of 2^-bits, below 1."""
    levels = 2**bits
    return (images * levels).floor().clamp(0, levels - 1) / levels


def solarise(images: Float[Tensor, "B C H W"], threshold: float) -> Float[Tensor, "B C H W"]:
    """Inverts values at or above the threshold."""
    return torch.where(images >= threshold, 1 - images, images)


def stretch_contrast(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Shifts and scales each channel to the full range [0, 1]; a constant channel stays as it is."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    flat = low == high
    return ((images - low.masked_fill(flat, 0)) / (high - low).masked_fill(flat, 1)).clamp(0, 1)


def equalise(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Equalises the histogram of each channel at 8 bits by Pillow's rule."""
    B, C, H, W = images.shape
    levels: Integer[Tensor, "B C P"] = (images.float() * (NUM_LEVELS - 1e-3)).long().flatten(2)
    counts = levels.new_zeros(B, C, NUM_LEVELS).scatter_add_(2, levels, torch.ones_like(levels))
    below = counts.cumsum(dim=2)
    largest = counts.gather(2, below.argmax(dim=2, keepdim=True))  # how many pixels have the largest level
    step = (H * W - largest) // (NUM_LEVELS - 1)
    table = ((below - counts + step // 2) // step.clamp(min=1)).clamp(0, NUM_LEVELS - 1)
    table[..., 0] = 0
    changed = torch.where(step > 0, table.gather(2, levels), levels)
    return (changed.reshape(images.shape) / (NUM_LEVELS - 1)).to(images.dtype)
