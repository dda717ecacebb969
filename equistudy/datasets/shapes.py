"""Generated scenes with a class per pixel: coloured shapes in front of a horizon."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, UInt8

from equistudy.datasets.dataset import Dataset, Examples, Split, Target
from equistudy.datasets.draws import draw_normals, draw_uniforms

__all__ = ["Shapes"]

CHUNK_SIZE = 256
SKY, GROUND, DISK, SQUARE, TRIANGLE, VOID = range(6)
Plane = Float64[np.ndarray, "#N #H #W"]


@dataclass(frozen=True)
class Shapes(Dataset):
    """Scenes of `size` by `size` pixels: sky above ground, with a disk, a square and a triangle; label 5 is void.

    Classes: sky, ground, disk, square, triangle. The horizon, all positions and sizes and all colours are drawn per
    scene, so that a shape is recognisable only by its outline, and sky and ground by their position and slightly by
    their colour. Shapes are upright, and later ones occlude earlier ones. Pixels are noisy, and outlines are void.

    >>> import equistudy as eq
    >>> eq.Shapes(size=32).num_classes
    5
    """

    size: int = 32
    train_size: int = 400
    test_size: int = 200

    target: ClassVar[Target] = Target.LABELS
    num_classes: ClassVar[int] = 5
    void: ClassVar[int | None] = VOID
    mean: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)
    std: ClassVar[tuple[float, ...]] = (0.2, 0.2, 0.2)

    def __post_init__(self) -> None:
        if self.size < 16 or min(self.train_size, self.test_size) < 1:
            raise ValueError(
                f"Shapes needs at least 16 pixels and 1 scene per split, got size={self.size}, "
                f"train_size={self.train_size}, test_size={self.test_size}. Use for example size=32."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three channels of `size` by `size` pixels."""
        return 3, self.size, self.size

    def fingerprint(self) -> str:
        """A constant: the scenes are determined by the fields and this code."""
        return "generated"

    def load(self, split: Split) -> Examples:
        """The scenes and their labels. A smaller set is the start of a larger one."""
        import torch

        count = self.train_size if split is Split.TRAIN else self.test_size
        seed = int(split is Split.TRAIN)
        choices = draw_uniforms(10 + seed, count, 32)
        noise = draw_normals(20 + seed, count, 3, self.size, self.size)
        parts = [
            self._render_scenes(choices[at : at + CHUNK_SIZE], noise[at : at + CHUNK_SIZE])
            for at in range(0, count, CHUNK_SIZE)
        ]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Examples(torch.from_numpy(images), torch.from_numpy(labels))

    def _render_scenes(
        self, choices: Float64[np.ndarray, "N 32"], noise: Float64[np.ndarray, "N 3 S S"]
    ) -> tuple[UInt8[np.ndarray, "N 3 S S"], UInt8[np.ndarray, "N S S"]]:
        axis = (2 * np.arange(self.size) - (self.size - 1)) / self.size
        x, y = axis[None, None, :], axis[None, :, None]
        take = iter(choices.T[:, :, None, None])
        horizon = 0.3 * (2 * next(take) - 1)
        outlines = [np.broadcast_to(y - horizon, (len(choices), self.size, self.size))]
        for distance in (_disk_depth, _square_depth, _triangle_depth):
            radius = 0.22 + 0.12 * next(take)
            reach = 1 - radius
            outlines.append(distance(x - reach * (2 * next(take) - 1), y - reach * (2 * next(take) - 1), radius))
        labels = np.full(outlines[0].shape, SKY)
        colours = 0.2 + 0.6 * choices[:, 13:28].reshape(-1, 5, 3)
        colours[:, SKY, 2] += 0.2
        colours[:, GROUND, 0] += 0.2
        for kind, inside in enumerate(outlines, GROUND):
            labels = np.where(inside > 0, kind, labels)
            # void within half a pixel of the outline, unless a later shape covers it
            labels = np.where(np.abs(inside) < 1 / self.size, VOID, labels)
        # outline pixels have the colour of the class that would be there without void
        painted = np.full(outlines[0].shape, SKY)
        for kind, inside in enumerate(outlines, GROUND):
            painted = np.where(inside > 0, kind, painted)
        shown = colours[np.arange(len(choices))[:, None, None], painted].transpose(0, 3, 1, 2) + 0.08 * noise
        return np.round(255 * np.clip(shown, 0, 1)).astype(np.uint8), labels.astype(np.uint8)


def _disk_depth(x: Plane, y: Plane, radius: Plane) -> Plane:
    """Signed distance to the outline, positive inside; coordinates run from -1 to 1 across the image."""
    return radius - np.hypot(x, y)


def _square_depth(x: Plane, y: Plane, radius: Plane) -> Plane:
    """A square along the axes with the area of the disk."""
    half = 0.886 * radius
    return half - np.maximum(np.abs(x), np.abs(y))


def _triangle_depth(x: Plane, y: Plane, radius: Plane) -> Plane:
    """An equilateral triangle pointing up with the area of the disk."""
    inner = 0.777 * radius
    return inner - np.maximum(y, (np.sqrt(3) * np.abs(x) - y) / 2)
