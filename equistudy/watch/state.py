"""Where a study stands, as the page shows it: cells and their trials, what runs, what failed, what is left."""

import os
import socket
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from equistudy.results.reader import Results
from equistudy.results.schema import TrialStatus
from equistudy.running.heartbeat import is_alive
from equistudy.running.plan import PlannedTrial, PlanState, StudyPlan
from equistudy.spec import format_label

__all__ = ["RUNNING", "STATES", "Pulse", "build_grid", "group_cells"]

RUNNING = "running"
STATES = (RUNNING, *(state.value for state in PlanState))
PLACES = {state: place for place, state in enumerate(STATES)}
REMAINING = {PlanState.MISSING, PlanState.UNMEASURED}
MAX_FAILURES = 30  # kinds of failures on the page; each shows one traceback
MAX_TRACEBACK = 20_000  # characters


class CellTrials(NamedTuple):
    """The trials that differ by seed alone."""

    number: int
    levels: dict[str, Any]
    trials: list[PlannedTrial]


def group_cells(plan: StudyPlan) -> list[CellTrials]:
    """The cells of the plan in the order of the design."""
    cells: dict[tuple[str, ...], CellTrials] = {}
    labels: dict[int, str] = {}  # levels are shared by the trials of a design, so each is formatted once

    def label(level: Any) -> str:
        if id(level) not in labels:
            labels[id(level)] = format_label(level)
        return labels[id(level)]

    for planned in plan.trials:
        key = tuple(f"{name}={label(level)}" for name, level in planned.levels.items())
        if key not in cells:
            cells[key] = CellTrials(len(cells), planned.levels, [])
        cells[key].trials.append(planned)
    return list(cells.values())


def build_grid(grouped: Sequence[CellTrials], results: Results | None, running: Container[str]) -> dict[str, Any]:
    """Every cell with the state of its trials, failing, running and slow ones first, and the kinds of failures.

    `results` are None before the first trial; `running` has the ids of those that run.
    """
    cells = [_build_cell(cell, running) for cell in grouped]
    counts = Counter(state for cell in cells for state in cell["states"])
    failed, active = STATES.index(PlanState.FAILED.value), STATES.index(RUNNING)
    cells.sort(
        key=lambda cell: (
            -cell["states"].count(failed),
            -cell["states"].count(active),
            -(cell["seconds"] or 0.0),
            cell["number"],
        )
    )
    trials = [planned for cell in grouped for planned in cell.trials]
    failures = {planned.id: planned for planned in trials if planned.state is PlanState.FAILED}
    return {
        "states": STATES,
        "counts": {state: counts[place] for place, state in enumerate(STATES) if counts[place]},
        "total": len(trials),
        "cells": cells,
        "failures": _group_failures(failures, results),
    }


def _build_cell(cell: CellTrials, running: Container[str]) -> dict[str, Any]:
    """The cell as the page receives it: states by their place in `STATES`, because there may be thousands."""
    known = [planned.seconds for planned in cell.trials if planned.seconds]
    return {
        "number": cell.number,
        "levels": {name: format_label(level) for name, level in cell.levels.items()},
        "ids": [planned.id for planned in cell.trials],
        "seeds": [planned.trial.seed for planned in cell.trials],
        "states": [PLACES[RUNNING if planned.id in running else planned.state.value] for planned in cell.trials],
        "seconds": round(fmean(known), 1) if known else None,
    }


class Pulse:
    """What changes from second to second: what each trial is doing, on which machines, and the time left."""

    def __init__(self, plan: StudyPlan, results: Results | None) -> None:
        self._left = {planned.id: planned for planned in plan.trials if planned.state is not PlanState.DONE}
        rest = [planned for planned in plan.trials if planned.state in REMAINING]
        self._remaining = len(rest)
        self._seconds = plan.estimate_seconds(rest) if rest else 0.0
        finished = None if results is None else results.attempts["finished"].max()
        self._written = finished.timestamp() if isinstance(finished, datetime) else None

    def build(self, beats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The record of the page, from the latest heartbeats. `silent` are those of processes that are gone."""
        ours = [dict(beat) for beat in beats if beat["trial"] in self._left]
        running = [beat for beat in ours if is_alive(beat)]
        times = [float(beat["time"]) for beat in ours] + ([] if self._written is None else [self._written])
        return {
            "running": running,
            "silent": [beat for beat in ours if beat not in running],
            "nodes": describe_nodes(running),
            "left": self._estimate_left(running),
            "written": max(times, default=None),
        }

    def _estimate_left(self, running: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The trial-seconds that remain, None if nothing tells, and over how many concurrent trials they are shared."""
        seconds = self._seconds
        if seconds is not None:
            seconds = max(0.0, seconds - sum(self._estimate_done(beat) for beat in running))
        return {"trials": self._remaining, "seconds": seconds, "concurrent": len(running)}

    def _estimate_done(self, beat: Mapping[str, Any]) -> float:
        """The seconds of a running trial that are behind it."""
        planned, epoch, epochs = self._left[beat["trial"]], beat.get("epoch"), beat.get("epochs")
        if not isinstance(epoch, int) or not isinstance(epochs, int) or epochs < 1 or planned.state not in REMAINING:
            return 0.0
        return min(1.0, epoch / epochs) * (planned.seconds or 0.0)


def _group_failures(failed: Mapping[str, PlannedTrial], results: Results | None) -> list[dict[str, Any]]:
    """The kinds of failures, most frequent first, each with the traceback of one trial."""
    if not failed or results is None:
        return []
    columns = ("trial", "attempt", "seed", "reason", "message", "traceback", "host", "finished")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    rows = results.attempts.filter(status=TrialStatus.FAILED).select(columns).sort("finished")
    for row in rows.iter_rows(named=True):
        if row["trial"] in failed:
            groups[row["reason"] or "", (row["message"] or "").partition("\n")[0]].append(row)
    listed = sorted(groups.items(), key=lambda item: -len(item[1]))[:MAX_FAILURES]
    return [_describe_failures(reason, message, found, failed) for (reason, message), found in listed]


def _describe_failures(
    reason: str, message: str, found: Sequence[Mapping[str, Any]], failed: Mapping[str, PlannedTrial]
) -> dict[str, Any]:
    last = found[-1]
    levels = [f"{name}={format_label(level)}" for name, level in failed[last["trial"]].levels.items()]
    trace = last["traceback"] or last["message"] or ""
    if len(trace) > MAX_TRACEBACK:
        trace = f"... (the first {len(trace) - MAX_TRACEBACK} characters are left out)\n{trace[-MAX_TRACEBACK:]}"
    return {
        "reason": reason,
        "message": message,
        "count": len(found),
        "trial": last["trial"],
        "levels": ", ".join([*levels, f"seed={last['seed']}"]),
        "attempt": last["attempt"],
        "host": last["host"],
        "traceback": trace,
    }


def describe_nodes(running: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The machines with running trials; of this one also its load and memory, which no heartbeat tells of others."""
    hosts = Counter(str(beat["host"]) for beat in running)
    here = socket.gethostname()
    return [
        {"host": host, "trials": count, **(_measure_this_machine() if host == here else {})}
        for host, count in sorted(hosts.items())
    ]


def _measure_this_machine() -> dict[str, Any]:
    """Load and memory, coarse enough that an idle machine gives the same answer again."""
    found: dict[str, Any] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    table = Path("/proc/meminfo")
    if table.exists():
        lines = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
        total, free = (int(lines[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))
        found |= {"memory": round(total, 1), "memory_used": round(total - free, 1)}
    return found
