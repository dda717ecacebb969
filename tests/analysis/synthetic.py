"""A study of two factors and its results, made by hand with known effects: nothing is trained."""

import json
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from equistudy.analysis.claims import Trend
from equistudy.analysis.table import StudyTable, level_value
from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.datasets.dataset import Dataset
from equistudy.measuring.measure import Measure
from equistudy.models.model import Model
from equistudy.recipe import Recipe
from equistudy.results.schema import CurveRow, TrialRow
from equistudy.results.store import Store
from equistudy.spec import flatten_spec
from equistudy.study.design import Factor, factorial
from equistudy.study.study import Claim, Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification


@dataclass(frozen=True)
class Net(Model):
    width: int


@dataclass(frozen=True)
class Toy(Dataset):
    def fingerprint(self):
        return "toy"


@dataclass(frozen=True)
class Crop(Augmentation):
    padding: int = 2


@dataclass(frozen=True)
class Correlation(Measure):
    name = "translation_correlation"
    title = "translation correlation"
    max_pixels: int = 4


CORRELATION, NONE = Correlation(), NoAugmentation()
WIDTH = Factor("width", levels=(4, 8, 16, 32), unit="channels", log=True)
CROP = Factor("augmentation", levels=(NONE, Crop()))
STAGES = {"stem": 1, "stage1": 1, "stage2": 2, "pooled": None, "logits": None}
ELEMENTS = ("dx=1", "dy=3")
SLOPE, GAIN = -0.03, 0.05


def trial(seed: int, width: int = 8, augmentation: Augmentation = NONE) -> Trial:
    return Trial(Net(width), Toy(), Classification(), augmentation, Recipe(epochs=4), seed)


def study(num_seeds: int = 3, **changes) -> Study:
    """Does the correlation fall with the width? In `results` it falls by 0.03 per doubling, crops add 0.05."""
    plain = Study(
        question="Do smaller networks learn more translation-equivariant features?",
        design=factorial(trial, WIDTH, CROP, seeds=range(num_seeds)),
        measures=(CORRELATION,),
        claims=(Claim("capacity down, equivariance up", Trend(CORRELATION, over=WIDTH, expected="decreasing")),),
    )
    return replace(plain, **changes)


@dataclass
class Results:
    """Hand-made tables, as the results room would give them."""

    trials: pl.LazyFrame
    curves: pl.LazyFrame
    measurements: pl.LazyFrame


def expected_value(width: int = 8, augmentation: Augmentation = NONE) -> float:
    """The mean over the feature maps that the results scatter around."""
    return 0.9 + SLOPE * np.log2(width / 4) + GAIN * isinstance(augmentation, Crop)


def results(of: Study, noise: float = 0.002, absent: dict[int, str] | None = None) -> Results:
    """Results of a study; `absent` maps the number of a row of the design to failed or missing."""
    rng = np.random.default_rng(7)
    trials, curves, measurements = [], [], []
    shared = {cell.seed: rng.normal(0, 0.02) for cell in of.design.cells()}
    fates = {}
    for number, cell in enumerate(of.design.cells()):
        value = expected_value(**cell.levels) + shared[cell.seed] + rng.normal(0, noise)
        if cell.trial.id in fates:
            continue
        fates[cell.trial.id] = fate = (absent or {}).get(number, "done")
        trials.append(_trial_row(cell, fate, value))
        measurements += [row for stage in STAGES for row in _measured(cell.trial.id, stage, value)]
        curves += _curve(cell.trial.id, value)
    there = [name for name, fate in fates.items() if fate != "missing"]
    done = [name for name, fate in fates.items() if fate == "done"]
    return Results(
        pl.LazyFrame(trials, infer_schema_length=None).filter(pl.col("trial").is_in(there)),
        pl.LazyFrame(curves).filter(pl.col("trial").is_in(done)),
        pl.LazyFrame(measurements, infer_schema_length=None).filter(pl.col("trial").is_in(done)),
    )


def _trial_row(cell, fate: str, value: float) -> dict:
    failed = fate == "failed"
    return {
        "trial": cell.trial.id,
        "attempt": 1,
        "study": "capacity",
        "status": fate,
        "reason": "out of memory" if failed else None,
        "message": "CUDA <out> of memory" if failed else None,
        "seed": cell.seed,
        "model.width": cell.trial.model.width,
        "test_accuracy": None if failed else 1.7 - value,
        "parameters": 100 * cell.trial.model.width,
        "seconds": 10.0,
        "measuring_seconds": 2.0,
        "lost_seconds": 1.0,
        "device": "cpu",
        "hardware": "2 cores",
        "host": "laptop",
        "commit": "0123456789abcdef",
        "dirty": False,
        "finished": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "versions": json.dumps({"torch": "2.13.0", "polars": "2.1.0"}),
    }


def _measured(trial_id: str, stage: str, value: float) -> list[dict]:
    """Rows whose mean over the feature maps is `value`; vectors are 0.5 lower, which no default may mix in."""
    offset = {"stem": 0.02, "stage1": 0.0, "stage2": -0.02}.get(stage, -0.5)
    return [
        {
            "trial": trial_id,
            "attempt": 1,
            "measure": CORRELATION.name,
            "measure_id": CORRELATION.id,
            "revision": 1,
            "stage": stage,
            "depth": list(STAGES).index(stage) / 4,
            "stride": STAGES[stage],
            "group": "translation",
            "element": element,
            "magnitude": 1.0,
            "grid_aligned": True,
            "value": value + offset + side,
            "low": value + offset + side - 0.01,
            "high": value + offset + side + 0.01,
            "images": 256,
            "floor": 0.1,
            "no_motion": 0.3,
            "untrained": 0.7,
        }
        for element, side in zip(ELEMENTS, (0.01, -0.01), strict=True)
    ]


def _curve(trial_id: str, value: float) -> list[dict]:
    return [
        {"trial": trial_id, "attempt": 1, "epoch": epoch, "split": split, "name": "accuracy", "value": reached}
        for epoch in range(1, 5)
        for split, reached in (("train", value * epoch / 4), ("test", value * epoch / 5))
    ]


def store_results(of: Study, held: Results, folder: Path) -> None:
    """Writes hand-made results as a run would."""
    store, known = Store.open(folder), {field.name for field in fields(TrialRow)}
    cells = {cell.trial.id: cell for cell in of.design.cells()}
    for row in held.trials.collect().rows(named=True):
        cell, key = cells[row["trial"]], (row["trial"], row["attempt"])
        curves, measurements = (
            frame.filter(trial=row["trial"]).drop("trial", "attempt").collect().rows(named=True)
            for frame in (held.curves, held.measurements)
        )
        store.write_curves(*key, [CurveRow(**each) for each in curves])
        store.write_measurements(*key, CORRELATION.id, measurements)
        levels = {factor.name: level_value(factor, cell.levels[factor.name]) for factor in of.design.factors}
        texts = {"factors": levels, "spec": flatten_spec(cell.trial), "scores": {"test_accuracy": row["test_accuracy"]}}
        plain = {name: value for name, value in row.items() if name in known}
        store.write_trial(TrialRow(**plain, **{name: json.dumps(value) for name, value in texts.items()}))


def table(of: Study | None = None, **changes) -> StudyTable:
    """The study's table over its hand-made results."""
    chosen = of or study()
    return StudyTable.from_results(chosen, results(chosen, **changes))
