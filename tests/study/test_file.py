import os
import sys
from pathlib import Path

import pytest

from equistudy.study.file import StudyFileError, load_study

STUDIES = Path(__file__).parents[2] / "studies"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "question.py"
    path.write_text(text)
    return path


def test_a_study_is_read_with_its_name() -> None:
    loaded = load_study(STUDIES / "smoke.py")
    assert loaded.name == "smoke"
    assert loaded.study.question == "Does the whole pipeline work here?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (\n", r"question.py:1: '\(' was never closed"),
        (
            "x = 1\n",
            "assigns a Study to the name 'study', got nothing of that name in .*question.py. Add: study = Study",
        ),
        ("study = 3\n", "assigns a Study to the name 'study', got a value of type int"),
        ("\nimport nowhere\n", "question.py:2: ModuleNotFoundError: No module named 'nowhere'"),
        ("from equistudy import ResNet\n\nResNet(depth=21)\n", r"question.py:3: ResNet depth must be 6n \+ 2"),
        ("from equistudy import Resnet\n", r"question.py:1: ImportError: .*cannot import name 'Resnet'"),
        ("import equistudy as eq\neq.Trial('x', 1, 2, 3, 4, seed=0)\n", "question.py:2: "),
        (
            "import equistudy as eq\neq.ResNet(dept=20)\n",
            "question.py:2: .*ResNet has no field 'dept'. Did you mean depth",
        ),
        ("import sys\nsys.exit(3)\n", "question.py:2: SystemExit: 3"),
        ("{}['x']\n", "question.py:1: KeyError: 'x'"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        load_study(written(tmp_path, text))
    assert "question" not in sys.modules


def test_a_relative_path_is_told_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match=r"^question.py:2: ZeroDivisionError: division by zero"):
        load_study(Path("question.py"))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "question.py").write_bytes(b"x = '\xff'\n")
    with pytest.raises(StudyFileError, match=r"question.py.*'utf-8' codec can't decode"):
        load_study(tmp_path / "question.py")


def test_a_study_under_another_name_is_found(tmp_path: Path) -> None:
    text = (STUDIES / "smoke.py").read_text().replace("study = eq.Study", "Study = eq.Study")
    with pytest.raises(StudyFileError, match=r"got a Study named 'Study' in .*question.py. Rename Study to study"):
        load_study(written(tmp_path, text))


def test_what_a_study_prints_is_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_study(written(tmp_path, (STUDIES / "smoke.py").read_text() + "print('hello')\n"))
    assert capsys.readouterr() == ("", "hello\n")


def test_a_study_of_the_same_name_in_another_folder_is_another_study(tmp_path: Path) -> None:
    text = (STUDIES / "smoke.py").read_text()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        loaded = load_study(written(tmp_path / folder, text))
        assert loaded.module.__file__ == str(tmp_path / folder / "question.py")


def test_a_study_stands_in_front_of_no_other_module(tmp_path: Path) -> None:
    for name in ("statistics", "sys", "__main__"):
        path = tmp_path / f"{name}.py"
        path.write_text("")
        with pytest.raises(
            StudyFileError, match=rf"got .*{name}.py, which would hide .* Rename it, .* {name}_study.py"
        ):
            load_study(path)


def test_the_trial_function_is_blamed_with_file_and_line(tmp_path: Path) -> None:
    text = (STUDIES / "smoke.py").read_text().replace("ResNet(8, width)", "ResNet(8, width // 0)")
    path = written(tmp_path, text)
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "// 0" in each)
    loaded = load_study(path)
    with (
        pytest.raises(StudyFileError, match=f"question.py:{line}: ZeroDivisionError: integer .*by zero"),
        loaded.blame_study_code(),
    ):
        list(loaded.study.design.cells())


def test_an_error_of_other_code_is_not_blamed_on_the_study() -> None:
    loaded = load_study(STUDIES / "smoke.py")
    with pytest.raises(ZeroDivisionError), loaded.blame_study_code():
        _ = 1 / 0


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    written(tmp_path, "")
    with pytest.raises(
        StudyFileError, match=r"got .*other.py, which does not exist. Python files in its folder: .*question.py"
    ):
        load_study(tmp_path / "other.py")
    with pytest.raises(StudyFileError, match=r"which is a folder. Its Python files: .*question.py"):
        load_study(tmp_path)
    with pytest.raises(StudyFileError, match=r"but the folder .* does not exist|Python files in its folder: none"):
        load_study(tmp_path / "nowhere" / "other.py")
    (tmp_path / "study.txt").write_text("")
    with pytest.raises(StudyFileError, match=r"Give it a name that ends in .py"):
        load_study(tmp_path / "study.txt")


@pytest.mark.parametrize("name", ["..py", "...py", "=1+1.py", "a\nb.py", "\x1b[31m.py"])
def test_the_report_of_a_study_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(
        ValueError, match=r"The name of a study becomes that of its report's folder: .* Rename the file"
    ):
        load_study(tmp_path / name)


def test_a_file_that_changes_within_a_second_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's bytecode would be that of the first text: the size is the same, and so is the time in seconds."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for number in "123":
        text = "import equistudy as eq\n\ndef trial(seed):\n    return seed\n\n"
        text += f"study = eq.Study('Does it take {number}?', eq.factorial(trial, seeds=range(1)), measures=())\n"
        path = written(tmp_path, text)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        assert load_study(path).study.question == f"Does it take {number}?"
