"""Grids of square patches, the first layer of transformers and mixers."""

from math import gcd

from equistudy.models.model import Model

__all__ = ["compute_patch_grid", "list_block_stages"]


def compute_patch_grid(model: Model, patch: int, image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Rows and columns of patches of `patch` x `patch` pixels. Raises ValueError if they do not tile the image."""
    _, height, width = image_shape
    if height % patch or width % patch:
        common = gcd(height, width)
        divisors = ", ".join(str(size) for size in range(1, common + 1) if common % size == 0)
        raise ValueError(
            f"{type(model).__name__} needs a patch size that divides the image size, got patch={patch} for images of "
            f"{height} x {width} pixels. Use one of {divisors}."
        )
    return height // patch, width // patch


def list_block_stages(stem: str, depth: int, pooled: str) -> dict[str, str]:
    """The stages of a network of `depth` equal blocks, with timm's module names."""
    blocks = {f"block{index + 1}": f"blocks.{index}" for index in range(depth)}
    return {"stem": stem, **blocks, "pooled": pooled, "logits": "head"}
