"""A circular mask: each image shows its inscribed disk alone."""

from dataclasses import dataclass

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.groups.affine_group import crop_central_square, inscribed_disk_mask
from equistudy.spec import Generator, Tensor

__all__ = ["InscribedDisk"]


@dataclass(frozen=True)
class InscribedDisk(Augmentation):
    """Black beyond the largest disk about the centre, so that corners tell nothing about a turn. Nothing is random.

    For training beside `AccuracyPerAngle(surround=Surround.DISK)`, which tests on such images; behind rotations in a
    `Chain`. Pixels belong to the disk by their centres, as there.
    """

    @property
    def num_parameters(self) -> int:
        """None."""
        return 0

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 0"]:
        """Empty elements; draws nothing."""
        import torch

        return torch.empty(batch_size, 0, device=rng.device)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 0"]) -> Float[Tensor, "B C H W"]:
        """The masked images; of rectangles, the disk within the central square."""
        import torch

        disk = inscribed_disk_mask(crop_central_square(images))
        height, width = images.shape[-2:]
        top, left = (height - len(disk)) // 2, (width - len(disk)) // 2
        inside = torch.zeros(height, width, dtype=torch.bool, device=images.device)
        inside[top : top + len(disk), left : left + len(disk)] = disk
        return torch.where(inside, images, 0.0)
