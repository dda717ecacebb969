"""Plans, states and results as lines and as plain data."""

from collections import Counter
from typing import Any

from equistudy.command_line.display import duration
from equistudy.execution.plan import Plan, PlannedTrial, State, shown
from equistudy.results.results import results

__all__ = [
    "column_lines",
    "difference",
    "difference_lines",
    "plan_lines",
    "plan_record",
    "results_text",
    "status_lines",
    "status_record",
]

LISTED = 40  # trials in a printed plan; --json has all


def _row(planned: PlannedTrial) -> dict[str, Any]:
    levels = {name: shown(level) for name, level in planned.levels.items()}
    return {
        "trial": planned.id,
        "state": planned.state.value,
        **levels,
        "seed": planned.trial.seed,
        "seconds": planned.seconds,
    }


def aligned(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as columns of equal width, under a head."""
    if not rows:
        return []
    cells = [[str(name) for name in rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _left(made: Plan) -> list[PlannedTrial]:
    return [trial for trial in made.trials if trial.state in (State.MISSING, State.UNMEASURED)]


def plan_lines(made: Plan) -> list[str]:
    """The trials with their states, then the cost of what is left."""
    lines = aligned([_row(trial) for trial in made.trials[:LISTED]])
    if len(made.trials) > LISTED:
        lines.append(f"... and {len(made.trials) - LISTED} more (all of them: --json)")
    counts = ", ".join(f"{number} {state.value}" for state, number in made.counts.items() if number)
    lines += ["", f"{len(made.trials)} trials: {counts}"]
    left = _left(made)
    seconds = made.seconds(left)
    if left and seconds is None:
        lines.append("Cost: not known yet. Measure it with --pilot, or run: finished trials tell.")
    elif left:
        lines.append(
            f"Cost of the {len(left)} left: about {duration(seconds)} of one trial slot, all trials one by one"
        )
    return lines


def plan_record(made: Plan) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "trials": [_row(trial) for trial in made.trials],
        "counts": {state.value: number for state, number in made.counts.items()},
        "seconds_left": made.seconds(_left(made)),
    }


def status_record(made: Plan, alive: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The state of a study as plain data."""
    reasons = Counter(trial.reason for trial in made.trials if trial.state is State.FAILED)
    counts = {state.value: number for state, number in made.counts.items()}
    return {
        "trials": counts,
        "running": list(alive.values()),
        "failed": dict(reasons),
        "seconds_left": made.seconds(_left(made)),
    }


def status_lines(made: Plan, alive: dict[str, dict[str, Any]]) -> list[str]:
    """Counts by state, what runs now, and why what failed has failed."""
    record = status_record(made, alive)
    lines = [f"{number:6d} {state}" for state, number in record["trials"].items()]
    lines += [
        f"running {sign['trial']}: {sign['phase']}, epoch {sign['epoch']}/{sign['epochs']}" for sign in alive.values()
    ]
    lines += [f"failed {number}: {reason}" for reason, number in record["failed"].items()]
    if record["seconds_left"]:
        lines.append(f"about {duration(record['seconds_left'])} of trial time left")
    return lines


def column_lines(columns: dict[str, Any]) -> list[str]:
    """One line for each column."""
    width = max(len(name) for name in columns)
    return [f"{name.ljust(width)}  {_cell(value)}" for name, value in columns.items()]


def difference(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The columns in which two trials differ; None where one has no such column."""
    names = [*a, *(name for name in b if name not in a)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


def difference_lines(differs: dict[str, tuple[Any, Any]]) -> list[str]:
    """One line for each column that differs."""
    if not differs:
        return ["no difference"]
    width = max(len(name) for name in differs)
    return [f"{name.ljust(width)}  {_cell(left)} -> {_cell(right)}" for name, (left, right) in differs.items()]


def results_text(folder: str, table: str, as_csv: bool, as_json: bool) -> str:
    """A table of results: as CSV or JSON in full, otherwise as Polars prints it."""
    import polars as pl

    frame = getattr(results(folder), table).collect()
    if as_csv:
        return str(frame.write_csv()).rstrip("\n")
    if as_json:
        return str(frame.write_json())
    with pl.Config(tbl_cols=12, tbl_rows=20):
        return str(frame)
