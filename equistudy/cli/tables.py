"""Plans, states and results as lines for a person and as records for a program."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from equistudy.cli.display import format_duration
from equistudy.running.plan import PlannedTrial, PlanState, StudyPlan
from equistudy.spec import to_table_value

__all__ = [
    "build_plan_record",
    "build_status_record",
    "compare_columns",
    "count_states",
    "format_columns",
    "format_counts",
    "format_differences",
    "format_frame",
    "format_impossible",
    "format_plan",
    "format_status",
]

MAX_LISTED_ROWS = 40  # rows of a printed table; --json and --csv have all
MAX_CELL_LENGTH = 40
MAX_REASON_LENGTH = 160
LEADING_COLUMNS = (
    "trial",
    "measure",
    "stage",
    "element",
    "epoch",
    "split",
    "name",
    "value",
    "low",
    "high",
)  # shown first


def align_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows as columns of equal width under a head."""
    if not rows:
        return []
    cells = [[str(name) for name in rows[0]], *([_format_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _format_cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def count_states(made: StudyPlan) -> dict[str, int]:
    """How many trials are in each state, by the state's name."""
    return {state.value: number for state, number in made.counts.items()}


def format_counts(counts: Mapping[str, int]) -> str:
    """How many of what: `24 trials: 8 done, 16 missing`."""
    parts = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    total = sum(counts.values())
    return f"{total} {'trial' if total == 1 else 'trials'}: {parts}" if total else "no trials yet"


def _estimate_seconds_left(made: StudyPlan) -> float | None:
    """Expected seconds of what `run` would do; None where nothing tells."""
    return made.estimate_seconds(
        trial for trial in made.trials if trial.state in (PlanState.MISSING, PlanState.UNMEASURED)
    )


def _build_plan_row(planned: PlannedTrial) -> dict[str, Any]:
    levels = {name: to_table_value(level) for name, level in planned.levels.items()}
    name_and_state = {"trial": planned.id, "state": planned.state.value}
    return {**name_and_state, **levels, "seed": planned.trial.seed, "seconds": planned.seconds}


def build_plan_record(made: StudyPlan) -> dict[str, Any]:
    """The plan as plain data: every trial, how many are in each state, and the seconds of what is left."""
    return {
        "trials": [_build_plan_row(trial) for trial in made.trials],
        "counts": count_states(made),
        "seconds_left": _estimate_seconds_left(made),
    }


def format_plan(made: StudyPlan, samples: int | None = None) -> list[str]:
    """The trials with their states, then the cost of what is left. A search draws as many `samples`."""
    lines = align_rows([_build_plan_row(trial) for trial in made.trials[:MAX_LISTED_ROWS]])
    if len(made.trials) > MAX_LISTED_ROWS:
        lines.append(f"... and {len(made.trials) - MAX_LISTED_ROWS} more; --json prints all")
    counts = count_states(made)
    lines += [*([""] if lines else []), format_counts(counts)]
    lines += format_impossible(made)
    if samples is not None:
        lines.append(f"The search samples {samples} trials; duplicates run once.")
    left = counts[PlanState.MISSING.value] + counts[PlanState.UNMEASURED.value]
    seconds = _estimate_seconds_left(made)
    if left and seconds is None:
        lines.append("Cost: unknown until the first trial finishes; --pilot estimates it.")
    elif seconds:
        lines.append(
            f"Cost of the {left} left: about {format_duration(seconds)} run one by one, less with concurrent trials."
        )
    return lines


def format_impossible(made: StudyPlan) -> list[str]:
    """What this machine lacks for some of the trials, and the way out; nothing where it lacks nothing."""
    absent = [trial for trial in made.trials if trial.state is PlanState.IMPOSSIBLE]
    if not absent:
        return []
    first = ", ".join(f"{name}={to_table_value(level)}" for name, level in absent[0].levels.items())
    return [
        f"{len(absent)} cannot run here: {absent[0].reason} (e.g. {first}). Nothing is downloaded: fetch weights into "
        "the Hugging Face cache with `python -m equistudy fetch NAME.TAG`, or put NAME.TAG.safetensors (or .pth, .bin) "
        "into a folder and name it with --weights-dir."
    ]


def build_status_record(
    made: StudyPlan,
    running: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
    mixed: Sequence[str] = (),
) -> dict[str, Any]:
    """The state of a study as plain data: counts, signs of life, and every failed trial with its reason.

    `mixed` are sentences about models whose networks are not of one architecture.
    """
    return {
        "trials": count_states(made),
        "running": list(running),
        "failed": list(failures),
        "mixed_architectures": list(mixed),
        "seconds_left": _estimate_seconds_left(made),
    }


def format_status(record: Mapping[str, Any], retry: str) -> list[str]:
    """Counts by state, what runs now, and why what failed has failed; `retry` is the command that runs that again."""
    lines = [format_counts(record["trials"]), *record["mixed_architectures"]]
    if record["running"]:
        lines += ["", f"{len(record['running'])} running"]
        lines += align_rows([_build_heartbeat_row(sign) for sign in record["running"]])
    if record["seconds_left"]:
        lines += ["", f"About {format_duration(record['seconds_left'])} of training and measuring left, one by one."]
    if record["failed"]:
        reasons = Counter(failure["reason"] for failure in record["failed"])
        lines += ["", ", ".join(f"{number} failed: {reason}" for reason, number in reasons.items())]
        for failure in record["failed"][:MAX_LISTED_ROWS]:
            message = (failure["message"] or "").partition("\n")[0]
            lines += [f"{failure['trial']}  {failure['levels']}", f"    {_shorten(message, MAX_REASON_LENGTH)}"]
        if len(record["failed"]) > MAX_LISTED_ROWS:
            lines.append(f"... and {len(record['failed']) - MAX_LISTED_ROWS} more; --json prints all")
        lines.append(f"Run them again: {retry}")
    return lines


def _build_heartbeat_row(sign: Mapping[str, Any]) -> dict[str, Any]:
    """A heartbeat as a row."""
    done = f"epoch {sign['epoch']}/{sign['epochs']}"
    return {"trial": sign["trial"], "levels": sign.get("levels"), "phase": sign["phase"], "progress": done}


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def format_columns(columns: Mapping[str, Any]) -> list[str]:
    """One line for each column."""
    width = max(len(name) for name in columns)
    return [f"{name.ljust(width)}  {_format_cell(value)}" for name, value in columns.items()]


def compare_columns(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The columns in which two trials differ; None where one has no such column."""
    names = [*a, *(name for name in b if name not in a)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


def format_differences(differs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """One line for each column that differs."""
    rows = [{"column": name, "a": left, "b": right} for name, (left, right) in differs.items()]
    return align_rows(rows) or ["no difference: both are the same trial"]


def format_frame(frame: Any, width: int | None = None) -> list[str]:
    """The first rows of a `polars.DataFrame`, and those of its columns that differ between rows and fit into `width`.

    Columns whose values are all equal stand below the rows, and those that are all empty nowhere. Without a `width` it
    is the terminal's.
    """
    width = shutil.get_terminal_size((120, 0)).columns if width is None else width
    same = [name for name in frame.columns if frame.height > 1 and frame[name].n_unique() == 1]
    rows = [_build_brief_row(row, same) for row in frame.head(MAX_LISTED_ROWS).to_dicts()]
    names = _select_fitting_columns(rows, width)
    lines = align_rows([{name: row[name] for name in names} for row in rows])
    hidden = len(rows[0]) - len(names) if rows else 0
    told = {name: _format_cell(frame[name][0]) for name in same if frame[name][0] is not None}
    lines += [""] if lines else []
    if told:
        lines.append(_shorten(f"In all rows: {', '.join(f'{name}={cell}' for name, cell in told.items())}", 2 * width))
    shown_rows = f"{len(rows)} of {frame.height} rows" if frame.height > len(rows) else f"{frame.height} rows"
    return [*lines, f"{shown_rows}, {hidden} more columns; --csv and --json print all" if hidden else shown_rows]


def _build_brief_row(row: Mapping[str, Any], without: Iterable[str]) -> dict[str, str]:
    """A row with short cells, the columns that matter first."""
    names = dict.fromkeys([*(name for name in LEADING_COLUMNS if name in row), *row])
    left_out = set(without)
    return {
        name: _shorten(_format_cell(row[name]).partition("\n")[0], MAX_CELL_LENGTH)
        for name in names
        if name not in left_out
    }


def _select_fitting_columns(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """The leading columns that fit into a width, at least one."""
    names: list[str] = []
    used = -2
    for name in rows[0] if rows else ():
        used += 2 + max(len(name), *(len(row[name]) for row in rows))
        if names and used > width:
            break
        names.append(name)
    return names
