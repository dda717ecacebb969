"""Follows a study in two threads: they read what is new, and keep the documents that the page asks for."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from equistudy.analysis.table import StudyTable
from equistudy.results.growing import GrowingResults, ResultsInMemory
from equistudy.results.store import Store
from equistudy.running.heartbeat import is_alive, load_heartbeats
from equistudy.running.plan import StudyPlan, make_plan
from equistudy.study.file import LoadedStudy
from equistudy.study.study import Study
from equistudy.watch.analysis import build_analysis, draw_cell
from equistudy.watch.pacing import Pacer
from equistudy.watch.state import CellTrials, Pulse, build_grid, group_cells

__all__ = ["Document", "StudyFollower"]

LOCAL_PAUSE, REMOTE_PAUSE = 2.0, 10.0  # seconds between two looks; each listing of an object store is paid for
ANALYSIS_PAUSE = 5.0
LONGEST_GRID_PAUSE, LONGEST_ANALYSIS_PAUSE = 45.0, 900.0
GRID_SHARE, ANALYSIS_SHARE = 0.008, 0.006  # of one processor
ATTENTION_SECONDS = 20.0  # a page asks every two seconds; without one, nothing is read
JOIN_SECONDS = 5.0
MANY_FILES = 300  # reading more takes so long that the names of the files are shown first


class Document(NamedTuple):
    """What the page receives; `tag` differs if the content does."""

    body: bytes
    tag: str


class Snapshot(NamedTuple):
    """What was read by one look: the study with what a search has drawn, its plan and its results, if there are any."""

    study: Study
    plan: StudyPlan
    results: ResultsInMemory | None


def make_document(record: Mapping[str, Any]) -> Document:
    """The record as JSON."""
    body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    return Document(body, hashlib.sha256(body).hexdigest()[:16])


class StudyFollower:
    """The state of a study, read from the tables and heartbeats at `place` alone.

    `pulse` is small and changes all the time; it has the tags of `grid` and `analysis`, which change when a trial
    starts or ends. Each is replaced as a whole, so that another thread can read it at any time.
    """

    def __init__(self, loaded: LoadedStudy, place: str, about: Mapping[str, Any]) -> None:
        self._loaded, self._place, self._about = loaded, place, dict(about)
        self.grid = self.analysis = make_document({})
        self._results: GrowingResults | None = None
        self._snapshot: Snapshot | None = None
        self._cells: list[CellTrials] = []
        self._pulse: Pulse | None = None
        self._running: frozenset[str] = frozenset()
        self._counts: dict[str, Any] = {}
        self._table: tuple[Study, StudyTable] | None = None
        self._analysed: Snapshot | None = None
        self._error: str | None = None
        pause = REMOTE_PAUSE if "://" in place else LOCAL_PAUSE
        self._grid_pacer = Pacer(GRID_SHARE, pause, LONGEST_GRID_PAUSE, processor_clock=time.thread_time)
        self._analysis_pacer = Pacer(ANALYSIS_SHARE, max(pause, ANALYSIS_PAUSE), LONGEST_ANALYSIS_PAUSE)
        self._pause = pause
        self._asked_at = -float("inf")
        self._asked, self._ended = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,), daemon=True) for work in (self.look, self.analyse)
        ]
        self.pulse = make_document(self._about)

    def start(self) -> None:
        """Starts the threads, which read the study for the first page that will ask."""
        self.note_request()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads; an analysis that takes long ends with the process."""
        self._ended.set()
        self._asked.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(JOIN_SECONDS)

    def note_request(self) -> None:
        """A page is open: the study is read until none has asked for a while."""
        self._asked_at = time.monotonic()
        self._asked.set()

    @property
    def idle_seconds(self) -> float:
        """For how long no page has asked."""
        return time.monotonic() - self._asked_at

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._ended.is_set():
            if self.idle_seconds > ATTENTION_SECONDS:
                self._asked.clear()
                if self.idle_seconds > ATTENTION_SECONDS:  # a request in between has set it again
                    self._asked.wait()
                continue
            work()
            self._ended.wait(self._pause)

    def look(self) -> None:
        """Reads what is new of the trials and their heartbeats."""
        self._error = None
        beats: list[dict[str, Any]] = []
        try:
            self._open()
            beats = [] if self._results is None else load_heartbeats(self._results.store)
            running = frozenset(beat["trial"] for beat in beats if is_alive(beat))
            if self._grid_pacer.is_due:
                with self._grid_pacer.measure():
                    self._update_grid(running)
        except (ValueError, TypeError, OSError) as error:  # of the study, the results or the storage; it may pass
            self._error = f"{error}"
        self._publish(beats)

    def _open(self) -> None:
        if self._results is None:
            try:
                self._results = GrowingResults(Store.open(self._place, create=False))
            except FileNotFoundError:
                return  # no trial has started yet

    def _update_grid(self, running: frozenset[str]) -> None:
        """Plans the study again if rows have come or gone, and draws the grid again if any state has changed."""
        if self._results is not None and self._snapshot is None and self._results.count_unread_trials() > MANY_FILES:
            self._take(self._results.peek(), running)
            self._publish([])
        found = None if self._results is None else self._results.read_trials()
        before = self._snapshot
        if before is None or running != self._running or _differ(before.results, found):
            self._snapshot = self._take(found, running)

    def _take(self, found: ResultsInMemory | None, running: frozenset[str]) -> Snapshot:
        """Plans the study and draws the grid."""
        study = self._loaded.study
        with self._loaded.blame_study_code():
            if found is not None:
                study = replace(study, design=study.design.with_draws(found, self._loaded.name))
            plan = make_plan(study, found)
        self._cells = group_cells(plan)
        self._pulse = Pulse(plan, found)
        self._running = running
        grid = build_grid(self._cells, found, running)
        self._counts = {name: grid[name] for name in ("states", "counts", "total")}
        self.grid = make_document(grid)
        return Snapshot(study, plan, found)

    def _publish(self, beats: list[dict[str, Any]]) -> None:
        pulse = {} if self._pulse is None else {**self._counts, **self._pulse.build(beats)}
        tags = {"grid": self.grid.tag, "analysis": self.analysis.tag}
        reading = self._snapshot is None or self._analysed is None
        self.pulse = make_document({**self._about, **pulse, **tags, "reading": reading, "error": self._error})

    def analyse(self) -> None:
        """Tests the claims and draws the figures again if trials have finished since."""
        snapshot = self._snapshot
        if snapshot is None or snapshot is self._analysed or not self._analysis_pacer.is_due:
            return
        if self._analysed is not None and not _differ(self._analysed.results, snapshot.results):
            return
        with self._analysis_pacer.measure():
            self.analysis = make_document(self._analyse(snapshot))
        self._analysed = snapshot

    def _analyse(self, snapshot: Snapshot) -> dict[str, Any]:
        record: dict[str, Any] = {"time": time.time()}
        if snapshot.results is None or self._results is None:
            return record
        try:
            with self._loaded.blame_study_code():
                table = StudyTable.from_results(snapshot.study, self._results.read_rows(snapshot.results))
                self._table = snapshot.study, table
                return record | build_analysis(snapshot.study, table)
        except Exception as error:  # of any kind: claims may be anybody's code, and must not end the page
            return record | {"error": f"The results cannot be analysed yet. {type(error).__name__}: {error}"}

    def draw_cell(self, number: int) -> Document | None:
        """The curves and profiles of a cell, as of the last analysis; None for a cell that is not there."""
        cells, held = self._cells, self._table
        if not 0 <= number < len(cells):
            return None
        if held is None:
            return make_document({"figures": []})
        return make_document({"figures": draw_cell(*held, cells[number].levels)})


def _differ(before: ResultsInMemory | None, after: ResultsInMemory | None) -> bool:
    """Whether rows have come or gone between two looks."""
    if before is None or after is None:
        return before is not after
    return not before.is_same_as(after)
