"""A network that sees a central window of larger images, or whole images of a given size."""

from dataclasses import dataclass

from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Preprocessing
from equistudy.models.wrapped import WrappedModel
from equistudy.spec import added_field

__all__ = ["Window"]

SMALLEST_WINDOW = 8


@dataclass(frozen=True)
class Window(WrappedModel):
    """The network of `model` on the central `pixels` by `pixels` of images resized to `image_size`.

    By default images are an eighth larger than the window, so that real content moves into view. Window sizes of the
    form 32 m + 1 make quarter turns take cells to cells at every stage of most residual networks. With `image_size`
    equal to `pixels`, the network sees whole images, as most networks for small images are trained.

    `mean` and `std` replace the model's own normalisation: one number per channel, or one for all.

    >>> import equistudy as eq
    >>> eq.Window(eq.ResNet(8, 4), 33).preprocessing(eq.Digits()).window
    33
    """

    pixels: int
    image_size: int | None = added_field(None)
    mean: tuple[float, ...] | None = added_field(None)
    std: tuple[float, ...] | None = added_field(None)

    def __post_init__(self) -> None:
        if self.pixels < SMALLEST_WINDOW:
            raise ValueError(
                f"Window.pixels must be at least {SMALLEST_WINDOW}, got pixels={self.pixels}. Use a larger window."
            )
        if self.image_size is not None and self.image_size < self.pixels:
            raise ValueError(
                f"Images must be at least as large as the window, got image_size={self.image_size} for "
                f"pixels={self.pixels}. Use image_size={self.pixels} to show whole images."
            )
        if self.mean is not None and not all(0 <= value <= 1 for value in self.mean):
            raise ValueError(
                f"mean must lie in [0, 1], as images do, got mean={self.mean}. Divide values from 0 to 255 by 255."
            )
        if self.std is not None and not all(0 < value <= 1 for value in self.std):
            raise ValueError(
                f"std must lie in (0, 1], for images in [0, 1], got std={self.std}. Divide values from 0 to 255 by 255."
            )

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """The window, with the model's mean and std unless they are given."""
        inner, channels = self.model.preprocessing(dataset), dataset.image_shape[0]
        image_size = self.image_size or self.pixels + 2 * -(-self.pixels // 14)
        mean, std = (
            own if given is None else _spread(given, channels)
            for given, own in ((self.mean, inner.mean), (self.std, inner.std))
        )
        return Preprocessing(mean, std, image_size, self.pixels)

    @property
    def has_own_preprocessing(self) -> bool:
        """Always true."""
        return True


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """The values, one per channel."""
    if len(values) not in (1, channels):
        raise ValueError(
            f"mean and std must have one number per channel, or one for all, got {len(values)} for {channels} channels."
            " Give one for all."
        )
    return values * channels if len(values) == 1 else values
