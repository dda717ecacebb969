"""Type checkers see the words of a study: mypy on a study file outside the repository, as for an installed package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")
ROOT = Path(__file__).parents[1]
STUDY = """import equistudy as eq

WIDTH = eq.Factor("width", levels=(4, 8), log=True)
WITHIN = eq.WithinCorrelation(eq.Translation(max_pixels=2))


def trial(width: int, seed: int, depth: int = 8) -> eq.Trial:
    data: eq.Dataset = eq.Digits(train_size=256, test_size=128)
    model = eq.ResNet({depth}, width)
    return eq.Trial(model, data, eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=1), seed)


study = eq.Study(
    question="Does width matter?",
    design=eq.factorial(trial, WIDTH, seeds=range(3)),
    measures=(WITHIN,),
    claims=(eq.Claim("Wider networks learn less", eq.Trend(WITHIN, over={over}, expected="decreasing")),),
    figures=(eq.Curve(y=WITHIN, x=WIDTH),),
)
reveal_type(eq.ResNet)
"""


@pytest.mark.slow
def test_a_study_of_a_user_is_checked_against_our_types(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(STUDY.format(depth="depth", over="WIDTH"))
    (tmp_path / "wrong.py").write_text(STUDY.format(depth='"deep"', over='"width"'))
    done = subprocess.run(  # noqa: PLW1510 -- mypy fails by design
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "right.py", "wrong.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[0] for line in errors] == ["wrong.py"] * 2, done.stdout + done.stderr
    assert 'Argument 1 to "ResNet" has incompatible type "str"; expected "int"' in errors[0]
    assert 'Argument "over" to "Trend" has incompatible type "str"; expected "Factor"' in errors[1]
    assert "Unexpected" not in done.stdout
    assert done.stdout.count("Revealed type is") == 2
    assert "Any" not in "".join(line for line in done.stdout.splitlines() if "Revealed type is" in line)
