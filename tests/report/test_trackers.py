"""Other trackers hold the numbers of the tables, and are asked in their own words, without a network."""

import importlib.util
import json

import pytest

from equistudy.report import trackers
from equistudy.report.trackers import collect_runs, write_mlflow, write_tensorboard, write_wandb
from equistudy.results import results
from tests.analysis.synthetic import results as made
from tests.analysis.synthetic import store_results, study

OF = study(num_seeds=1)


def needs(package):
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed: it belongs to an extra")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "results"
    store_results(OF, made(OF, absent={1: "failed"}), folder)
    return collect_runs(results(folder))


def test_a_run_holds_what_the_tables_hold(runs):
    held = made(OF, absent={1: "failed"})
    trials = {row["trial"]: row for row in held.trials.collect().rows(named=True)}
    assert {run.trial for run in runs} == trials.keys()
    assert sum(not run.done for run in runs) == 1
    run = next(run for run in runs if run.done)
    assert run.study == "capacity"
    assert run.summary["test_accuracy"] == trials[run.trial]["test_accuracy"]
    rows = held.measurements.filter(trial=run.trial, stage="stage2").collect()
    assert run.summary["translation_correlation/stage2"] == pytest.approx(rows["value"].mean())
    assert [epoch for epoch, _ in run.steps] == [1, 2, 3, 4]
    curve = held.curves.filter(trial=run.trial, split="test", epoch=3).collect()
    assert run.steps[2][1]["test/accuracy"] == curve["value"].item()
    assert run.config["width"] in (4, 8, 16, 32)
    assert run.config["recipe.epochs"] == 4
    failed = next(run for run in runs if not run.done)
    assert failed.config["reason"] == "out of memory"
    assert failed.steps == []


def test_some_trials_alone(runs, tmp_path):
    store_results(OF, made(OF), tmp_path / "results")
    (run,) = collect_runs(results(tmp_path / "results"), [runs[0].trial])
    assert run.trial == runs[0].trial


def test_tensorboard_reads_the_curves_and_a_second_export_replaces_them(runs, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    for _ in range(2):
        write_tensorboard(runs, tmp_path)
    run = next(run for run in runs if run.done)
    (file,) = (tmp_path / "capacity" / run.trial).glob("events*")
    found = {}
    for record in records(file.read_bytes()):
        event = Event.FromString(record)
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
    for epoch, values in run.steps:
        for name, value in values.items():
            assert found[name, epoch] == pytest.approx(value)


def records(data: bytes):
    """The records of an event file: length, checksum, content, checksum."""
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        yield data[place + 12 : place + 12 + length]
        place += 16 + length


@needs("mlflow")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_mlflow_holds_the_runs_once(runs, tmp_path):
    import mlflow

    for _ in range(2):
        write_mlflow(runs, tmp_path / "mlruns")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("capacity").experiment_id
    kept = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert kept.keys() == {run.trial for run in runs}
    for run in runs:
        other = kept[run.trial]
        assert other.info.status == ("FINISHED" if run.done else "FAILED")
        assert other.data.params["width"] == str(run.config["width"])
        assert {name: other.data.metrics[name] for name in run.summary} == pytest.approx(run.summary)
    run = next(run for run in runs if run.done)
    history = client.get_metric_history(kept[run.trial].info.run_id, "test/accuracy")
    assert [(point.step, point.value) for point in history] == [(e, values["test/accuracy"]) for e, values in run.steps]


@needs("wandb")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_offline_runs_once(runs, tmp_path):
    some = [next(run for run in runs if run.done), next(run for run in runs if not run.done)]
    for _ in range(2):
        write_wandb(some, tmp_path)
    folders = [*(tmp_path / "wandb").glob("offline-run-*")]
    assert {folder.name.rpartition("-")[2] for folder in folders} == {run.trial for run in some}
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*-{some[0].trial}/*.wandb")
    content = file.read_bytes()
    assert b"translation_correlation/stage2" in content
    assert b"test/accuracy" in content


def test_a_package_that_is_not_there_is_named(runs, tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(trackers.importlib, "import_module", absent)
    with pytest.raises(ValueError, match=r'needs the package wandb, .* Run: pip install "equistudy\[wandb\]"'):
        write_wandb(runs, tmp_path)


def test_no_value_is_not_a_number(runs):
    assert all(json.dumps(run.summary, allow_nan=False) for run in runs)
