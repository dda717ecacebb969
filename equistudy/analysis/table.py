"""The study's table: its design joined with the results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import polars as pl

from equistudy.datasets.dataset import Target
from equistudy.spec import format_label
from equistudy.study.design import Cell, Design, Factor
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.training.failures import FailureReason

__all__ = [
    "DONE",
    "MISSING",
    "ResultTables",
    "StudyTable",
    "describe_absence",
    "describe_mixed_architectures",
    "level_value",
]

DONE, MISSING = "done", "missing"
UNKNOWN_TEST_SIZE = 1000  # assumed for datasets that do not state their number of test images


@runtime_checkable
class ResultTables(Protocol):
    """The results of any number of studies, as `equistudy.results` gives them."""

    @property
    def trials(self) -> pl.LazyFrame:
        """One row per trial."""
        ...

    @property
    def curves(self) -> pl.LazyFrame:
        """One row per trial, epoch, split and name."""
        ...

    @property
    def measurements(self) -> pl.LazyFrame:
        """One row per trial, measure, stage and element."""
        ...


def level_value(factor: Factor, level: Any) -> Any:
    """A level as it appears in the table: the number itself if all levels are numbers, otherwise its label."""
    return level if factor.is_numeric else format_label(level)


@dataclass(frozen=True, eq=False)
class StudyTable:
    """The design of a study joined with the results: every row belongs to a trial of the design.

    The results may contain more rows, from other studies or from levels that are no longer in the design; these are
    ignored. `design` has one row per cell and seed, with the columns trial, seed and one for each factor. `trials` has
    the same rows with the status done, failed or missing and the columns of the results; `reason` also says why a
    missing trial cannot run on this machine. A results column with the name of a factor is renamed to `results.NAME`.
    `measurement_rows` and `curve_rows` are those of finished trials.
    """

    study: Study
    design: pl.DataFrame
    trials: pl.DataFrame
    measurement_rows: pl.DataFrame
    curve_rows: pl.DataFrame

    @classmethod
    def from_results(cls, study: Study, results: ResultTables) -> "StudyTable":
        """The study's design joined with the results."""
        design = _build_design_frame(study.design)
        factors = [factor.name for factor in study.design.factors]
        found = results.trials.join(design.lazy().select("trial").unique(), on="trial", how="semi").collect()
        trials = design.join(_rename_taken_columns(found, [*factors, "seed"]), on="trial", how="left", validate="m:1")
        trials = _add_obstacles(trials.with_columns(pl.col("status").fill_null(MISSING)), study.design)
        # An attempt that failed late may have left rows, which do not belong to the attempt that counts.
        done, key = trials.filter(pl.col("status") == DONE).lazy(), ["trial", "attempt"]
        rows = [frame.join(done, on=key, how="semi").collect() for frame in (results.measurements, results.curves)]
        return cls(study, design, trials, *rows)

    def restrict_to(self, levels: Mapping[str, Any]) -> "StudyTable":
        """The table of the trials at these levels; None is the level of a factor that does not apply."""
        here = [pl.col(name).eq_missing(pl.lit(level)) for name, level in levels.items()]
        return replace(self, design=self.design.filter(*here), trials=self.trials.filter(*here)) if here else self

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the factors."""
        return tuple(factor.name for factor in self.study.design.factors)

    @property
    def measurements(self) -> pl.DataFrame:
        """The measurements of finished trials, with seed and factors."""
        return self.design.join(_rename_taken_columns(self.measurement_rows, [*self.factors, "seed"]), on="trial")

    @property
    def curves(self) -> pl.DataFrame:
        """The curves of finished trials, with seed and factors."""
        return self.design.join(_rename_taken_columns(self.curve_rows, [*self.factors, "seed"]), on="trial")

    @property
    def absent_trials(self) -> pl.DataFrame:
        """The trials of the design that failed or are missing. Trials that a search stopped early are not absent."""
        reason = pl.col("reason") if "reason" in self.trials.columns else pl.lit(None, pl.String)
        return self.trials.filter(pl.col("status") != DONE, reason.ne_missing(FailureReason.STOPPED.value))

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cell of each trial of the table, matched by levels and seed without reading any data."""
        every = list(self.study.design.cells())
        key = [*self.factors, "seed"]
        places = (
            _build_level_frame(self.study.design, every)
            .with_row_index("place")
            .unique(key, keep="first", maintain_order=True)
        )
        named = self.design.join(places, on=key, how="inner", nulls_equal=True, maintain_order="left").unique(
            "trial", keep="first", maintain_order=True
        )
        return {row["trial"]: every[row["place"]] for row in named.select("trial", "place").to_dicts()}

    @cached_property
    def trained_classifiers(self) -> pl.DataFrame:
        """The finished trials that were trained as classifiers, with the columns `chance` and `test_images`."""
        rows = []
        for name, cell in self.cells.items():
            dataset = cell.trial.dataset
            if cell.trial.recipe.epochs and cell.trial.task.target is Target.CLASS and hasattr(dataset, "num_classes"):
                test_images = getattr(dataset, "test_size", None) or UNKNOWN_TEST_SIZE
                rows.append((name, 1 / dataset.num_classes, test_images))
        schema = {"trial": pl.String, "chance": pl.Float64, "test_images": pl.Float64}
        known = pl.DataFrame(rows, schema=schema, orient="row")
        return self.trials.filter(pl.col("status") == DONE).join(known, on="trial", how="inner")

    def describe_mixed_architectures(self, among: pl.Series | None = None) -> list[str]:
        """A sentence for each model whose networks, among these trials or all, are not of one architecture."""
        rows = self.trials if among is None else self.trials.filter(pl.col("trial").is_in(among.implode()))
        trials = ((name, cell.trial) for name, cell in self.cells.items())
        return describe_mixed_architectures(trials, rows)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the design, sorted."""
        return tuple(self.design["seed"].unique().sort())


def _build_design_frame(design: Design) -> pl.DataFrame:
    trials = pl.Series("trial", [trial for trial, _ in design.identified_cells], dtype=pl.String)
    levels = _build_level_frame(design, [cell for _, cell in design.identified_cells])
    return levels.insert_column(0, trials).unique(maintain_order=True)


def _build_level_frame(design: Design, cells: Sequence[Cell]) -> pl.DataFrame:
    """The seed and a column for each factor, one row per cell."""
    columns = {"seed": pl.Series([cell.seed for cell in cells], dtype=pl.Int64)}
    for factor in design.factors:
        levels = [cell.levels.get(factor.name) for cell in cells]
        values = [None if level is None else level_value(factor, level) for level in levels]
        whole = all(isinstance(level, int) for level in factor.levels)
        number = pl.Int64 if whole else pl.Float64
        columns[factor.name] = pl.Series(values, dtype=number if factor.is_numeric else pl.String)
    return pl.DataFrame(columns)


def _add_obstacles(trials: pl.DataFrame, design: Design) -> pl.DataFrame:
    """The trials, with the reason why a missing trial cannot run on this machine, if there is one."""
    missing = set(trials.filter(pl.col("status") == MISSING)["trial"])
    cells = design.identified_cells if missing else ()
    named = {trial: cell.trial.obstacle for trial, cell in cells if cell.trial.model.obstacle() is not None}
    if not named.keys() & missing:
        return trials
    reasons = pl.Series("reason", [named.get(trial) for trial in trials["trial"]], dtype=pl.String)
    known = trials["reason"].cast(pl.String) if "reason" in trials.columns else reasons
    return trials.with_columns(known.fill_null(reasons).alias("reason"))


def _rename_taken_columns(frame: pl.DataFrame, taken: Sequence[str]) -> pl.DataFrame:
    """The frame, with columns that are named like a factor or the seed renamed."""
    return frame.rename({name: f"results.{name}" for name in taken if name in frame.columns})


def describe_absence(absent: pl.DataFrame, factors: Sequence[str], total: int) -> str:
    """A sentence that counts the trials without a result and names the first with its reason; empty for none."""
    if absent.is_empty():
        return ""
    first = absent.row(0, named=True)
    place = [f"{name}={format_label(first[name])}" for name in (*factors, "seed") if first[name] is not None]
    why = f"{first['status']}: {first['reason']}" if first.get("reason") else first["status"]
    have = "has" if len(absent) == 1 else "have"
    return f"{len(absent)} of {total} trials {have} no result (e.g. {', '.join(place)}, {why})."


def describe_mixed_architectures(trials: Iterable[tuple[str, Trial]], rows: pl.DataFrame) -> list[str]:
    """A sentence for each model of which these rows of trials hold networks of different architectures.

    `rows` has `trial`, `network_digest`, `parameters` and `seed`. A model that reads a file, an environment variable or
    an installed package builds another network when these change, although its code is the same.
    """
    if "network_digest" not in rows.columns:
        return []
    known = rows.filter(pl.col("network_digest").is_not_null()).unique("trial", maintain_order=True)
    if known["network_digest"].n_unique() < 2:
        return []
    built = {row["trial"]: row for row in known.iter_rows(named=True)}
    models: dict[tuple[object, ...], dict[str, list[dict[str, object]]]] = {}
    for name, trial in dict(trials).items():
        if name in built:
            networks = models.setdefault((trial.model, trial.dataset, trial.task), {})
            networks.setdefault(str(built[name]["network_digest"]), []).append(built[name])
    return [_describe(str(key[0]), list(networks.values())) for key, networks in models.items() if len(networks) > 1]


def _describe(model: str, networks: list[list[dict[str, object]]]) -> str:
    parts = [
        f"{len(rows)} with {rows[0].get('parameters')} parameters (e.g. {rows[0]['trial']}, seed={rows[0]['seed']})"
        for rows in networks
    ]
    return (
        f"Networks of {model} have {len(networks)} architectures: {', '.join(parts)}. What the model reads besides its "
        "code has changed in between. Remove the files of the outdated trials from trials/ and weights/ of the results "
        "and run the study again."
    )
