"""Repeats work only as often as its processor time allows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Pacer"]


class Pacer:
    """Work that may take at most `share` of one processor, and is repeated after `pause` to `longest` seconds.

    After work that took 1 s of processor time at a share of 0.01, the next is due 100 s later. The first look reads
    everything and is therefore dear; `longest` bounds how long it delays the second.
    """

    def __init__(
        self,
        share: float,
        pause: float,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
        processor_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._share, self._pause, self._longest = share, pause, longest
        self._clock, self._processor_clock = clock, processor_clock
        self._due_at = -float("inf")

    @property
    def is_due(self) -> bool:
        """Whether the work may run again."""
        return self._clock() >= self._due_at

    @contextmanager
    def measure(self) -> Iterator[None]:
        """While the work runs."""
        began = self._processor_clock()
        try:
            yield
        finally:
            spent = self._processor_clock() - began
            self._due_at = self._clock() + min(self._longest, max(self._pause, spent / self._share))
