"""Trials that share an accelerator hold it together, and each has the row that it has alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_kill import numbers

pytestmark = pytest.mark.slow

STUDY = """
import equistudy as eq

def trial(width: int, seed: int) -> eq.Trial:
    digits = eq.Digits(canvas=16, digit=8, train_size=128)
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), eq.RandomCrop(2), eq.Recipe(3, 32), seed)

study = eq.Study(
    question="Does company change anything?",
    design=eq.factorial(trial, eq.Factor("width", (1, 2)), seeds=range(3)),
    measures=(eq.Accuracy(), eq.WithinCorrelation(eq.Translation(max_pixels=1))),
)
"""
# a GPU that Ray alone knows: trials take their parts of it, and train on the CPU
RUN = """
import json, sys
from pathlib import Path

from equistudy.execution.cluster import Resources, fit_resources
from equistudy.execution.ray_environment import prepare_ray_environment

prepare_ray_environment(None)
import ray
from ray import cloudpickle
from ray.util import placement_group_table

from equistudy.execution.cluster import connect_to_ray
from equistudy.running.job import RunConditions, collect_provenance
from equistudy.running.plan import make_plan
from equistudy.execution.job_source import PlannedJobs
from equistudy.execution.tuner import run_jobs
from equistudy.results.store import Store
from equistudy.study.file import load_study

path, folder = Path(sys.argv[1]), Path(sys.argv[2])
loaded = load_study(path)
cloudpickle.register_pickle_by_value(loaded.module)
ray.init(address="local", num_cpus=4, num_gpus=1, log_to_driver=False, logging_level="error")
held = {}
with connect_to_ray(None) as capacity:
    for name, pack in (("alone", 1), ("packed", 3)):
        store, most = Store.open(folder / name), [0]
        chosen = fit_resources(Resources(pack=pack), capacity)

        def tell(progress):
            groups = placement_group_table().values()
            most.append(sum(group["state"] == "CREATED" for group in groups))

        source = PlannedJobs(tuple(make_plan(loaded.study, None).build_jobs()))
        run_jobs(source, RunConditions(loaded.name, store, collect_provenance(path)), chosen, tell, lambda: False)
        held[name] = max(most)
ray.shutdown()
print(json.dumps(held))
"""


def test_packed_trials_run_at_once_and_have_the_rows_that_they_have_alone(tmp_path: Path) -> None:
    study = tmp_path / "company.py"
    study.write_text(STUDY)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(study), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"alone": 1, "packed": 3}
    alone, packed = numbers(tmp_path / "alone"), numbers(tmp_path / "packed")
    assert len(alone[0]) == 6
    assert all(one.equals(other) for one, other in zip(alone, packed, strict=True))
