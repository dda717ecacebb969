"""What `plan --check` does: every cell takes one step, and the claims and figures meet rows of its shape."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any

import torch

from equistudy.analysis.table import StudyTable
from equistudy.cli.status import format_levels
from equistudy.datasets.dataset import Modality
from equistudy.measuring.engine import measure_all
from equistudy.results import results
from equistudy.results.schema import CurveRow
from equistudy.results.store import Store
from equistudy.running.job import Job, RunConditions, collect_provenance
from equistudy.running.plan import PlannedTrial, PlanState, StudyPlan
from equistudy.running.rows import build_trial_row
from equistudy.study.file import LoadedStudy
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.training.subject import build_subject
from equistudy.training.trainer import Trainer, build_network

__all__ = ["check_study"]

FEW_IMAGES = 16
EPOCHS = 2  # of the stand-in curves: a trend over epochs needs two
SPREAD = 1e-3  # between the stand-in rows of two seeds, whose differences must not all be 0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Rehearsed:
    """What one cell gave: its scores by split and name, its measurement rows by measure, what could not be measured."""

    scores: dict[tuple[str, str], float]
    rows: dict[str, list[dict[str, Any]]]
    parameters: int


def check_study(known: LoadedStudy, made: StudyPlan, tell: Tell) -> list[str]:
    """Lines that say what was checked. Raises ValueError with everything that would fail after hours of training.

    Each cell's network is built, takes one step, is evaluated and measured on a few images; the rows stand in for those
    of all seeds in a folder that is removed again, and every claim and figure of the study is tried on them.
    """
    cells: dict[Trial, list[PlannedTrial]] = {}
    for planned in made.trials:
        if planned.state is not PlanState.IMPOSSIBLE:
            cells.setdefault(replace(planned.trial, seed=0), []).append(planned)
    problems: list[str] = []
    with TemporaryDirectory(prefix="equistudy-check-") as folder:
        store = Store.open(folder, create=True)
        conditions = RunConditions(known.name, store, collect_provenance(known.path))
        for number, replicates in enumerate(cells.values(), 1):
            name = format_levels(replicates[0])
            tell(f"[{number}/{len(cells)}] one step of {name}")
            try:
                found = _rehearse_cell(replicates[0].trial, known.study)
            except Exception as error:  # of any kind: models and datasets may be anybody's code
                problems.append(f"{name}: {type(error).__name__}: {error}")
                continue
            for planned in replicates:
                _write_stand_in(found, planned, known.study, conditions)
        if not problems and cells:
            problems += _try_claims_and_figures(known.study, StudyTable.from_results(known.study, results(folder)))
    if problems:
        count = "one place" if len(problems) == 1 else f"{len(problems)} places"
        raise ValueError("\n  ".join([f"The study would fail in {count}:", *problems]))
    tried = (
        "What a search will draw is not known, so its claims and figures were not tried."
        if known.study.design.is_adaptive
        else f"All claims ({len(known.study.claims)}) and figures ({len(known.study.figures)}) work on such rows."
    )
    return [
        f"Checked: each of {len(cells)} cells took one step and was measured on {FEW_IMAGES} images. {tried} None of "
        "these numbers was kept."
    ]


def _rehearse_cell(trial: Trial, study: Study) -> Rehearsed:
    device = torch.device("cpu")
    scores: dict[tuple[str, str], float] = {}
    if trial.recipe.epochs:
        trainer = Trainer(trial, device)
        loss = float(next(iter(trainer.run_steps())))
        scores = {("train", "loss"): loss, **{("test", name): value for name, value in trainer.evaluate().items()}}
        network = trainer.network.eval()
    else:
        network = build_network(trial, device).eval()
    rows: dict[str, list[dict[str, Any]]] = {measure.id: [] for measure in study.measures}
    if trial.dataset.modality is Modality.IMAGES and study.measures:
        subject = build_subject(trial, network, device)
        targets = None if subject.targets is None else subject.targets[:FEW_IMAGES]
        few = subject._replace(images=subject.images[:FEW_IMAGES], targets=targets)
        for row in measure_all(study.measures, few).rows:
            rows[row.measure_id].append(asdict(row))
    return Rehearsed(scores, rows, sum(parameter.numel() for parameter in network.parameters()))


def _write_stand_in(found: Rehearsed, planned: PlannedTrial, study: Study, conditions: RunConditions) -> None:
    """Rows of a trial as a run would write them, a little different for every seed."""
    shift = SPREAD * (1 + planned.trial.seed % 97)
    job = Job(planned.trial, planned.tabulate_levels(), study.measures)
    curves = [
        CurveRow(epoch, split, name, value + shift)
        for epoch in range(1, EPOCHS + 1)
        for (split, name), value in found.scores.items()
    ]
    conditions.store.write_curves(planned.id, 0, curves)
    for measure, rows in found.rows.items():
        conditions.store.write_measurements(
            planned.id, 0, measure, [{**row, "value": row["value"] - shift} for row in rows]
        )
    scores = json.dumps({f"{split}_{name}": value + shift for (split, name), value in found.scores.items()})
    row = build_trial_row(
        job,
        conditions,
        datetime.now(UTC),
        status="done",
        scores=scores,
        parameters=found.parameters,
        epochs=EPOCHS,
        seconds=1.0,
        measuring_seconds=1.0,
    )
    conditions.store.write_trial(row)


def _try_claims_and_figures(study: Study, table: StudyTable) -> Iterator[str]:
    """What fails, each with its place in the study."""
    for number, claim in enumerate(study.claims, 1):
        try:
            claim.test.test(table)
        except Exception as error:  # of any kind, as above
            yield f"claim {number} ({claim.statement}): {type(error).__name__}: {error}"
    for number, figure in enumerate(study.figures, 1):
        try:
            figure.draw(figure.frame(table)).to_dict()
        except Exception as error:
            yield f"figure {number} ({type(figure).__name__}): {type(error).__name__}: {error}"
