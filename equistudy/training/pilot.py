"""What a trial will cost, from a few steps of its training."""

import time
from itertools import islice, pairwise
from statistics import median

import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.resident import resident
from equistudy.study.trial import Trial
from equistudy.training.batches import num_batches
from equistudy.training.trainer import Trainer

__all__ = ["expected_seconds"]


def expected_seconds(trial: Trial, steps: int = 5) -> float:
    """Seconds of training here on one thread: the median of `steps` steps after one warm-up, times all steps."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = [time.perf_counter()]
        for _ in islice(Trainer(trial, device).steps(), steps + 1):
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter())
    finally:
        torch.set_num_threads(threads)
    seconds = median(later - earlier for earlier, later in pairwise(times[1:]))
    count = num_batches(len(resident(trial.dataset, Split.TRAIN, device).images), trial.recipe.batch_size)
    return seconds * count * trial.recipe.epochs
