"""Colour jitter: each image's brightness, contrast, saturation and hue changed by its own factors."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["ColourJitter"]

LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue, as torchvision has them


@dataclass(frozen=True)
class ColourJitter(Augmentation):
    """Multiplies brightness, contrast and saturation and then shifts the hue; values are clipped to [0, 1] each time.

    The element holds the three factors, uniform on [max(0, 1 - b), 1 + b] with b the field of that name, and the shift
    of the hue as a fraction of the circle, uniform on [-hue, hue]. Contrast is relative to the image's mean luma,
    saturation to each pixel's luma. Saturation and hue apply to images of 3 channels only.

    The operations are those of torchvision's `ColorJitter`, which applies them in random order.

    >>> import equistudy as eq
    >>> eq.ColourJitter(brightness=0.4).num_parameters
    4
    """

    moves: ClassVar[bool | None] = False

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {name}={getattr(self, name)}. Use 0 for none.")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue is a fraction of the circle in [0, 0.5], got hue={self.hue}. Use 0 for none.")

    @property
    def num_parameters(self) -> int:
        """Four: three factors, and the shift of the hue."""
        return 4

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 4"]:
        """Each uniform on its interval."""
        import torch

        factors = [(max(0.0, 1 - range_), 1 + range_) for range_ in (self.brightness, self.contrast, self.saturation)]
        low, high = torch.tensor([*factors, (-self.hue, self.hue)], device=rng.device).unbind(1)
        return low + (high - low) * torch.rand(batch_size, 4, generator=rng, device=rng.device)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 4"]) -> Float[Tensor, "B C H W"]:
        """Each image with its own factors."""
        import torch

        values = images if images.dtype == torch.float64 else images.float()
        brightness, contrast, saturation, hue = elements.to(values)[:, :, None, None, None].unbind(1)
        changed = (values * brightness).clamp(0, 1)
        changed = _blend(changed, _compute_luma(changed).mean(dim=(1, 2, 3), keepdim=True), contrast)
        if images.shape[1] == len(LUMA):
            changed = _blend(changed, _compute_luma(changed), saturation)
            changed = _rotate_hue(changed, hue) if self.hue else changed
        return changed.to(images.dtype)


def _blend(
    images: Float[Tensor, "B C H W"], others: Float[Tensor, "B #C #H #W"], factor: Float[Tensor, "B 1 1 1"]
) -> Float[Tensor, "B C H W"]:
    """`factor` of the images and the rest of the others; beyond 1 away from them."""
    return (factor * images + (1 - factor) * others).clamp(0, 1)


def _compute_luma(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B c H W"]:
    """The brightness of each pixel; the images themselves where they have no colour."""
    if images.shape[1] != len(LUMA):
        return images
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def _rotate_hue(images: Float[Tensor, "B 3 H W"], shift: Float[Tensor, "B 1 1 1"]) -> Float[Tensor, "B 3 H W"]:
    """The hue, an angle of the hexagon of colours counted from 0 to 6, moved by `shift` of the whole turn."""
    import torch

    red, green, blue = images.split(1, dim=1)
    value = images.amax(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    unit = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(value == green, 2 + (blue - red) / unit, 4 + (red - green) / unit)
    hue = torch.where(value == red, (green - blue) / unit, hue) + 6 * shift
    sectors = (hue + images.new_tensor([5, 3, 1])[:, None, None]) % 6
    return value - chroma * torch.minimum(sectors, 4 - sectors).clamp(0, 1)
