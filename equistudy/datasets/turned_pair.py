"""Two images that differ only in their orientation: the second is the first, rotated."""

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.resizing import resize_square

__all__ = ["Picture", "TurnedPair"]

DRAWN_SIZE = 32  # pixels of a rendered picture before it is resized


class Picture(Enum):
    """LETTER: an F with strokes of 1 pixel. BLOB: a smooth elongated spot."""

    LETTER = "letter"
    BLOB = "blob"

    def render(self) -> UInt8[np.ndarray, "32 32"]:
        """The picture, computed in integers: the same bytes on every machine."""
        image = np.zeros((DRAWN_SIZE, DRAWN_SIZE), dtype=np.uint8)
        if self is Picture.LETTER:
            image[6:26, 9] = image[6, 9:24] = image[15, 9:19] = 255
            return image
        row, column = np.mgrid[:DRAWN_SIZE, :DRAWN_SIZE]
        # 255 (1 - d / 200)^2 within d < 200, with d the squared distance from (12, 18), doubled along the columns
        inside = np.maximum(200 - (row - 12) ** 2 - 2 * (column - 18) ** 2, 0)
        return (255 * inside**2 // 200**2).astype(np.uint8)


@dataclass(frozen=True)
class TurnedPair(Dataset):
    """A picture (class 0) and the picture after one counter-clockwise quarter turn (class 1), for training and testing.

    A network that is exactly invariant to quarter turns has equal logits for both, so that its cross-entropy is at
    least ln 2 = 0.693: any lower loss exploits a violation of the symmetry. Pictures are rendered at 32 x 32 pixels and
    resized to `size` before the rotation. With this `std`, white becomes 8 after normalisation.

    Source: the experiment of Edixhoven, Lengyel and van Gemert 2023, arXiv:2308.11316, whose picture is a chess knight.

    >>> import equistudy as eq
    >>> eq.TurnedPair(size=9).image_shape
    (1, 9, 9)
    """

    picture: Picture = Picture.LETTER
    size: int = DRAWN_SIZE

    num_classes: ClassVar[int] = 2
    mean: ClassVar[tuple[float, ...]] = (0.0,)
    std: ClassVar[tuple[float, ...]] = (0.125,)
    disjoint: ClassVar[bool] = False
    background: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(
                f"size must be at least 2 pixels, got size={self.size}. Use {DRAWN_SIZE}, the rendered size."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """One grey channel of `size` by `size` pixels."""
        return 1, self.size, self.size

    def fingerprint(self) -> str:
        """SHA-256 over the rendered picture."""
        return hashlib.sha256(self.picture.render().tobytes()).hexdigest()

    def load(self, split: Split) -> Examples:
        """The two images; both splits are the same."""
        import torch

        image = torch.tensor(resize_square(self.picture.render(), self.size))
        return Examples(torch.stack([image, torch.rot90(image)])[:, None].contiguous(), torch.tensor([0, 1]))
