"""Every study that is shipped can be read, planned and begun; the smallest runs from end to end."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from equistudy.analysis.table import StudyTable
from equistudy.analysis.verdicts import judge_claims
from equistudy.networks.import_timm import import_timm
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.job import Job, Provenance, RunConditions, TrialPhase
from equistudy.running.plan import PlanState, make_plan
from equistudy.running.trial_run import TrialRun
from equistudy.study.file import load_study
from equistudy.study.search import Search
from equistudy.study.study import Study

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "studies").glob("*.py"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_reads_as_a_method_section(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 80
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


def drawn(study: Study) -> Study:
    """The study; if it is a search, as if it had drawn the least of everything."""
    if not isinstance(study.design, Search):
        return study
    space = study.design.space.items()
    levels = {name: domain.low if hasattr(domain, "low") else domain.categories[0] for name, domain in space}
    return replace(study, design=replace(study.design, sampled=(levels,)))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_first_trial_of_a_study_can_be_trained(path: Path, tmp_path: Path) -> None:
    study = load_study(path).study
    # other scales may need files that are not here: they are planned only where the first has nothing to train
    planned = (each for scale in (None, *study.scales) for each in make_plan(drawn(study.at_scale(scale)), None).trials)
    first = next(each.trial for each in planned if each.state is PlanState.MISSING)
    few = {"train_size": 64} if first.recipe.epochs else {"test_images": 2}
    few = {name: size for name, size in few.items() if hasattr(first.dataset, name)}
    recipe = replace(first.recipe, epochs=min(1, first.recipe.epochs), batch_size=min(64, first.recipe.batch_size))
    shrunk = replace(first, dataset=replace(first.dataset, **few), recipe=recipe)
    conditions = RunConditions(path.stem, Store.open(tmp_path / "results"), Provenance(None, None, {}))
    *_, last = TrialRun(Job(shrunk, {}, study.measures[:1]), conditions)
    assert last.phase == TrialPhase.DONE, last.message


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


@pytest.mark.slow
def test_the_zoo_takes_the_weights_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers stand for weights: five of the networks have some, under their own names."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "weights"
    folder.mkdir()
    names = ("resnet18.tv_in1k", "resnet18.a1_in1k", "mnasnet_100.rmsp_in1k", "mobilenetv2_100.ra_in1k")
    for name in names:
        save_file(import_timm().create_model(name, pretrained=False).state_dict(), folder / f"{name}.safetensors")
    last = "mobilenetv3_large_100.ra_in1k"
    torch.save({"state_dict": import_timm().create_model(last, pretrained=False).state_dict()}, folder / f"{last}.pth")
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(folder))
    text = (ROOT / "studies" / "zoo.py").read_text().replace("DeadLeaves(256, test_images=128)", "DeadLeaves(160, 4)")
    path = tmp_path / "small_zoo.py"
    path.write_text(text.replace("levels=(eq.Protocol.COMMON, eq.Protocol.NATIVE)", "levels=(eq.Protocol.COMMON,)"))
    study = load_study(path).study
    jobs = make_plan(study, None).build_jobs()
    conditions = RunConditions("zoo", Store.open(tmp_path / "results"), Provenance(None, None, {}))
    assert [list(TrialRun(job, conditions))[-1].phase for job in jobs] == [TrialPhase.DONE] * 5
    found = results(tmp_path / "results")
    counts = make_plan(study, found).counts
    assert (counts[PlanState.DONE], counts[PlanState.IMPOSSIBLE]) == (5, 59)
    assert set(found.trials.collect()["network"]) == {*names, last}
    assert found.measurements.collect()["untrained"].null_count() == 0
    pooled, inside = (verdict for _, verdict in judge_claims(study, StudyTable.from_results(study, found)))
    assert (pooled.n, inside.n) == (5, 5)
    assert "59 of 64 trials have no result (e.g. family=ResNet, network=resnet34.tv_in1k" in pooled.sentence
    assert "missing: no weights" in pooled.sentence
