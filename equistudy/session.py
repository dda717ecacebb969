"""Plans, runs, tests and plots a study from a script or a notebook, in one process and without Ray."""

import html
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equistudy.analysis.table import StudyTable
from equistudy.results import results as open_results
from equistudy.results.reader import Results, open_existing
from equistudy.results.store import Store
from equistudy.running.job import Job, RunConditions, TrialPhase, TrialProgress, collect_provenance
from equistudy.running.plan import StudyPlan, make_plan
from equistudy.study.study import Claim, Study, Verdict

__all__ = ["StudyRun", "choose_scale", "plan", "run", "run_jobs_here"]

Tell = Callable[[str], None]


@dataclass(frozen=True)
class StudyRun:
    """A study beside what its results hold: verdicts, tables, charts and the report. A notebook shows the verdicts."""

    study: Study
    name: str
    results: Results
    table: StudyTable

    @property
    def claims(self) -> list[tuple[Claim, Verdict]]:
        """Each claim of the study with its verdict."""
        from equistudy.analysis.verdicts import judge_claims

        return judge_claims(self.study, self.table)

    def to_polars(self) -> Any:
        """One row per trial as a `polars.DataFrame`: its levels, its seed, its status and its scores."""
        return self.table.trials

    def plot(self, figure: int = 0) -> Any:
        """The chart of one of the study's figures, by its number from 0: that of the report, as an Altair chart."""
        if not 0 <= figure < len(self.study.figures):
            raise ValueError(
                f"A study's figures are counted from 0, got figure={figure} of {len(self.study.figures)}. "
                "Add figures to the Study, or choose another number."
            )
        chosen = self.study.figures[figure]
        return chosen.draw(chosen.frame(self.table))

    def report(self, folder: str | Path = "report") -> Path:
        """Writes the report into a folder, with figures and tables beside it, and gives the path of its page."""
        from equistudy.report.page import write_report

        return write_report(self.study, self.table, self.name, "equistudy.run(study)", Path(folder))

    def __str__(self) -> str:
        from equistudy.report.page import format_verdict_lines

        return "\n".join([self.study.question, *format_verdict_lines(self.study, self.table)])

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td><b>{html.escape(str(verdict.status).upper())}</b></td><td>{html.escape(claim.statement)}<br>"
            f"<small>{html.escape(verdict.sentence)}</small></td></tr>"
            for claim, verdict in self.claims
        ]
        counts = self.table.trials["status"].value_counts(sort=True).iter_rows()
        states = ", ".join(f"{count} {status}" for status, count in counts)
        return f"<p><b>{html.escape(self.study.question)}</b> ({states})</p><table>{''.join(rows)}</table>"


def plan(study: Study, results: str | Path = "results", *, scale: str | None = None) -> StudyPlan:
    """Which trials of the study are done, which are missing, and what the missing ones will cost.

    `results` is a folder or a URL; `scale` chooses another size of the same study. Nothing is trained and nothing is
    written. Raises ValueError for a scale that the study has not, and for what its trial function refuses.
    """
    chosen = choose_scale(study, scale)
    chosen.design.try_trials()
    return make_plan(chosen, open_existing(results))


def run(
    study: Study,
    results: str | Path = "results",
    *,
    scale: str | None = None,
    name: str = "session",
    tell: Tell | None = None,
    keep_going: bool = False,
) -> StudyRun:
    """Trains and measures what the study lacks, one trial after another in this process, and judges its claims.

    Rows are those that `python -m equistudy run` writes, with the same ids: what is there is not trained again, what is
    interrupted goes on from its checkpoint, and a command line or a cluster can take over. `name` is what the rows call
    the study. `tell` gets a line for each trial that is over, by default on stderr; `print` and `breakpoint()` in the
    user's own code work, and an error of a trial is raised here, with its row in the results. With `keep_going` the
    other trials follow instead.

    Raises ValueError for a search, whose draws need Ray Tune.

        found = eq.run(study, "results")
        found.claims
        found.plot()
    """
    chosen = choose_scale(study, scale)
    if chosen.design.is_adaptive:
        raise ValueError(
            "A search draws its trials by Ray Tune, which does not run in this process. Put the study into a file and "
            "use: python -m equistudy run FILE"
        )
    planned = plan(chosen, results)
    store, file = Store.open(results, create=True), Path.cwd() / name
    run_jobs_here(planned.build_jobs(), name, file, store, tell or _tell_on_stderr, keep_going=keep_going)
    found = open_results(results)
    return StudyRun(chosen, name, found, StudyTable.from_results(chosen, found))


def choose_scale(study: Any, scale: str | None) -> Study:
    """The study at one of its scales. Raises TypeError for what is no study."""
    if not isinstance(study, Study):
        raise TypeError(
            f"study must be an eq.Study, got {study!r}. To run a study file, use python -m equistudy run FILE, or "
            "import `study` from it."
        )
    return study.at_scale(scale)


def run_jobs_here(
    jobs: Sequence[Job], name: str, file: Path, store: Store, tell: Tell, *, keep_going: bool = False
) -> int:
    """Runs jobs of a study one after another in this process; gives how many failed.

    `file` is that of the study, or a place in the folder whose commit the rows name. Without `keep_going` the first
    error is raised.
    """
    from equistudy.running.trial_run import TrialRun

    failed = 0
    conditions = RunConditions(
        study=name,
        store=store,
        provenance=collect_provenance(file),
        threads=os.cpu_count() or 1,
        hang_seconds=math.inf,
        raise_errors=not keep_going,
    )
    for number, job in enumerate(jobs, 1):
        last: TrialProgress | None = None
        for last in TrialRun(job, conditions):  # noqa: B007 -- the last one is told below
            pass
        assert last is not None
        failed += last.phase == TrialPhase.FAILED
        message = f": {last.message}" if last.message else ""
        tell(f"[{number}/{len(jobs)}] {last.phase} {last.trial}  {last.levels}{message}")
    return failed


def _tell_on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
