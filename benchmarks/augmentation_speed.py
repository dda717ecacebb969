"""How fast augmentation in batch is, against torchvision v2 on one image after the other.

The same distribution: a random crop of 4 pixels of padding, a flip with probability 1/2, and a rotation by up to 15
degrees, bilinear, black beyond the border; one thread, processor time, in turn.

    python benchmarks/augmentation_speed.py [--batch 512] [--size 32] [--repetitions 5]
"""

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.counts import read_counts
from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.rotation import RandomRotation
from equistudy.networks.import_timm import import_timm

import_timm()  # makes torchvision importable beside a torch without CUDA
from torchvision.transforms import InterpolationMode, v2  # noqa: E402


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ratios(batch: int, size: int, repetitions: int) -> tuple[float, list[float]]:
    """Our processor time for a batch, and how many times longer torchvision takes, repetition by repetition."""
    images = torch.rand(batch, 3, size, size)
    ours = Chain((RandomCrop(4), HorizontalFlip(), RandomRotation(15.0)))
    theirs = v2.Compose(
        [
            v2.RandomCrop(size, padding=4),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15.0, interpolation=InterpolationMode.BILINEAR),
        ]
    )
    rng = torch.Generator().manual_seed(0)
    pairs = []
    for repetition in range(-1, repetitions):
        mine = statistics.median(seconds(lambda: ours.augment(images, rng)) for _ in range(5))
        its = seconds(lambda: torch.stack([theirs(image) for image in images]))
        if repetition >= 0:
            pairs.append((mine, its))
    return statistics.median(mine for mine, _ in pairs), [its / mine for mine, its in pairs]


def main() -> None:
    arguments = read_counts(__doc__, batch=512, size=32, repetitions=5)
    torch.set_num_threads(1)
    mine, found = ratios(arguments.batch, arguments.size, arguments.repetitions)
    print(
        f"{arguments.batch} images of 3 x {arguments.size} x {arguments.size}: {mine * 1e3:.1f} ms, torchvision one by "
        f"one {statistics.median(found):.1f} times ({min(found):.1f} to {max(found):.1f})"
    )


if __name__ == "__main__":
    main()
