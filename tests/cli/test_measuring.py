"""`measure` as a user types it, on a network of three layers."""

import csv
import io
import json
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import save_file

from equistudy.cli.errors import ExitCode
from equistudy.cli.measuring import MeasuringRequest, _build_table, _fold_skipped, measure_target
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.datasets.cifar import CIFAR10
from equistudy.execution.measuring import MeasuringWorker
from equistudy.measures.accuracy import Accuracy
from equistudy.measuring.measure import Skipped
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running import trial_run
from equistudy.running.job import Job, Provenance, RunConditions
from equistudy.running.plan import PlanState
from equistudy.running.trial_run import TrialRun

NETS = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

def other():
    return nn.Sequential(nn.Conv2d(3, 6, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
"""
FEW = ("--size", 16, "--images", 40, "--workers", 1)


@pytest.fixture
def measure(invoke, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command in a folder with networks, weights and images."""
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)
    return lambda *words: invoke("measure", *words, "--results", folder)


def rows_of(done: Result) -> list[dict]:
    assert done.exit_code == ExitCode.DONE, done.output
    return json.loads(done.stdout)["rows"]


def test_a_table_at_once_and_nothing_twice(measure, folder, monkeypatch) -> None:
    done = measure("nets.py:small", *FEW)
    assert done.exit_code == ExitCode.DONE, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "Equivariance (correlation within images), Translation(max_pixels=2, pixels=(1, 2))"
    assert lines[1].split() == ["stage", "stride", "1", "px", "2", "px", "shuffled", "(2", "px)"]
    # a convolution with stride 1 is equivariant up to its border
    assert lines[2].split()[:2] == ["0", "1"]
    assert lines[2].split()[2:6] == ["1.000", "±0.000", "1.000", "±0.000"]
    assert "Images that keep their class, Rotation" in lines
    assert lines[-2].endswith(
        "Window(model=Custom(function=small), pixels=16) on DeadLeaves(size=20, test_images=40, radii=(0.025, 0.25))"
    )
    assert "40 images are few" in done.stderr
    assert "measuring nets.py:small: 0 of 4 shards" in done.stderr

    monkeypatch.setattr(MeasuringWorker, "run_task", lambda self, task: pytest.fail("measured again"))
    again = measure("nets.py:small", *FEW)
    assert again.stdout == done.stdout
    assert "shards" not in again.stderr
    trial = results(folder).trials.collect().to_dicts()[0]
    assert (trial["study"], trial["network"], trial["epochs"], trial["status"]) == (
        "measure",
        "nets.py:small",
        0,
        "done",
    )


def test_rows_for_programs_are_those_of_the_results(measure, folder) -> None:
    words = (
        "nets.py:small",
        *FEW,
        "--measure",
        "between-correlation",
        "--measure",
        "accuracy",
        "--group",
        "rotation:90",
    )
    done = measure(*words, "--json")
    rows = rows_of(done)
    assert [(row["measure"], row["stage"], row["element"]) for row in rows] == [
        ("between_correlation", stage, "90 deg") for stage in ("0", "1", "2", "3", "4", "output")
    ]
    assert json.loads(done.stdout)["skipped"] == [
        {"measure": "accuracy", "stage": "output", "element": None, "reason": "the images have no labels"}
    ]
    assert "not measured: accuracy of output: the images have no labels" in done.stderr
    table = list(csv.DictReader(io.StringIO(measure(*words, "--csv").stdout)))
    assert [float(row["value"]) for row in table] == [row["value"] for row in rows]
    assert results(folder).measurements.collect().height == len(rows)
    # what an earlier command could not measure is told again
    assert "not measured: accuracy of output" in measure(*words).stderr


def test_weights_of_a_file_beside_random_ones(measure, tmp_path) -> None:
    namespace: dict = {}
    exec(NETS, namespace)
    torch.manual_seed(5)
    network = namespace["small"]()
    save_file(network.state_dict(), "mine.safetensors")
    torch.save({"state_dict": network.state_dict()}, "mine.pt")
    words = (*FEW, "--measure", "between_correlation", "--group", "rotation:180", "--json")
    found = [rows_of(measure(name, "--model", "nets.py:small", *words)) for name in ("mine.safetensors", "mine.pt")]
    assert [row["value"] for row in found[0]] == [row["value"] for row in found[1]]
    assert found[0][0]["trial"] != found[1][0]["trial"]  # other bytes
    assert all(row["untrained"] is not None for row in found[0])
    random = rows_of(measure("nets.py:small", *words))
    assert [row["value"] for row in random] != [row["value"] for row in found[0]]
    assert all(row["untrained"] is None for row in random)
    wrong = measure("mine.pt", "--model", "nets.py:other", *words)
    assert wrong.exit_code == ExitCode.USAGE
    assert "misshaped (0.weight [4, 3, 3, 3] for [6, 3, 3, 3]" in wrong.stderr


def test_a_folder_with_an_image_that_cannot_be_read(measure, tmp_path) -> None:
    noise = torch.randint(0, 256, (40, 24, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for number, image in enumerate(noise):
        path = Path("photos") / f"class{number % 5}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(path)
    Path("photos/class1/1.png").write_bytes(b"not a picture")
    words = ("nets.py:small", "--data", "photos", "--size", 16, "--workers", 1, "--json")
    done = measure(*words, "--measure", "accuracy", "--measure", "within_correlation", "--group", "translation:1")
    accuracy, *within = rows_of(done)
    assert (accuracy["measure"], accuracy["images"], len(within)) == ("accuracy", 39, 4)
    assert "photos cannot be read: class1/1.png (not an image); they are left out\n" in done.stderr
    assert "1 of 40 images of" in done.stderr


def test_one_reason_is_one_line_however_many_stages_it_has() -> None:
    absent = [Skipped("within_correlation", f"layer{number}", "dx=1", "too small") for number in range(20)]
    absent += [
        Skipped("within_correlation", "layer3", "dy=1", "too small"),
        Skipped("accuracy", "output", None, "no labels"),
    ]
    most = ", ".join(f"layer{number}" for number in range(20) if number != 3)
    assert _fold_skipped([*absent, *absent]) == [
        f"within_correlation of {most} at dx=1; layer3 at dx=1, dy=1: too small",
        "accuracy of output: no labels",
    ]


def test_references_are_those_of_the_largest_shift_alone() -> None:
    row = {
        "stage": "a",
        "stride": 1,
        "error": None,
        "grid_aligned": True,
        "value": 0.5,
        "floor": 0.1,
        "untrained": None,
    }
    rows = [row | {"magnitude": 1.0}, row | {"magnitude": 8.0, "floor": 0.2}, row | {"stage": "b", "magnitude": 1.0}]
    assert _build_table(rows, "px") == [
        {"stage": "a", "stride": 1, "1 px": "0.500", "8 px": "0.500", "shuffled (8 px)": "0.200"},
        {"stage": "b", "stride": 1, "1 px": "0.500", "8 px": None, "shuffled (8 px)": None},
    ]


@pytest.mark.slow
def test_a_trial_of_a_study_gets_a_new_measure_and_its_report_shows_it(
    measure, invoke, asked, folder, write, monkeypatch
) -> None:
    trial = plan_study(load_requested_study(asked), folder)[1].trials[0]
    for each in plan_study(load_requested_study(asked), folder)[1].trials:
        conditions = RunConditions("question", Store.open(folder), Provenance(None, None, {}))
        list(TrialRun(Job(each.trial, each.levels, (Accuracy(),)).with_absolute_paths(), conditions))
    before = results(folder).trials.collect()
    monkeypatch.setattr(trial_run, "Trainer", lambda *arguments: pytest.fail("trained"))
    words = ("--measure", "within_correlation", "--group", "translation:1-2", "--workers", 1, "--json")
    rows = rows_of(measure(trial.id[:8], *words))
    assert {row["trial"] for row in rows} == {trial.id}
    assert all(row["untrained"] is not None for row in rows)
    for each in plan_study(load_requested_study(asked), folder)[1].trials[1:]:
        rows_of(measure(each.id, "--study", asked.study, *words))
    assert results(folder).trials.collect().equals(before)

    figure = "figures=(eq.LayerProfile(y=eq.WithinCorrelation(eq.Translation(2))),),\n    scales"
    more = "measures=(eq.Accuracy(), eq.WithinCorrelation(eq.Translation(2)))"
    path = write(("measures=(eq.Accuracy(),)", more), ("scales", figure), name="question.py")
    plan = plan_study(load_requested_study(asked._replace(study=path)), folder)[1]
    assert plan.counts[PlanState.DONE] == 4
    assert plan.build_jobs() == []
    done = invoke("report", path, "--results", folder)
    assert done.exit_code == ExitCode.DONE, done.output
    (drawn,) = Path(f"{folder}/reports/question/figures").glob("*along-the-network.csv")
    series = {row["series"] for row in csv.DictReader(drawn.read_text().splitlines())}
    assert series == {"trained", "untrained", "shuffled pairs", "ceiling"}


def test_an_interrupted_measurement_ends_with_130_and_goes_on(measure, folder, monkeypatch) -> None:
    real = MeasuringWorker.run_task

    def asked_to_stop(self, task):
        os.kill(os.getpid(), signal.SIGINT)
        return real(self, task)

    monkeypatch.setattr(MeasuringWorker, "run_task", asked_to_stop)
    words = ("nets.py:small", *FEW, "--measure", "within_correlation")
    stopped = measure(*words)
    assert (stopped.exit_code, stopped.stdout) == (ExitCode.INTERRUPTED, "")
    assert "Stopped; run the same command to resume." in stopped.stderr
    monkeypatch.setattr(MeasuringWorker, "run_task", real)
    done = measure(*words)
    assert done.exit_code == ExitCode.DONE
    assert "0 of 3 shards" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("t_00",), "There are no results in"),
        (("nets.py:small", "--plot", "layers.pdf"), "--plot must end in .svg, .png, .html, got layers.pdf"),
        (("nets.py:small", "--data", "nowhere"), "which does not exist. Check the path."),
        (("nets.py:small", "--group", "spin"), "--group must be one of translation"),
        (("nets.py:small", "--measure", "equivariance"), "Unknown measure 'equivariance'"),
        (("nets.py:tiny", "--images", "4"), "must define the function that builds the network, got 'tiny'"),
        (("gone.pt", "--model", "nets.py:small"), "Checkpoint needs an existing file of weights, got file='gone.pt'"),
        (("nets.py:small", "--csv", "--json"), "Use either --csv or --json, got both"),
        (
            ("nets.py:small", *FEW, "--group", "translation:9", "--border", "window"),
            "Every view must fill the network's window",
        ),
        (("resnet5",), "name must be a model of timm, got name='resnet5'"),
        (("resnet18.a1_in1k", "--weights-dir", "."), "Pretrained weights must be on this machine"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(measure, words, message) -> None:
    done = measure(*words)
    assert done.exit_code == ExitCode.USAGE, done.output
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_trial_has_its_own_images(measure, folder) -> None:
    Store.open(folder)
    wanted = MeasuringRequest(
        **{**dict.fromkeys(MeasuringRequest._fields), "target": "t_00", "size": 32, "results": folder}
    )
    with pytest.raises(ValueError, match=r"A trial is always measured on its own test images, got --size for t_00"):
        measure_target(wanted, {"workers": 1, "address": None})
    unknown = measure("t_00")
    assert "Trial id 't_00' matches no finished trial in" in unknown.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_ray_workers_print_what_this_process_prints(measure, invoke, folder) -> None:
    words = ("nets.py:small", "--size", 16, "--images", 40)
    here = measure(*words, "--workers", 1)
    spread = invoke("measure", *words, "--workers", 2, "--results", f"{folder}2")
    assert spread.exit_code == ExitCode.DONE, spread.output
    assert spread.stdout == here.stdout


@pytest.mark.parametrize("room", [None, 2])
def test_accuracy_is_that_of_the_network_on_the_images_as_they_are(measure, room: int | None) -> None:
    rng, namespace = np.random.default_rng(0), dict[str, Any]()
    flat = "from torch import nn\n\ndef flat():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    exec(flat, namespace)
    Path("nets.py").write_text(flat)
    torch.manual_seed(1)
    network = namespace["flat"]()
    images = rng.integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    seen = (torch.from_numpy(images).float() / 255 - 0.4) / torch.tensor([0.2, 0.3, 0.25])[:, None, None]
    labels = network(seen).argmax(dim=1)
    wrong = torch.arange(60) % 4 == 0
    labels[wrong] = (labels[wrong] + 1) % 10
    for name in CIFAR10.layouts[0].names:
        Path(name).write_bytes(pickle.dumps({"data": images.reshape(60, -1), "labels": labels.tolist()}))
    save_file(network.state_dict(), "mine.safetensors")
    words = (
        "--data",
        ".",
        "--images",
        60,
        "--size",
        32,
        "--mean",
        0.4,
        "--std",
        "0.2,0.3,0.25",
        "--measure",
        "accuracy",
    )
    enlarged = () if room is None else ("--room", room)
    done = measure("mine.safetensors", "--model", "nets.py:flat", *words, *enlarged, "--workers", 1, "--json")
    (row,) = rows_of(done)
    assert (row["value"] == 0.75) == (room is None)
    assert "assumed" not in done.stderr
