"""Estimates the cost of a trial from a few training steps and a few measured images."""

import time
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from statistics import median

import torch
from torch import nn

from equistudy.datasets.dataset import Modality
from equistudy.measuring.engine import SHARD_SIZE, measure_all
from equistudy.measuring.measure import Measure
from equistudy.study.trial import Trial
from equistudy.training.batches import count_batches
from equistudy.training.subject import build_subject
from equistudy.training.trainer import MAX_EVALUATIONS, Trainer, build_network

__all__ = ["count_evaluations", "estimate_trial_seconds"]

FEW, MORE = 2 * SHARD_SIZE, 6 * SHARD_SIZE  # images in whole shards, which all take the same time


def estimate_trial_seconds(trial: Trial, measures: Sequence[Measure] = (), steps: int = 5) -> float:
    """The seconds for training, evaluation and measuring in this process, on one thread.

    Training is the median time of `steps` steps after one warm-up, times the number of steps. Evaluation is the time of
    one pass over the test split, times the number of passes. Measuring is extrapolated linearly from two small numbers
    of images, after one warm-up.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if not trial.recipe.epochs:
            return _time_measuring(trial, build_network(trial, device), measures)
        trainer = Trainer(trial, device)
        return _time_training(trainer, steps) + _time_measuring(trial, trainer.network, measures)
    finally:
        torch.set_num_threads(threads)


def _time_training(trainer: Trainer, steps: int) -> float:
    trial = trainer.trial
    times = [time.perf_counter()]
    for _ in islice(trainer.run_steps(), steps + 1):
        _synchronise(trainer.device)
        times.append(time.perf_counter())
    step = median(later - earlier for earlier, later in pairwise(times[1:] if len(times) > 2 else times))
    epochs, per_epoch = trial.recipe.epochs, count_batches(len(trainer.source), trial.recipe.batch_size)
    return step * per_epoch * epochs + _time_work(trainer.device, trainer.evaluate) * count_evaluations(epochs)


def count_evaluations(epochs: int) -> int:
    """The number of evaluations on the test split during and after training."""
    return -(-epochs // -(-epochs // MAX_EVALUATIONS))


def _time_measuring(trial: Trial, network: nn.Module, measures: Sequence[Measure]) -> float:
    if trial.dataset.modality is not Modality.IMAGES:
        return 0.0
    device = next(network.parameters()).device
    subject = build_subject(trial, network.eval(), device)
    number = len(subject.images)

    def seconds(images: int) -> float:
        targets = None if subject.targets is None else subject.targets[:images]
        few = subject._replace(images=subject.images[:images], targets=targets)
        return _time_work(device, lambda: measure_all(measures, few))

    seconds(FEW)
    if number <= MORE:
        return seconds(number)
    start, end = seconds(FEW), seconds(MORE)
    return end + max(0.0, end - start) * (number - MORE) / (MORE - FEW)


def _time_work(device: torch.device, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    _synchronise(device)
    return time.perf_counter() - began


def _synchronise(device: torch.device) -> None:
    """Waits until the accelerator has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize()
