"""Studies from Python: planned, run in this process without Ray, resumed, and shown."""

import subprocess
import sys
from pathlib import Path

import pytest

import equistudy as eq
from equistudy.session import choose_scale, plan, run

ACCURACY, WITHIN = eq.Accuracy(), eq.WithinCorrelation(eq.Translation(max_pixels=1))
WIDTH = eq.Factor("width", (2, 4))
SEEN: list[int] = []


def trial(width: int, seed: int) -> eq.Trial:
    data = eq.Digits(canvas=16, digit=8, train_size=64, test_size=64)
    recipe = eq.Recipe(epochs=1, batch_size=32)
    return eq.Trial(eq.ResNet(8, width), data, eq.Classification(), eq.NoAugmentation(), recipe, seed)


def study(seeds: int = 2, **changes: object) -> eq.Study:
    values: dict = {
        "question": "Does <width> matter?",
        "design": eq.factorial(trial, WIDTH, seeds=range(seeds)),
        "measures": (ACCURACY, WITHIN),
        "claims": (eq.Claim("It does", eq.Trend(ACCURACY, over=WIDTH, expected="increasing")),),
        "figures": (eq.Curve(ACCURACY, WIDTH),),
    }
    return eq.Study(**{**values, **changes})


@pytest.mark.slow
def test_a_study_is_run_judged_drawn_and_grown_without_ray(tmp_path: Path) -> None:
    place, told = tmp_path / "results", list[str]()
    assert len(plan(study(), place).trials) == 4
    assert not place.exists()
    found = run(study(), place, tell=told.append)
    assert [line.split()[1] for line in told] == ["done"] * 4
    assert set(found.to_polars()["status"]) == {"done"}
    (claim, verdict), *_ = found.claims
    assert (claim.statement, verdict.n) == ("It does", 2)
    assert found.plot().to_dict()["layer"]
    page = found.report(tmp_path / "report").read_text()
    assert "It does" in page
    assert "Does &lt;width&gt; matter?" in found._repr_html_()
    assert str(found).startswith("Does <width> matter?\n")
    grown = run(study(3), place, tell=told.append)
    assert len(told) == 6
    assert grown.claims[0][1].n == 3
    with pytest.raises(ValueError, match="counted from 0, got figure=1 of 1"):
        grown.plot(1)


@pytest.mark.slow
def test_the_command_line_goes_on_where_a_session_stopped(tmp_path: Path) -> None:
    """The ids are the same: nothing is trained again."""
    file = tmp_path / "question.py"
    lines = Path(__file__).read_text().partition("ACCURACY, WITHIN")[2].partition("@pytest.mark.slow")[0]
    file.write_text(f"import equistudy as eq\nACCURACY, WITHIN{lines}\nstudy = study()\n")
    run(study(), tmp_path / "results", tell=lambda line: None)
    command = [sys.executable, "-m", "equistudy", "plan", str(file), "--results", str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "4 trials: 4 done" in done.stdout


def broken(width: int, seed: int) -> eq.Trial:
    made = trial(width, seed)
    return eq.Trial(Raises(8, width), made.dataset, made.task, made.augmentation, made.recipe, seed)


class Raises(eq.ResNet):
    def build(self, image_shape: tuple[int, int, int], num_outputs: int):
        SEEN.append(self.width)
        raise KeyError("layers")


def test_an_error_of_the_user_s_own_code_reaches_the_user(tmp_path: Path) -> None:
    failing = study(design=eq.factorial(broken, WIDTH, seeds=range(1)))
    with pytest.raises(KeyError, match="layers") as caught:
        run(failing, tmp_path, tell=lambda line: None)
    assert any(frame.name == "build" and str(frame.path) == __file__ for frame in caught.traceback)
    assert plan(failing, tmp_path).counts[eq_state("FAILED")] == 1
    told: list[str] = []
    found = run(failing, tmp_path, tell=told.append, keep_going=True)
    assert [line.split()[1] for line in told] == ["failed"]
    assert set(found.to_polars()["status"]) == {"failed"}
    assert SEEN == [2, 4]


def eq_state(name: str) -> object:
    from equistudy.running.plan import PlanState

    return PlanState[name]


def test_a_search_needs_ray(tmp_path: Path) -> None:
    design = eq.search(lambda rate, seed: trial(2, seed), {"rate": eq.LogUniform(0.01, 1)}, num_samples=2)
    with pytest.raises(ValueError, match=r"does not run in this process\. Put the study into a file"):
        run(eq.Study("?", design, (ACCURACY,)), tmp_path)


@pytest.mark.slow
def test_ray_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); from tests.test_session import study, run; "
        f"run(study(1), {str(tmp_path)!r}); print('ray' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == "False\n"
    assert "[2/2] done t_" in done.stderr


def test_a_plan_shows_itself_and_what_is_no_study_is_told(tmp_path: Path) -> None:
    planned = plan(study(), tmp_path / "results")
    assert str(planned) == "4 trials: 4 missing. Cost of the rest: not known before the first trial is done."
    page = planned._repr_html_()
    assert page.count("<tr>") == 5
    assert "<th>trial</th><th>state</th><th>width</th><th>seed</th>" in page
    with pytest.raises(TypeError, match=r"study must be an eq.Study, got 'studies/smoke.py'. To run a study file"):
        choose_scale("studies/smoke.py", None)
