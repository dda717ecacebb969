"""Photographs that never are in memory all at once: in which order an epoch visits them, and how they are decoded.

An epoch is a fixed permutation that needs little random access. The parts that are stored together (row groups of
Parquet, single files of a folder) are read in random order; as many as hold `WINDOW_SIZE` images make a window, and
the images of a window are shuffled. So the order is known before anything is read: any number of workers can share it,
and it can be entered anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import Photographs

__all__ = ["DecodedBlock", "StreamOrder", "decode_blocks", "draw_stream_order"]

WINDOW_SIZE = 1024  # images that are shuffled together; compressed they are in memory at once
BLOCK_SIZE = 32  # images that are decoded before they are passed on: 5 MB at 224 pixels


class StreamOrder(NamedTuple):
    """Places in the listing of a split, in the order of an epoch; window k is `places[bounds[k] : bounds[k + 1]]`."""

    places: Int64[np.ndarray, " N"]
    bounds: tuple[int, ...]


class DecodedBlock(NamedTuple):
    """Some images one after the other, their classes, and the names of those that stand for others that are corrupt."""

    images: UInt8[np.ndarray, "B 3 S S"]
    targets: Int64[np.ndarray, " B"]
    corrupt: tuple[str, ...] = ()


def draw_stream_order(dataset: Photographs, split: Split, seed: int) -> StreamOrder:
    """A permutation of the images in use, window by window. It depends on the data's layout and the seed alone."""
    import torch

    rng = torch.Generator().manual_seed(seed)

    def shuffled(count: int) -> Int64[np.ndarray, " n"]:
        return torch.randperm(count, generator=rng).numpy()

    chosen = np.sort(np.array(dataset.choose_images(split), dtype=np.int64))
    ends = np.cumsum(dataset.part_sizes(split))
    part = np.searchsorted(ends, chosen, side="right")
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    lengths = np.diff(starts, append=len(chosen))
    turn = shuffled(len(starts))
    windows, waiting, size = [], [], 0
    for group in turn:
        waiting.append(chosen[starts[group] : starts[group] + lengths[group]])
        size += lengths[group]
        if size >= WINDOW_SIZE:
            windows.append(np.concatenate(waiting))
            waiting, size = [], 0
    if waiting:
        windows.append(np.concatenate(waiting))
    mixed = [window[shuffled(len(window))] for window in windows]
    return StreamOrder(np.concatenate(mixed), (0, *accumulate(len(window) for window in mixed)))


def decode_blocks(
    dataset: Photographs,
    split: Split,
    places: Sequence[int] | Int64[np.ndarray, " n"],
    each: Callable[[Callable[[bytes | str], Any], Iterable[bytes | str]], Iterable[Any]] = map,
) -> Iterator[DecodedBlock]:
    """The images at these places, in this order, block by block; `each` maps the decoder over the compressed ones.

    An image that cannot be read is replaced, with its class, by the one before it, or where there is none by the next
    that can, so that every batch keeps its size on every worker. ValueError where none can be read.
    """
    listing, chosen = dataset.list_images(split), [int(place) for place in places]
    images = each(dataset.decode, dataset.read_encoded(split, chosen))
    corrupt: list[str] = []
    block: list[tuple[UInt8[np.ndarray, "3 S S"], int]] = []
    orphans, last = 0, None
    for place, image in zip(chosen, images, strict=True):
        if isinstance(image, str):
            corrupt.append(f"{listing.names[place]} ({image})")
        else:
            last = image, -1 if listing.labels is None else listing.labels[place]
        if last is None:
            orphans += 1
            continue
        block += [last] * (1 + orphans)
        orphans = 0
        if len(block) >= BLOCK_SIZE:
            yield _stack_block(block, corrupt)
            block, corrupt = [], []
    if orphans:
        dataset.report_corrupt(corrupt, len(chosen))
    if block:
        yield _stack_block(block, corrupt)


def _stack_block(block: Sequence[tuple[UInt8[np.ndarray, "3 S S"], int]], corrupt: Sequence[str]) -> DecodedBlock:
    images, targets = zip(*block, strict=True)
    return DecodedBlock(np.stack(images), np.array(targets, dtype=np.int64), tuple(corrupt))
