"""How a run looks while it goes: a live view on a terminal, one line per event elsewhere; all on stderr."""

import time
from collections.abc import Callable, Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from equistudy.running.job import TrialPhase, TrialProgress

__all__ = ["Display", "format_duration"]

TRAINED_SHARE = 0.95  # the share of a trial that its last epoch ends; measuring follows
BAR_WIDTHS = range(8, 33)  # its length in characters, as the screen's width allows
RESTART_MESSAGES = {
    TrialPhase.DIED: "its process died",
    TrialPhase.PREEMPTED: "its process was preempted",
}
PHASE_STYLES = {TrialPhase.DONE: "green", TrialPhase.FAILED: "red", TrialPhase.STOPPED: "yellow"}


def format_duration(seconds: float) -> str:
    """Seconds as a person says them: 4.2 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Display:
    """Shows a run. `expected` has the seconds that each planned trial will take, or None where nothing tells."""

    def __init__(
        self,
        console: Console,
        resume: str,
        expected: Mapping[str, float | None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._console, self._resume, self._expected, self._clock = console, resume, expected, clock
        self._live: Live | None = None
        self._shares: dict[str, float] = {}
        self._running: dict[str, TrialProgress] = {}
        self._total = self._failed = self._ended = 0
        self._began = clock()
        self._first: tuple[float, float] | None = None  # when the first heartbeat came, and the share done by then

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        """Ray is up; of `total` trials `concurrent` run at once, up to `packed` on each GPU."""
        self._total, self._began = total, self._clock()
        self._print(
            Text(f"{total} to run, {concurrent} at once" + (f", up to {packed} on each GPU" if packed > 1 else ""))
        )
        if self._console.is_interactive:
            self._live = Live(get_renderable=self.render, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def report_progress(self, progress: TrialProgress) -> None:
        """A trial gave a heartbeat."""
        if progress.is_final:
            self._running.pop(progress.trial, None)
            self._shares[progress.trial] = 1.0
            self._ended += 1
            self._failed += progress.phase == TrialPhase.FAILED
            self._print_end(progress)
        else:
            if progress.phase in RESTART_MESSAGES:
                why = (progress.message or "").partition("\n")[0]
                where = (
                    f"{progress.trial}  {progress.levels}  {RESTART_MESSAGES[progress.phase]} after epoch "
                    f"{progress.epoch}"
                )
                again = f"{progress.phase}: {where}; it starts again from its checkpoint"
                self._print(Text(again + (f"\n    {why}" if why else ""), style="yellow"))
            self._running[progress.trial] = progress
            self._shares[progress.trial] = TRAINED_SHARE * min(1.0, progress.epoch / max(1, progress.epochs))
        if self._first is None:
            self._first = self._clock(), self._compute_share()

    def report_notice(self, text: str) -> None:
        """Something has happened to the cluster, or is waited for."""
        self._print(Text(text, style="yellow"))

    def report_stopping(self) -> None:
        """The user asked to stop."""
        self._print(
            Text(
                "Stopping once trials have saved checkpoints; Ctrl-C again stops at once. To resume:\n"
                f"    {self._resume}"
            )
        )

    def report_lost(self, text: str) -> None:
        """The cluster has lost its head process, and this process is about to end."""
        if self._live:
            self._live.stop()
        self._print(Text(f"{text} To resume:\n    {self._resume}", style="red"))

    def _print_end(self, progress: TrialProgress) -> None:
        """A trial is over: a line for each where there is no live view, and for each failure."""
        failed = progress.phase == TrialPhase.FAILED
        if self._live and not failed:
            return
        line = Text(f"[{self._ended}/{self._total}] ")
        line.append(f"{progress.phase:7} ", style=PHASE_STYLES[progress.phase])
        line.append(f"{progress.trial}  {progress.levels}")
        if not self._live and self._ended < self._total:
            line.append(f"  ({self._format_time_left()})")
        if failed and progress.message:
            line.append(f"\n    {progress.message.strip().partition(chr(10))[0]}", style="red")
        self._print(line)

    def _print(self, line: Text) -> None:
        """Prints a line as it is: nothing in it is markup, and no terminal's width breaks it."""
        self._console.print(line, soft_wrap=True, highlight=False)

    def _compute_share(self) -> float:
        """How much of the work is done, weighted by what each trial is expected to cost."""
        shares = dict(self._shares)  # the live view reads in a thread of its own
        known = {name: seconds for name, seconds in self._expected.items() if seconds}
        if len(known) < self._total:
            return sum(shares.values()) / max(1, self._total)
        return sum(share * known.get(name, 0.0) for name, share in shares.items()) / sum(known.values())

    def _format_time_left(self) -> str:
        """The time that the rest will take at the pace since the first heartbeat: starting took its own time."""
        if self._ended >= self._total:
            return "ending"
        began, share_then = self._first or (0.0, 1.0)
        share, elapsed = self._compute_share(), self._clock() - began
        if share - share_then <= 0.01:
            return "time left unknown"
        return f"about {format_duration(elapsed * (1 - share) / (share - share_then))} left"

    def render(self) -> Group:
        """The live view: a bar for the whole study, and a line for each running trial."""
        count = Text(f"{self._ended}/{self._total} trials")
        if self._failed:
            count.append(f"  {self._failed} failed", style="red")
        count.append(f"  {format_duration(self._clock() - self._began)} so far, {self._format_time_left()}")
        width = min(BAR_WIDTHS[-1], max(BAR_WIDTHS[0], self._console.width - len(count) - 1))
        head = Table.grid(padding=(0, 1))
        head.add_column(width=width)
        head.add_column(no_wrap=True)
        head.add_row(ProgressBar(total=1.0, completed=self._compute_share(), width=width), count)
        rows = Table.grid(padding=(0, 2))
        for _ in range(3):
            rows.add_column(no_wrap=True, overflow="ellipsis")
        for progress in list(self._running.values()):
            epoch = f"epoch {progress.epoch}/{progress.epochs}"
            doing = progress.phase if progress.phase == TrialPhase.MEASURING else epoch
            rows.add_row(Text(progress.trial, style="dim"), Text(progress.levels), Text(doing))
        return Group(head, rows)
