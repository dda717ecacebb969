"""Photographs decoded by Ray Data: tasks on any node read and decode windows while the network trains."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import Photographs
from equistudy.datasets.streaming import DecodedBlock, decode_blocks
from equistudy.training.streamed import ReadWindow

__all__ = ["RayReader"]


@dataclass(frozen=True)
class RayReader:
    """Reads windows by `tasks` tasks of Ray Data at a time; their blocks arrive in the order of the windows.

    The tasks run on the CPUs that the trial has, beside its training. Blocks travel through the object store of the
    node, which bounds how far the tasks run ahead.
    """

    tasks: int

    def __call__(self, windows: Iterable[ReadWindow]) -> Iterator[DecodedBlock]:
        """The blocks of the windows, one window after the other."""
        listed = list(windows)
        if not listed:
            return
        _silence_ray_data()
        import ray.data

        dataset, split = listed[0].dataset, listed[0].split

        items = [{"number": number, "places": window.places} for number, window in enumerate(listed)]
        stream = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _decode_window,
            fn_kwargs={"dataset": dataset, "split": split},
            batch_size=1,
            num_cpus=0,  # trials hold all CPUs: a task that asked for a share of one would wait forever
            concurrency=min(self.tasks, len(items)),
            batch_format="numpy",
        )
        for batch in _unwrap_errors(stream.iter_batches(batch_size=None, prefetch_batches=2)):
            names = batch["corrupt"][batch["corrupt"] != ""]
            corrupt = tuple(name for text in names for name in str(text).split("\n"))
            yield DecodedBlock(batch["images"].copy(), batch["targets"].copy(), corrupt)


def _decode_window(row: dict[str, Any], dataset: Photographs, split: Split) -> Iterator[dict[str, Any]]:
    """The decoded blocks of one window."""
    for block in decode_blocks(dataset, split, row["places"][0]):
        yield _to_columns(block)


def _to_columns(block: DecodedBlock) -> dict[str, Any]:
    """A block as Ray Data has it: one value of each column for each image; the first block also carries the names."""
    corrupt = np.array(["\n".join(block.corrupt), *([""] * (len(block.images) - 1))], dtype=object)
    return {"images": block.images, "targets": block.targets, "corrupt": corrupt}


def _unwrap_errors(batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The batches; what a task raised is raised as it was, so that unreadable data is not taken for a dead worker."""
    import ray

    try:
        yield from batches
    except ray.exceptions.RayTaskError as error:
        cause: BaseException | None = error
        while cause is not None and type(cause).__module__.partition(".")[0] == "ray":
            cause = getattr(cause, "cause", None) or cause.__cause__
        raise (error if cause is None else cause) from error


def _silence_ray_data() -> None:
    """Keeps Ray Data's progress off the screen, and its blocks in their order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray's of its own settings
        from ray.data import DataContext

        context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)
