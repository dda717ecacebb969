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
        ("x = 1\n", "assigns a Study to the name 'study', got no such name in .*question.py. Add: study = Study"),
        ("study = 3\n", "assigns a Study to the name 'study', got a int"),
        ("\nimport nowhere\n", "question.py:2: ModuleNotFoundError: No module named 'nowhere'"),
        ("from equistudy import ResNet\n\nResNet(depth=21)\n", r"question.py:3: ResNet depth must be 6n \+ 2"),
        ("from equistudy import Resnet\n", r"question.py:1: ImportError: .*cannot import name 'Resnet'"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        load_study(written(tmp_path, text))


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    written(tmp_path, "")
    with pytest.raises(StudyFileError, match=r"got .*other.py, which does not exist. Beside it: .*question.py"):
        load_study(tmp_path / "other.py")
    with pytest.raises(StudyFileError, match="Beside it: no Python file"):
        load_study(tmp_path / "nowhere" / "other.py")
    (tmp_path / "study.txt").write_text("")
    with pytest.raises(StudyFileError, match=r"Give it a name that ends in .py"):
        load_study(tmp_path / "study.txt")
