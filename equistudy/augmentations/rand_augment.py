"""RandAugment: applies randomly drawn operations of one strength to each image."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, auto

from jaxtyping import Float

from equistudy.augmentations import tone
from equistudy.augmentations.augmentation import Augmentation
from equistudy.augmentations.colour import ColourJitter
from equistudy.groups.resampling import rotation_matrices, warp
from equistudy.spec import Generator, Tensor

__all__ = ["Operation", "RandAugment"]

MAX_STRENGTH = 30
LARGEST_SHEAR, LARGEST_SHIFT, LARGEST_ANGLE = 0.3, 150 / 331, 30.0  # at that strength; shifts per image side


class Operation(IntEnum):
    """The operations; strength and sign determine by how much."""

    NOTHING = 0
    SHEAR_X = auto()
    SHEAR_Y = auto()
    TRANSLATE_X = auto()
    TRANSLATE_Y = auto()
    ROTATE = auto()
    BRIGHTNESS = auto()
    SATURATION = auto()
    CONTRAST = auto()
    SHARPNESS = auto()
    POSTERISE = auto()
    SOLARISE = auto()
    STRETCH = auto()
    EQUALISE = auto()


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """Applies one of 14 operations to each image, all equally likely, and repeats this `rounds` times.

    All operations have the same `strength` m, from 0 to 30. With a random sign: shears by 0.3 m / 30, shifts by
    150 / 331 m / 30 of the image, rotations by m degrees, and factors of 1 + 0.9 m / 30 for brightness, saturation,
    contrast and sharpness. Posterising keeps 8 - 4 m / 30 bits, rounded, and solarising inverts values from 1 - m / 30
    on. Stretching the contrast and equalising the histogram have no strength. An element holds, for each round, the
    index of the operation and the sign.

    Source: Cubuk et al. 2020, arXiv:1909.13719; strengths as in torchvision's `RandAugment`, with bilinear
    interpolation. Shears and rotations are about the centre of the image.

    >>> import equistudy as eq
    >>> eq.RandAugment(rounds=2, strength=9.0).num_parameters
    4
    """

    rounds: int = 2
    strength: float = 9.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 <= self.strength <= MAX_STRENGTH:
            raise ValueError(
                f"RandAugment needs at least one round and a strength from 0 to {MAX_STRENGTH}, "
                f"got rounds={self.rounds}, "
                f"strength={self.strength}. The paper's usual choice is 2 and 9."
            )

    @property
    def num_parameters(self) -> int:
        """Two for each round: the operation and the sign, 1 or -1."""
        return 2 * self.rounds

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """An operation and a sign for each round, all equally likely."""
        import torch

        shape = batch_size, self.rounds
        chosen = torch.randint(len(Operation), shape, generator=rng, device=rng.device)
        signs = 2 * torch.randint(2, shape, generator=rng, device=rng.device) - 1
        return torch.stack([chosen, signs], dim=2).flatten(1).float()

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image through its own operations in turn."""
        return self.apply_on_background(images, elements, 0.0)

    def apply_on_background(
        self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"], background: float
    ) -> Float[Tensor, "B C H W"]:
        """As `apply`, but moved images show the background."""
        values = images if images.dtype.itemsize >= 4 else images.float()
        for chosen, signs in elements.unflatten(1, (self.rounds, 2)).permute(1, 2, 0):
            values = values.clone()
            for operation in Operation:
                here = chosen == operation
                if operation is not Operation.NOTHING and here.any():
                    shown = background if operation <= Operation.ROTATE else 0.0
                    moved = _apply_operation(operation, values[here] - shown, signs[here], self.strength / MAX_STRENGTH)
                    values[here] = moved + shown
        return values.to(images.dtype)


def _apply_operation(
    operation: Operation, images: Float[Tensor, "B C H W"], signs: Float[Tensor, " B"], share: float
) -> Float[Tensor, "B C H W"]:
    """Applies one operation to all images, at this fraction of the largest strength."""
    factors = 1 + 0.9 * share * signs
    if operation <= Operation.ROTATE:
        return _apply_motion(operation, images, signs * share)
    if operation <= Operation.CONTRAST:
        return _apply_colour(operation, images, factors)
    changes: dict[Operation, Callable[[], Float[Tensor, "B C H W"]]] = {
        Operation.SHARPNESS: lambda: tone.sharpen(images, factors.to(images)[:, None, None, None]),
        Operation.POSTERISE: lambda: tone.posterise(images, round(8 - 4 * share)),
        Operation.SOLARISE: lambda: tone.solarise(images, 1 - share),
        Operation.STRETCH: lambda: tone.stretch_contrast(images),
        Operation.EQUALISE: lambda: tone.equalise(images),
    }
    return changes[operation]()


def _apply_motion(
    operation: Operation, images: Float[Tensor, "B C H W"], share: Float[Tensor, " B"]
) -> Float[Tensor, "B C H W"]:
    """Moves each image by its signed fraction of the largest motion."""
    import torch

    if operation is Operation.ROTATE:
        return warp(images, rotation_matrices(LARGEST_ANGLE * share))
    height, width = images.shape[-2:]
    row, column, largest = {
        Operation.SHEAR_X: (0, 1, LARGEST_SHEAR),
        Operation.SHEAR_Y: (1, 0, LARGEST_SHEAR),
        Operation.TRANSLATE_X: (0, 2, LARGEST_SHIFT * width),
        Operation.TRANSLATE_Y: (1, 2, LARGEST_SHIFT * height),
    }[operation]
    matrices = torch.eye(2, 3, device=share.device).repeat(len(share), 1, 1)
    matrices[:, row, column] = -largest * share  # where each position of the output lies in the input
    return warp(images, matrices)


def _apply_colour(
    operation: Operation, images: Float[Tensor, "B C H W"], factors: Float[Tensor, " B"]
) -> Float[Tensor, "B C H W"]:
    """Multiplies the brightness, saturation or contrast of each image by its own factor."""
    import torch

    column = (Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SATURATION).index(operation)
    elements = torch.ones(len(factors), 4, device=factors.device)
    elements[:, column], elements[:, 3] = factors, 0
    return ColourJitter(hue=0).apply(images, elements)
