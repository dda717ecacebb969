"""How the elements of a box act on the inputs of a network, and how its outputs are moved back."""

from collections.abc import Sequence
from math import ceil

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from equistudy.augmentations.learned.box import Box, latin_hypercube
from equistudy.augmentations.learned.generators import Domain
from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.groups.resampling import warp

__all__ = [
    "DenseMotion",
    "ImageMotion",
    "Motion",
    "PointMotion",
    "build_motion",
    "find_lost_share",
    "find_needed_padding",
]

NUM_PROBES = 721  # elements along each generator that are tried


class Motion(nn.Module):
    """Base of the actions on inputs and outputs. Outputs stay as they are unless they move with the input."""

    def move_inputs(
        self, inputs: Float[Tensor, "N ..."], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N ..."]:
        """The inputs g x, each moved by the element given by its row of units in [-1, 1]."""
        raise NotImplementedError

    def move_outputs_back(
        self, outputs: Float[Tensor, "N ..."], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N ..."]:
        """The outputs g^-1 y, each moved back by its element."""
        return outputs


class ImageMotion(Motion):
    """Colours are mapped, then positions. `mean` and `std` are what images in [0, 1] were normalised with.

    Beyond its border an image is continued by `reflected` mirrored pixels and then by `background`, a value in [0, 1].
    `padding` enlarges the canvas by this many pixels on each side.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        background: float = 0.0,
        reflected: int = 0,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.background, self.reflected, self.padding = background, reflected, padding
        self._numbers = tuple(map(float, mean)), tuple(map(float, std))
        for name, values in zip(("mean", "std"), self._numbers, strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fills in the constants, as is needed after `to_empty`."""
        for buffer, values in zip((self.mean, self.std), self._numbers, strict=True):
            buffer.copy_(torch.tensor(values)[:, None, None])

    @property
    def outside(self) -> Float[Tensor, "C 1 1"]:
        """The normalised value of the background."""
        return (self.background - self.mean) / self.std

    def move_inputs(
        self, inputs: Float[Tensor, "N C H W"], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N C h w"]:
        """The images on a canvas that is larger by the padding on each side."""
        images = (
            self._map_colours(inputs, box.compute_maps(units, Domain.COLOUR)) if box.acts_on(Domain.COLOUR) else inputs
        )
        if not box.acts_on(Domain.PLANE):
            return images
        # a warp takes maps from output to input
        return self._warp(images, box.compute_maps(units, Domain.PLANE, inverse=True))

    def _map_colours(self, images: Float[Tensor, "B C H W"], maps: Float[Tensor, "B 3 4"]) -> Float[Tensor, "B C H W"]:
        """Each image with its colours mapped and clipped to [0, 1]."""
        colours = images * self.std + self.mean
        mapped = torch.einsum("bij,bjhw->bihw", maps[..., :3], colours) + maps[..., 3, None, None]
        return (mapped.clamp(0, 1) - self.mean) / self.std

    def _warp(self, images: Float[Tensor, "B C H W"], maps: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B C h w"]:
        if self.reflected:
            images = pad(images, (self.reflected,) * 4, mode="reflect")
        images = images - self.outside
        if self.padding > self.reflected:
            images = pad(images, (self.padding - self.reflected,) * 4)
        return _crop_margin(warp(images, maps) + self.outside, max(self.reflected - self.padding, 0))


class DenseMotion(ImageMotion):
    """For outputs that are maps of the image and move with it."""

    def move_outputs_back(
        self, outputs: Float[Tensor, "N K h w"], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N K H W"]:
        """The maps warped back, without the padding. What comes in from beyond the canvas is 0."""
        if not box.acts_on(Domain.PLANE):
            return outputs
        return _crop_margin(warp(outputs, box.compute_maps(units, Domain.PLANE)), self.padding)


class PointMotion(Motion):
    """Positions are mapped, and the vectors after them by the linear part alone; other features stay.

    Smaller sets are padded with rows of zeros, which stay zeros. A padded row is recognised by its other features; in
    datasets without any, every row is a point.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.space, self.vectors = dataset.space, dataset.vectors
        self.domain = Domain.PLANE if dataset.space == 2 else Domain.SPACE
        self.returns = dataset.target is Target.TRAJECTORY

    def move_inputs(
        self, inputs: Float[Tensor, "N P D"], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N P D"]:
        """The points moved."""
        features = inputs[..., self.space * self.vectors :]
        filled = features.any(-1) if features.shape[-1] else None
        return self._map_points(inputs, box.compute_maps(units, self.domain), filled)

    def move_outputs_back(
        self, outputs: Float[Tensor, "N ..."], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N ..."]:
        """Trajectories moved back; other outputs as they are."""
        return (
            self._map_points(outputs, box.compute_maps(units, self.domain, inverse=True)) if self.returns else outputs
        )

    def _map_points(
        self,
        points: Float[Tensor, "N *T P D"],
        maps: Float[Tensor, "N d e"],
        filled: Bool[Tensor, "N *T P"] | None = None,
    ) -> Float[Tensor, "N *T P D"]:
        size = self.space * self.vectors
        vectors = points[..., :size].unflatten(-1, (self.vectors, self.space))
        turned = torch.einsum("nij,n...j->n...i", maps[..., :-1], vectors)
        shifts = maps[..., -1].reshape(len(maps), *[1] * (points.ndim - 2), self.space)
        if filled is not None:
            shifts = shifts * filled[..., None]
        places = turned[..., 0, :] + shifts
        return torch.cat([places, turned[..., 1:, :].flatten(-2), points[..., size:]], dim=-1)


def build_motion(
    dataset: Dataset,
    reflected: int,
    padding: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Motion:
    """The action on the dataset's inputs and targets.

    `mean` and `std` are what images are normalised with, None for the dataset's own.
    """
    if dataset.modality is Modality.POINTS:
        return PointMotion(dataset)
    kind = DenseMotion if dataset.target is Target.LABELS else ImageMotion
    numbers = dataset.mean if mean is None else mean, dataset.std if std is None else std
    return kind(*numbers, dataset.background or 0.0, reflected, padding)


def find_needed_padding(box: Box, height: int, width: int) -> int:
    """The padding with which no pixel leaves the canvas: how far corners move beyond the image.

    For rotations by any angle this is (diagonal - shorter side) / 2, rounded up: 0.21 of the side of a square, and 0.33
    of the shorter side of 480 x 360 pixels.
    """
    y, x = (height - 1) / 2, (width - 1) / 2
    corners = torch.tensor([[-x, -y, 1.0], [-x, y, 1.0], [x, -y, 1.0], [x, y, 1.0]])
    reached = (corners @ _probe_maps(box).mT).abs().amax(dim=(0, 1)) - torch.tensor([x, y])
    return max(0, ceil(reached.max().item() - 1e-3))


def find_lost_share(box: Box, height: int, width: int, padding: int) -> float:
    """The largest fraction of an image's pixels that one element moves off a canvas with this padding."""
    y, x = torch.meshgrid(*(torch.arange(size) - (size - 1) / 2 for size in (height, width)), indexing="ij")
    places = torch.stack([x.flatten(), y.flatten(), torch.ones(height * width)], dim=-1)
    reach = torch.tensor([(width - 1) / 2, (height - 1) / 2]) + padding + 0.5
    shares = [((places @ part.T).abs() > reach).any(-1).float().mean().item() for part in _probe_maps(box)[::8]]
    return max(shares)


@torch.no_grad()
def _probe_maps(box: Box) -> Float[Tensor, "N 2 3"]:
    """Maps along each axis of the box, at its corners, and inside."""
    along = torch.linspace(-1, 1, NUM_PROBES)[:, None]
    axes = [along * unit for unit in torch.eye(box.num_units)]
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * box.num_units).reshape(-1, box.num_units)
    units = torch.cat([*axes, corners, latin_hypercube(NUM_PROBES, box.num_units)])
    return box.compute_maps(units.to(box.raw.device), Domain.PLANE).float().cpu()


def _crop_margin(maps: Float[Tensor, "N C h w"], margin: int) -> Float[Tensor, "N C H W"]:
    height, width = maps.shape[-2:]
    return maps[..., margin : height - margin, margin : width - margin]
