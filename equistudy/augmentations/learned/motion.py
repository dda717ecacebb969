"""How the elements of a box act on what a network sees, and how what it gives is moved back."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from equistudy.augmentations.learned.box import Box
from equistudy.augmentations.learned.generators import Domain
from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.groups.affine import warp

__all__ = ["Motion", "build_motion"]


class Motion(nn.Module):
    """Base of the actions on inputs and outputs. Outputs are left as they are unless they move with the input."""

    def move_inputs(
        self, inputs: Float[Tensor, "N ..."], units: Float[Tensor, "N P"], box: Box
    ) -> Float[Tensor, "N ..."]:
        """What is g x: each input moved by the element that its row of units in [-1, 1] stands for."""
        raise NotImplementedError

    def move_outputs_back(
        self, outputs: Float[Tensor, "N ..."], units: Float[Tensor, "N P"], box: Box
    ) -> Float[Tensor, "N ..."]:
        """What is g^-1 y: each output moved back by its element."""
        return outputs


class ImageMotion(Motion):
    """Colours are mapped, then positions: continued by mirror images as far as asked, and by black beyond."""

    mean: Tensor
    std: Tensor

    def __init__(self, dataset: Dataset, reflected: int, padding: int) -> None:
        super().__init__()
        self.reflected, self.padding = reflected, padding
        # images come normalised
        self.register_buffer("mean", torch.tensor(dataset.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(dataset.std)[:, None, None], persistent=False)

    @property
    def black(self) -> Float[Tensor, "C 1 1"]:
        """What black, 0, has become in images that come normalised."""
        return -self.mean / self.std

    def move_inputs(
        self, inputs: Float[Tensor, "N C H W"], units: Float[Tensor, "N P"], box: Box
    ) -> Float[Tensor, "N C h w"]:
        """The images on a canvas that is larger by the padding on each side."""
        images = (
            self._map_colours(inputs, box.compute_maps(units, Domain.COLOUR)) if box.acts_on(Domain.COLOUR) else inputs
        )
        if not box.acts_on(Domain.PLANE):
            return images
        # a warp asks where in the input each position of the output lies
        return self._warp(images, box.compute_maps(units, Domain.PLANE, inverse=True))

    def _map_colours(self, images: Float[Tensor, "B C H W"], maps: Float[Tensor, "B 3 4"]) -> Float[Tensor, "B C H W"]:
        """Each image with its colours mapped, cut off at black and white."""
        colours = images * self.std + self.mean
        mapped = torch.einsum("bij,bjhw->bihw", maps[..., :3], colours) + maps[..., 3, None, None]
        return (mapped.clamp(0, 1) - self.mean) / self.std

    def _warp(self, images: Float[Tensor, "B C H W"], maps: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B C h w"]:
        if self.reflected:
            images = pad(images, (self.reflected,) * 4, mode="reflect")
        images = images - self.black
        if self.padding > self.reflected:
            images = pad(images, (self.padding - self.reflected,) * 4)
        return _crop_margin(warp(images, maps) + self.black, max(self.reflected - self.padding, 0))


class DenseMotion(ImageMotion):
    """The outputs are maps of the image, which move with it."""

    def move_outputs_back(
        self, outputs: Float[Tensor, "N K h w"], units: Float[Tensor, "N P"], box: Box
    ) -> Float[Tensor, "N K H W"]:
        """The maps warped the other way, without the padding. What comes in from outside is 0."""
        if not box.acts_on(Domain.PLANE):
            return outputs
        return _crop_margin(warp(outputs, box.compute_maps(units, Domain.PLANE)), self.padding)


class PointMotion(Motion):
    """Places are mapped, and the vectors behind them by the linear part alone; other features stay."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.space, self.vectors = dataset.space, dataset.vectors
        self.domain = Domain.PLANE if dataset.space == 2 else Domain.SPACE
        self.returns = dataset.target is Target.TRAJECTORY

    def move_inputs(
        self, inputs: Float[Tensor, "N P D"], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N P D"]:
        """The points moved."""
        return self._map_points(inputs, box.compute_maps(units, self.domain))

    def move_outputs_back(
        self, outputs: Float[Tensor, "N ..."], units: Float[Tensor, "N U"], box: Box
    ) -> Float[Tensor, "N ..."]:
        """Trajectories moved back; all else as it is."""
        return (
            self._map_points(outputs, box.compute_maps(units, self.domain, inverse=True)) if self.returns else outputs
        )

    def _map_points(self, points: Float[Tensor, "N *T P D"], maps: Float[Tensor, "N d e"]) -> Float[Tensor, "N *T P D"]:
        size = self.space * self.vectors
        vectors = points[..., :size].unflatten(-1, (self.vectors, self.space))
        turned = torch.einsum("nij,n...j->n...i", maps[..., :-1], vectors)
        shifts = maps[..., -1].reshape(len(maps), *[1] * (points.ndim - 2), self.space)
        places = turned[..., 0, :] + shifts
        return torch.cat([places, turned[..., 1:, :].flatten(-2), points[..., size:]], dim=-1)


def build_motion(dataset: Dataset, reflected: int, padding: int) -> Motion:
    """The action on the dataset's inputs, and on what it asks for."""
    if dataset.modality is Modality.POINTS:
        return PointMotion(dataset)
    return (DenseMotion if dataset.target is Target.LABELS else ImageMotion)(dataset, reflected, padding)


def _crop_margin(maps: Float[Tensor, "N C h w"], margin: int) -> Float[Tensor, "N C H W"]:
    height, width = maps.shape[-2:]
    return maps[..., margin : height - margin, margin : width - margin]
