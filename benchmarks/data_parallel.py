"""How much faster two workers of one thread train than one: the same trial, the same global batch, gloo.

    python benchmarks/data_parallel.py [--folder data/fashion-mnist] [--batch 256] [--steps 6]

Images per second by the clock, which other load on the machine disturbs: run it alone, on two free cores.
"""

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.training_speed import chosen_dataset
from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.crop import RandomCrop
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.sources import Share
from equistudy.training.trainer import Trainer

WARM_UP = 2


def _rate(trial: Trial, share: Share, steps: int) -> float:
    """Images per second over all workers."""
    torch.set_num_threads(1)
    losses = Trainer(trial, torch.device("cpu"), share).run_steps()
    for _ in islice(losses, WARM_UP):
        pass
    began = time.perf_counter()
    for _ in islice(losses, steps):
        pass
    return trial.recipe.batch_size * steps / (time.perf_counter() - began)


def _worker(rank: int, trial: Trial, steps: int, file: str, rates: Any) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    rate = _rate(trial, Share(rank, 2), steps)
    if rank == 0:
        rates.put(rate)
    dist.barrier()
    dist.destroy_process_group()


def ratio(folder: Path | None, batch: int, steps: int) -> tuple[float, float]:
    """Images per second of one worker and of two."""
    augmentation = Chain((RandomCrop(4), HorizontalFlip()))
    recipe = Recipe(epochs=1, batch_size=batch)
    trial = Trial(ResNet(20, 16), chosen_dataset(folder), Classification(), augmentation, recipe, seed=0)
    alone = _rate(trial, Share(), steps)
    rates = torch.multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as where:
        torch.multiprocessing.spawn(_worker, (trial, steps, f"{where}/rendezvous", rates), nprocs=2)
        return alone, rates.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the four files of Fashion-MNIST lie")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    alone, both = ratio(arguments.folder, arguments.batch, arguments.steps)
    print(f"one worker {alone:.0f} images/s, two {both:.0f}: {both / alone:.2f} times")


if __name__ == "__main__":
    main()
