"""A circular mask: keeps the inscribed disk of each image."""

from dataclasses import dataclass

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.groups.affine_group import crop_central_square, inscribed_disk_mask
from equistudy.spec import Generator, Tensor

__all__ = ["InscribedDisk"]


@dataclass(frozen=True)
class InscribedDisk(Augmentation):
    """Blacks out everything outside the inscribed disk, so that corners do not reveal a rotation. Nothing is random.

    For training alongside `AccuracyPerAngle(surround=Surround.DISK)`, which tests on such images. Put it after
    rotations in a `Chain`. A pixel belongs to the disk if its centre does, as there.

    >>> import torch, equistudy as eq
    >>> images = torch.ones(1, 1, 4, 4)
    >>> eq.InscribedDisk().augment(images, torch.Generator())[0, 0, 0]
    tensor([0., 0., 0., 0.])
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
        """The masked images; oblong ones keep the disk within their central square."""
        import torch

        disk = inscribed_disk_mask(crop_central_square(images))
        height, width = images.shape[-2:]
        top, left = (height - len(disk)) // 2, (width - len(disk)) // 2
        inside = torch.zeros(height, width, dtype=torch.bool, device=images.device)
        inside[top : top + len(disk), left : left + len(disk)] = disk
        return torch.where(inside, images, 0.0)
