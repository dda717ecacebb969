"""The study that `new` writes runs as it is, and no file is written over."""

from pathlib import Path

import pytest

from equistudy.cli.new_study import write_study
from equistudy.study.file import StudyFileError, load_study


def test_it_is_a_study_with_a_claim_and_the_way_to_run_it(tmp_path: Path) -> None:
    path = tmp_path / "fresh_question.py"
    told = write_study(path)
    assert told[-1] == f"  python -m equistudy run {path}"
    study = load_study(path).study
    assert len(study.design) == 9
    assert (len(study.claims), len(study.figures)) == (1, 2)
    assert f"python -m equistudy run {path}" in path.read_text()


@pytest.mark.slow
def test_it_would_run_from_end_to_end(tmp_path: Path, invoke) -> None:
    path = tmp_path / "checked_question.py"
    assert invoke("new", path).exit_code == 0
    done = invoke("plan", path, "--check", "--results", tmp_path / "results")
    assert done.exit_code == 0
    assert "Checked: each of 3 cells took one step" in done.stderr
    assert not (tmp_path / "results").exists()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine")
    with pytest.raises(
        ValueError, match=r"new does not overwrite files, got .*mine\.py, which exists. Choose another name"
    ):
        write_study(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("question", "A study is a Python file, got .*question. For example .*question.py"),
        ("absent/question.py", "The folder of a new study must exist, got .*absent. Create it first"),
    ],
)
def test_a_wrong_place_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_study(tmp_path / name)


def test_a_name_of_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match=r"A study file must not have the name of another module, got .*torch\.py"):
        write_study(tmp_path / "torch.py")
    assert not (tmp_path / "torch.py").exists()
