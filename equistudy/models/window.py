"""A network that sees squares of a given size, with or without room around them for content to move in."""

from dataclasses import dataclass

from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Preprocessing
from equistudy.models.wrapped import WrappedModel
from equistudy.spec import added_field

__all__ = ["Window"]

SMALLEST_WINDOW = 8


@dataclass(frozen=True)
class Window(WrappedModel):
    """The network of `model` on the central `pixels` by `pixels` of images that are scaled to `image_size`.

    Without `image_size` images are an eighth larger than the window: what a motion brings in is then part of the image,
    and at some sizes, of the form 32 m + 1 for most residual networks, a quarter turn maps every map onto itself. With
    `image_size` equal to `pixels` the network sees whole images, as most are trained on small ones.

    `mean` and `std` normalise the images in place of the model's own: one number for each channel, or one for all.
    """

    pixels: int
    image_size: int | None = added_field(None)
    mean: tuple[float, ...] | None = added_field(None)
    std: tuple[float, ...] | None = added_field(None)

    def __post_init__(self) -> None:
        if self.pixels < SMALLEST_WINDOW:
            raise ValueError(
                f"A window has at least {SMALLEST_WINDOW} pixels along each side, got pixels={self.pixels}."
            )
        if self.image_size is not None and self.image_size < self.pixels:
            raise ValueError(
                f"Images must be at least as large as the window, got image_size={self.image_size} for "
                f"pixels={self.pixels}. Use image_size={self.pixels} to show whole images."
            )
        if self.mean is not None and not all(0 <= value <= 1 for value in self.mean):
            raise ValueError(
                f"The mean of images in [0, 1] lies in [0, 1], got mean={self.mean}. Divide values from 0 to 255 "
                "by 255."
            )
        if self.std is not None and not all(0 < value <= 1 for value in self.std):
            raise ValueError(
                f"The std of images in [0, 1] lies in (0, 1], got std={self.std}. Divide values from 0 to 255 by 255."
            )

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """The window, with the model's mean and std unless there are others."""
        inner, channels = self.model.preprocessing(dataset), dataset.image_shape[0]
        image_size = self.image_size or self.pixels + 2 * -(-self.pixels // 14)
        mean, std = (
            own if given is None else _spread(given, channels)
            for given, own in ((self.mean, inner.mean), (self.std, inner.std))
        )
        return Preprocessing(mean, std, image_size, self.pixels)

    @property
    def has_own_preprocessing(self) -> bool:
        """It does."""
        return True


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One number for each channel."""
    if len(values) not in (1, channels):
        raise ValueError(
            f"mean and std have one number for each channel, or one for all, got {len(values)} for {channels} channels."
        )
    return values * channels if len(values) == 1 else values
