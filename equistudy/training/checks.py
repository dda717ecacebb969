"""Checks before training: the data, and whether the machine supports the recipe."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from equistudy.augmentations.mixing import Mixing
from equistudy.datasets.dataset import Dataset, Examples, Split, Target
from equistudy.recipe import Precision
from equistudy.study.trial import Trial
from equistudy.training.batches import compute_batch_sizes
from equistudy.training.failures import DataError
from equistudy.training.sources import ResidentSource, Share, Source, StreamedSource

__all__ = ["check_data", "check_trainable", "hash_inputs"]

MAX_OVERLAP = 0.01  # published datasets contain a few duplicates
CHUNK_SIZE = 2**22  # numbers compared at a time


def check_data(trial: Trial, source: Source, test: Examples) -> None:
    """Raises DataError for wrong input shapes, invalid labels, empty classes, or test images in the training set."""
    dataset = trial.dataset
    splits = [(Split.TRAIN, source.examples), (Split.TEST, test)] if isinstance(source, ResidentSource) else []
    for split, examples in splits:
        _check_shape(examples, dataset, split)
    if dataset.target is Target.CLASS:
        if isinstance(source, ResidentSource):
            train = source.examples.targets.tolist()
        else:
            train = (
                list(source.dataset.list_images(Split.TRAIN).labels or ()) if isinstance(source, StreamedSource) else []
            )
        _check_labels(train, dataset, Split.TRAIN)
        _check_labels(test.targets.tolist(), dataset, Split.TEST)
        absent = sorted(set(range(dataset.num_classes)) - set(train))
        if absent:
            raise DataError(
                f"Each class needs a training example, got none of class {', '.join(map(str, absent[:5]))} of "
                f"{dataset.num_classes} in {dataset}. Number the classes without gaps, or add examples."
            )
    if isinstance(source, ResidentSource) and dataset.disjoint:
        _check_overlap(dataset, source.examples, test)


def _check_shape(examples: Examples, dataset: Dataset, split: Split) -> None:
    shape, told = tuple(examples.inputs.shape[1:]), tuple(dataset.input_shape)
    if shape != told:
        raise DataError(
            f"Inputs must have the shape that the dataset declares, got {_format_shape(shape)} in the {split.value} "
            f"split of {dataset}, which declares {_format_shape(told)}. Resize the images, or correct image_shape."
        )


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _check_labels(labels: Sequence[int], dataset: Dataset, split: Split) -> None:
    for place, label in enumerate(labels):
        if not 0 <= label < dataset.num_classes:
            raise DataError(
                f"Labels must lie in 0 to {dataset.num_classes - 1}, got {label} at position {place} of the "
                f"{split.value} split of {dataset}. Check num_classes and how the labels are read."
            )


def _check_overlap(dataset: Dataset, train: Examples, test: Examples) -> None:
    known = _overlaps.get(dataset)
    if known is None:
        seen = set(hash_inputs(train.inputs).tolist())
        known = _overlaps[dataset] = sum(mark in seen for mark in hash_inputs(test.inputs).tolist())
    if known > max(1, MAX_OVERLAP * len(test.inputs)):
        raise DataError(
            f"Test and training examples must differ, got {known} of {len(test.inputs)} test inputs of {dataset} that "
            "are also in the training split, byte for byte. Split the dataset again."
        )


_overlaps: dict[Dataset, int] = {}


def hash_inputs(inputs: Shaped[Tensor, "N ..."]) -> Int64[Tensor, " N"]:
    """A hash of each input by a random linear form; different inputs collide with a probability of 2^-64."""
    rows = inputs.flatten(1)
    rng = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**63), 2**63 - 1, (rows.shape[1],), generator=rng).to(inputs.device)
    # Floats enter by their bits; arithmetic is modulo 2^64.
    whole = rows.view(torch.int32) if rows.dtype == torch.float32 else rows
    chunks = whole.split(max(1, CHUNK_SIZE // rows.shape[1]))
    return torch.cat([(chunk.long() * weights).sum(dim=1) for chunk in chunks])


def check_trainable(trial: Trial, num_examples: int, device: torch.device, share: Share) -> None:
    """Raises ValueError for batches larger than the training set or smaller than the workers, or unsupported dtypes."""
    recipe = trial.recipe
    if recipe.batch_size > num_examples:
        raise ValueError(
            f"batch_size must be at most the size of the training set, got batch_size={recipe.batch_size} for "
            f"{num_examples} examples of {trial.dataset}. Use batch_size={num_examples} or less."
        )
    smallest = compute_batch_sizes(num_examples, recipe.batch_size)[-1]
    if smallest < share.workers:
        raise ValueError(
            f"Each worker needs at least one sample of every batch, got {share.workers} workers for batches "
            f"of {smallest}. Use fewer workers per trial or a larger batch_size."
        )
    if share.workers > 1 and isinstance(trial.augmentation, Mixing) and getattr(trial.dataset, "streamed", False):
        raise ValueError(
            f"Streamed images cannot be mixed across workers, got {trial.augmentation} with {share.workers} workers. "
            "Use one worker per trial, or streamed=False."
        )
    if recipe.precision is Precision.BFLOAT16 and device.type == "cuda" and not _has_bfloat16():
        raise ValueError(
            f"Precision.BFLOAT16 needs a GPU with bfloat16 support, got {torch.cuda.get_device_name(device)}. "
            "Use Precision.FLOAT32."
        )


@lru_cache(maxsize=1)
def _has_bfloat16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)
