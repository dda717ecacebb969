"""Every study that is shipped can be read, planned and begun; the smallest runs from end to end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from equistudy.execution.job import Conditions, Job, Phase, Provenance
from equistudy.execution.plan import make_plan
from equistudy.execution.trial_run import TrialRun
from equistudy.results.results import results
from equistudy.results.store import Store
from equistudy.study.file import load_study

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "studies").glob("*.py"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_reads_as_a_method_section(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 60
    question = lines[0].removeprefix('"""')
    assert load_study(path).study.question == question
    assert f"    python -m equistudy run studies/{path.name}" in path.read_text()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_importing_a_study_starts_nothing(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from equistudy.study.file import load_study;"
        f"load_study(Path({str(path)!r}));"
        "print({'torch', 'ray', 'timm', 'altair', 'scipy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_first_trial_of_a_study_can_be_trained(path: Path, tmp_path: Path) -> None:
    study = load_study(path).study
    first = make_plan(study, None).trials[0].trial
    shrunk = replace(first, dataset=replace(first.dataset, train_size=64), recipe=replace(first.recipe, epochs=1))
    conditions = Conditions(path.stem, Store.open(tmp_path / "results"), Provenance(None, None, {}))
    *_, last = TrialRun(Job(shrunk, {}, study.measures[:1]), conditions)
    assert last.phase == Phase.DONE


@pytest.mark.slow
def test_smoke_runs_from_end_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "equistudy", "run", "studies/smoke.py", "--results", str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    verdict, report = done.stdout.splitlines()
    assert verdict.partition(":")[0] in {"SUPPORTED", "CONTRADICTED", "UNDECIDED"}
    assert Path(report.removeprefix("Report: ")).stat().st_size < 5_000_000
    assert results(tmp_path / "results").trials.collect()["status"].to_list() == ["done"] * 4

    readme = (ROOT / "README.md").read_text()
    (example,) = [block for block in readme.split("```python\n")[1:] if block.startswith("import equistudy, polars")]
    code = example.partition("```")[0].replace('"results"', repr(str(tmp_path / "results")))
    again = subprocess.run([sys.executable, "-c", f"{code}\n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
