"""How a run looks while it goes: a live view on a terminal, one line per event elsewhere; all on stderr."""

import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from equistudy.execution.job import Phase, Progress

__all__ = ["Display", "duration"]


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 4 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Display:
    """Shows a run. `expected` has the seconds that each planned trial will take, or None where nothing tells."""

    def __init__(self, console: Console, resume: str, expected: Mapping[str, float | None]) -> None:
        self._console, self._resume, self._expected = console, resume, expected
        self._live: Live | None = None
        self._shares: dict[str, float] = {}
        self._running: dict[str, Progress] = {}
        self._began = time.perf_counter()
        self._failed = self._done = self._total = 0

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, total: int, concurrent: int) -> None:
        """Ray is up; of `total` trials `concurrent` run at once."""
        self._total, self._began = total, time.perf_counter()
        self._console.print(f"{total} trials to run, {concurrent} at once", highlight=False)
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def progressed(self, progress: Progress) -> None:
        """A trial gave a sign of life."""
        if not progress.final:
            self._running[progress.trial] = progress
            self._shares[progress.trial] = min(0.95, progress.epoch / max(1, progress.epochs))
            return
        self._running.pop(progress.trial, None)
        self._shares[progress.trial] = 1.0
        failed = progress.phase == Phase.FAILED
        self._failed, self._done = self._failed + failed, self._done + (not failed)
        self._event(progress, failed)

    def _event(self, progress: Progress, failed: bool) -> None:
        line = Text(f"[{self._done + self._failed}/{self._total}] ")
        line.append(f"{progress.phase:7} ", style="red" if failed else "green")
        line.append(f"{progress.trial}  {progress.levels}")
        if failed and progress.message:
            line.append(f"\n    {progress.message.splitlines()[0]}", style="red")
        if not self._console.is_terminal:
            line.append(f"  ({self._left()})")
        if failed or not self._console.is_terminal:
            self._console.print(line, soft_wrap=True, highlight=False)

    def stopping(self) -> None:
        """The user asked to stop."""
        self._console.print(
            f"Stopping: running trials write their checkpoints. Continue with:\n    {self._resume}",
            soft_wrap=True,
            highlight=False,
        )

    def _share(self) -> float:
        """How much of the work is done, weighted by what each trial is expected to cost."""
        expected = [seconds for seconds in self._expected.values() if seconds is not None]
        if len(expected) < self._total:
            return sum(self._shares.values()) / self._total if self._total else 0.0
        done = sum(share * (self._expected.get(name) or 0.0) for name, share in self._shares.items())
        return done / sum(expected) if any(expected) else 0.0

    def _left(self) -> str:
        share, elapsed = self._share(), time.perf_counter() - self._began
        if share <= 0.01:
            return "time left: not known yet"
        return f"about {duration(elapsed * (1 - share) / share)} left"

    def _view(self) -> Group:
        ended, total = self._done + self._failed, self._total
        head = Table.grid(padding=(0, 1))
        failures = f"[red]{self._failed} failed[/red]  " if self._failed else ""
        elapsed = duration(time.perf_counter() - self._began)
        bar = ProgressBar(total=1.0, completed=self._share(), width=32)
        head.add_row(bar, f"{ended}/{total} trials  {failures}{elapsed} so far, {self._left()}")
        rows = Table.grid(padding=(0, 2))
        for name, progress in list(self._running.items()):
            rows.add_row(
                Text(name, style="dim"),
                progress.levels,
                progress.phase if progress.phase == Phase.MEASURING else f"epoch {progress.epoch}/{progress.epochs}",
            )
        return Group(head, rows)
