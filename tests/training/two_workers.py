"""The curves of a trial that two processes train together."""

from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from equistudy.study.trial import Trial
from equistudy.training.sources import Share
from equistudy.training.trainer import Trainer

CPU = torch.device("cpu")


def _train(rank: int, trial: Trial, file: str, queue: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    trainer = Trainer(trial, CPU, Share(rank, 2))
    while not trainer.is_finished:
        trainer.train_epoch()
    if rank == 0:
        queue.put([tuple(value) for value in trainer.curves])
    dist.barrier()
    dist.destroy_process_group()


def train_with_two_workers(trial: Trial, folder: Path) -> list[tuple[Any, ...]]:
    """The curves that rank 0 keeps."""
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    context = torch.multiprocessing.spawn(_train, (trial, f"{folder}/rendezvous", queue), nprocs=2, join=False)
    curves: list[tuple[Any, ...]] = queue.get()
    while not context.join():
        pass
    return curves
