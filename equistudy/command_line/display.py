"""How a run looks while it goes: a live view on a terminal, one line per event elsewhere; all on stderr."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from equistudy.execution.job import Job, Phase, Progress

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
    """Shows a run. `expected` gives the seconds that a job will take, where earlier rows tell."""

    def __init__(self, console: Console, resume: str, expected: Callable[[str], float | None]) -> None:
        self._console, self._resume, self._expected = console, resume, expected
        self._live: Live | None = None
        self._jobs: dict[str, Job] = {}
        self._shares: dict[str, float] = {}
        self._running: dict[str, Progress] = {}
        self._began = time.perf_counter()
        self._failed = self._done = self._concurrent = 0

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, jobs: list[Job], concurrent: int) -> None:
        """Ray is up; `concurrent` trials run at once."""
        self._jobs = {job.trial.id: job for job in jobs}
        self._concurrent, self._began = concurrent, time.perf_counter()
        self._console.print(f"{len(jobs)} trials to run, {min(concurrent, len(jobs))} at once", highlight=False)
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def progressed(self, progress: Progress) -> None:
        """A trial gave a sign of life."""
        job = self._jobs.get(progress.trial)
        if job is None:
            return
        if not progress.final:
            self._running[progress.trial] = progress
            self._shares[progress.trial] = min(0.95, progress.epoch / max(1, progress.epochs))
            return
        self._running.pop(progress.trial, None)
        self._shares[progress.trial] = 1.0
        failed = progress.phase == Phase.FAILED
        self._failed, self._done = self._failed + failed, self._done + (not failed)
        self._event(job, progress, failed)

    def _event(self, job: Job, progress: Progress, failed: bool) -> None:
        line = Text(f"[{self._done + self._failed}/{len(self._jobs)}] ")
        line.append("failed " if failed else "done   ", style="red" if failed else "green")
        line.append(f"{progress.trial}  {_levels(job)}")
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
        expected = {name: self._expected(name) for name in self._jobs}
        known = all(value is not None for value in expected.values())
        weights = {name: (expected[name] or 0.0) if known else 1.0 for name in self._jobs}
        total = sum(weights.values())
        return sum(weights[name] * self._shares.get(name, 0.0) for name in self._jobs) / total if total else 0.0

    def _left(self) -> str:
        share, elapsed = self._share(), time.perf_counter() - self._began
        if share <= 0.01:
            return "time left: not known yet"
        return f"about {duration(elapsed * (1 - share) / share)} left"

    def _view(self) -> Group:
        ended, total = self._done + self._failed, len(self._jobs)
        head = Table.grid(padding=(0, 1))
        failures = f"[red]{self._failed} failed[/red]  " if self._failed else ""
        elapsed = duration(time.perf_counter() - self._began)
        bar = ProgressBar(total=1.0, completed=self._share(), width=32)
        head.add_row(bar, f"{ended}/{total} trials  {failures}{elapsed} so far, {self._left()}")
        rows = Table.grid(padding=(0, 2))
        for name, progress in list(self._running.items())[: self._concurrent or None]:
            rows.add_row(
                Text(name, style="dim"),
                _levels(self._jobs[name]),
                progress.phase if progress.phase == Phase.MEASURING else f"epoch {progress.epoch}/{progress.epochs}",
            )
        return Group(head, rows)


def _levels(job: Job) -> str:
    return ", ".join([*(f"{name}={level}" for name, level in job.levels.items()), f"seed={job.trial.seed}"])
