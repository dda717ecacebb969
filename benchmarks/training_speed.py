"""How fast training is: images per second of `equistudy.training` against loops written by hand.

The same ResNet, optimiser, batch of 128 and crop-and-flip augmentation on Fashion-MNIST, on the same cores with the
same number of torch threads, in turn within one process:

    ours             Trainer.steps(), which is what `python -m equistudy run` trains with
    tuned            a tuned loop by hand: one uint8 tensor, augmentation in batch, channels last, fused optimiser, no
                     evaluation
    loader N         PIL images, torchvision.transforms for each image, a DataLoader with N workers on the same cores,
                     the memory layout that torch gives by default
    loader N, v2     the same with tensors and torchvision.transforms.v2
    loader N, last   the same as `loader N` with network and batches in channels last
    ours, bfloat16   ours with Recipe(precision=Precision.BFLOAT16): other numbers, shown for comparison only

    python benchmarks/training_speed.py --folder data/fashion-mnist [--cores 1] [--depth 20] [--width 16]

The columns `ours is` divide the time of a row by that of ours, repetition by repetition: by the clock, and by the CPU
time of the training process, which other load on the machine disturbs less (but which spinning threads and loader
processes make meaningless, so for one core without workers only). Expect at least 1.0 against `tuned`. Against `loader`
the ratio is bounded by the network: a ResNet-20 of width 16 convolves at the peak of the processor for 80 % of a step.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.crop import RandomCrop
from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.mnist import FashionMNIST
from equistudy.datasets.resident import load_resident
from equistudy.models.resnet import ResNet
from equistudy.networks.import_timm import import_timm
from equistudy.recipe import Precision, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.trainer import Trainer

import_timm()  # makes torchvision importable beside a torch without CUDA
from PIL import Image  # noqa: E402
from torchvision import transforms  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

BATCH, PADDING, WARM_UP = 128, 4, 3


class Seconds(NamedTuple):
    """What a repetition took by the clock, and of CPU time in this process."""

    clock: float
    cpu: float


class Contender(NamedTuple):
    """A loop that trains one batch at a time."""

    name: str
    steps: Iterator[Any]


def ours(trial: Trial, device: str | torch.device = "cpu") -> Iterator[Tensor]:
    trainer = Trainer(trial, torch.device(device))
    while True:
        yield from trainer.run_steps()


def trained(trial: Trial, layout: torch.memory_format, batches: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """The loop that everybody writes, over batches that are normalised and augmented."""
    network = trial.model.build(trial.dataset.image_shape, trial.dataset.num_classes).to(memory_format=layout).train()
    optimiser = trial.recipe.optimiser.build(network.parameters())
    peaks = [group["lr"] for group in optimiser.param_groups]
    criterion = nn.CrossEntropyLoss()
    step, total = 0, trial.recipe.epochs * len(load_resident(trial.dataset, Split.TRAIN, "cpu").inputs) // BATCH
    while True:
        for images, targets in batches():
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * trial.recipe.schedule.factor(step / total)
            loss = criterion(network(images.to(memory_format=layout)), targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
            yield loss.detach()


def in_memory(examples: Examples, dataset: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches of one uint8 tensor, cropped and flipped as a batch by one lookup of pixels."""
    images, targets = examples
    padded = nn.functional.pad(images, (PADDING,) * 4)
    _, _, height, width = images.shape
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    mean, std = torch.tensor(dataset.mean) * 255, torch.tensor(dataset.std) * 255
    for chosen in torch.randperm(len(images)).split(BATCH):
        if len(chosen) < BATCH:
            return
        top, left = torch.randint(0, 2 * PADDING + 1, (2, BATCH))
        crops = windows[chosen, :, top, left].float().sub_(mean[:, None, None]).div_(std[:, None, None])
        flip = torch.rand(BATCH, 1, 1, 1) < 0.5
        yield torch.where(flip, crops.flip(3), crops), targets[chosen]


class PILImages(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The dataset as torchvision's own are: arrays, from which every access makes a PIL image and transforms it."""

    def __init__(self, examples: Examples, dataset: Dataset) -> None:
        self._images = examples.inputs[:, 0].numpy()
        self._targets = examples.targets.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(self._images.shape[1:], padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._targets[index]


class TensorImages(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The same with tensors and torchvision.transforms.v2."""

    def __init__(self, examples: Examples, dataset: Dataset) -> None:
        self._images, self._targets = examples.inputs, examples.targets.tolist()
        self._transform = v2.Compose(
            [
                v2.RandomCrop(examples.inputs.shape[2:], padding=PADDING),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(self._images[index]), self._targets[index]


def loaded(images: PILImages | TensorImages, workers: int) -> DataLoader[Any]:
    return DataLoader(
        images, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )


def contenders(trial: Trial) -> list[Contender]:
    examples, dataset = load_resident(trial.dataset, Split.TRAIN, "cpu"), trial.dataset
    contiguous, last = torch.contiguous_format, torch.channels_last
    rounded = replace(trial, recipe=replace(trial.recipe, precision=Precision.BFLOAT16))
    found = [
        Contender("ours", ours(trial)),
        Contender("tuned", trained(trial, last, lambda: in_memory(examples, dataset))),
        Contender("ours, bfloat16", ours(rounded)),
    ]
    pil, tensors = PILImages(examples, dataset), TensorImages(examples, dataset)
    for name, images, workers, layout in (
        ("loader 0", pil, 0, contiguous),
        ("loader 1", pil, 1, contiguous),
        ("loader 2", pil, 2, contiguous),
        ("loader 0, v2", tensors, 0, contiguous),
        ("loader 0, last", pil, 0, last),
        ("loader 1, last", pil, 1, last),
    ):
        found.append(Contender(name, trained(trial, layout, loaded(images, workers).__iter__)))
    return found


def chosen_dataset(folder: Path | None) -> Dataset:
    if folder is not None and folder.is_dir():
        return FashionMNIST(folder=str(folder))
    print("No folder with Fashion-MNIST: the embedded digits on 28 x 28 pixels instead.")
    return Digits()


def measured(runners: list[Contender], steps: int, repetitions: int) -> dict[str, list[Seconds]]:
    """The time of `steps` steps of each in turn, after a warm-up."""
    rows: dict[str, list[Seconds]] = {runner.name: [] for runner in runners}
    for repetition in range(-1, repetitions):
        for name, batches in runners:
            began, cpu = time.perf_counter(), time.process_time()
            for _ in islice(batches, WARM_UP if repetition < 0 else steps):
                pass
            if repetition >= 0:
                rows[name].append(Seconds(time.perf_counter() - began, time.process_time() - cpu))
    return rows


def table(rows: dict[str, list[Seconds]], steps: int, cores: int) -> Iterator[str]:
    images = steps * BATCH
    yield f"{'':18} {'images/s':>9} {'lowest':>8} {'highest':>8} {'CPU ms/step':>12} {'ours is':>9} {'by CPU':>8}"
    for name, times in rows.items():
        speed = statistics.median(images / time.clock for time in times)
        low, high = images / max(time.clock for time in times), images / min(time.clock for time in times)
        pairs = list(zip(times, rows["ours"], strict=True))
        ratio = statistics.median(its.clock / mine.clock for its, mine in pairs)
        line = f"{name:18} {speed:9.0f} {low:8.0f} {high:8.0f}"
        if cores == 1 and "loader 1" not in name and "loader 2" not in name:
            by_cpu = statistics.median(its.cpu / mine.cpu for its, mine in pairs)
            step = statistics.median(time.cpu for time in times) / steps * 1e3
            yield f"{line} {step:12.1f} {ratio:8.2f}x {by_cpu:7.2f}x"
        else:
            yield f"{line} {'-':>12} {ratio:8.2f}x {'-':>8}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the four files of Fashion-MNIST lie")
    parser.add_argument("--cores", type=int, default=1, help="cores for each contender, its workers included")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6, help="steps in each repetition")
    parser.add_argument("--repetitions", type=int, default=7)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-arguments.cores :])
    torch.set_num_threads(arguments.cores)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: the row is to show it
    model, dataset = ResNet(arguments.depth, arguments.width), chosen_dataset(arguments.folder)
    augmentation = Chain((RandomCrop(PADDING), HorizontalFlip()))
    trial = Trial(model, dataset, Classification(), augmentation, Recipe(epochs=30, batch_size=BATCH), seed=0)
    rows = measured(contenders(trial), arguments.steps, arguments.repetitions)
    print(
        f"{model} on {dataset}, {arguments.cores} cores, medians of {arguments.repetitions} x {arguments.steps} steps"
    )
    print("\n".join(table(rows, arguments.steps, arguments.cores)))


if __name__ == "__main__":
    main()
