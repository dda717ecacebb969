"""Random rotation: each image turned about its centre."""

from dataclasses import dataclass

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["RandomRotation"]


@dataclass(frozen=True)
class RandomRotation(Augmentation):
    """Turns each image about its centre by its own angle, uniform on [-max_degrees, max_degrees].

    Positive is counter-clockwise as displayed; bilinear, black where nothing comes in. 180 degrees is every angle.
    """

    max_degrees: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_degrees <= 180:
            raise ValueError(
                f"max_degrees must lie in [0, 180], got max_degrees={self.max_degrees}. Use 180 for every angle."
            )

    @property
    def num_parameters(self) -> int:
        """One: the angle in degrees."""
        return 1

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 1"]:
        """Uniform angles in degrees."""
        import torch

        return (2 * torch.rand(batch_size, 1, generator=rng, device=rng.device) - 1) * self.max_degrees

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 1"]) -> Float[Tensor, "B C H W"]:
        """Each image turned by its own angle."""
        from equistudy.groups.affine import rotation_matrices, warp

        return warp(images, rotation_matrices(elements[:, 0]))
