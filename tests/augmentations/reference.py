"""torchvision's transforms of one image, the slow reference."""

from types import ModuleType

import torch

from equistudy.networks.import_timm import import_timm

import_timm()  # makes torchvision importable beside a torch without CUDA
from torchvision.transforms import v2  # noqa: E402

functional: ModuleType = v2.functional


def one_by_one(function, images, elements):
    """`function(image, *element)` for each image with its own numbers, stacked."""
    return torch.stack([function(image, *row) for image, row in zip(images, elements.tolist(), strict=True)])
