"""Splits that stay on a device: decoded once per node and loaded once per process, for all of its trials."""

from functools import lru_cache

import torch

from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.shared import load_shared

__all__ = ["load_resident"]

# Train and test of four datasets: as 8-bit images MNIST takes 55 MB and CIFAR 184 MB.
MAX_SPLITS = 8


def load_resident(dataset: Dataset, split: Split, device: torch.device | str) -> Examples:
    """The split on the device, shared within this process: never modify it in place.

    The eight most recently used splits are cached.
    """
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return _load_to_device(dataset, split, device)


@lru_cache(maxsize=MAX_SPLITS)
def _load_to_device(dataset: Dataset, split: Split, device: torch.device) -> Examples:
    inputs, targets = load_shared(dataset, split)
    return Examples(inputs.to(device), targets.to(device))
