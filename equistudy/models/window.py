"""A network that sees squares of a given size, with room around them for content to move in."""

from dataclasses import dataclass

from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Preprocessing
from equistudy.models.wrapped import WrappedModel

__all__ = ["Window"]

SMALLEST_WINDOW = 8


@dataclass(frozen=True)
class Window(WrappedModel):
    """The network of `model` on squares of `pixels` by `pixels`, the middle of images that are an eighth larger.

    For networks that are measured as they are: what a motion brings in is then part of the image, and at some sizes, of
    the form 32 m + 1 for most residual networks, a quarter turn maps every map onto itself.
    """

    pixels: int

    def __post_init__(self) -> None:
        if self.pixels < SMALLEST_WINDOW:
            raise ValueError(
                f"A window has at least {SMALLEST_WINDOW} pixels along each side, got pixels={self.pixels}."
            )

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """The model's mean and std, and the window."""
        inner = self.model.preprocessing(dataset)
        return Preprocessing(inner.mean, inner.std, self.pixels + 2 * -(-self.pixels // 14), self.pixels)

    @property
    def has_own_preprocessing(self) -> bool:
        """It does."""
        return True
