import subprocess
from pathlib import Path

import pytest

from equistudy.launch import working_tree as module
from equistudy.launch.working_tree import find_working_tree


def written(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "studies" / "s.py"


FILES = {
    "studies__s_dot_py": "study",
    "package__data__loader_dot_py": "code",
    "data__images_dot_bin": "data",
    "results__rows": "rows",
    "notes_dot_md": "untracked",
    "ignored_dot_log": "log",
    "_dot_gitignore": "*.log\n",
    "_dot_env": "SECRET=1",
    "aws_dot_credentials": "secret",
}


@pytest.mark.parametrize("git", [True, False])
def test_code_travels_and_data_results_and_secrets_do_not(
    git: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tree"
    study = written(root, **FILES)
    monkeypatch.chdir(root)
    (root / "outside").symlink_to("/etc/hostname")
    if git:
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        subprocess.run(["git", "-C", str(root), "add", "studies"], check=True)
    tree = find_working_tree(study)
    code = {"studies/s.py", "package/data/loader.py", "notes.md"}
    assert {str(name) for name in tree.files} == code | ({".gitignore"} if git else {"ignored.log", ".gitignore"})
    copy = tree.copy_to(tmp_path / "copy")
    assert (copy / "package" / "data" / "loader.py").read_text() == "code"
    assert tree.locate(study) == Path("studies/s.py")
    with pytest.raises(ValueError, match=r"must be in the working tree .*results/rows, which is not among"):
        tree.locate(root / "results" / "rows")


def test_a_tree_with_data_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEGABYTES", 0.001)
    monkeypatch.chdir(tmp_path)
    study = written(tmp_path, studies__s_dot_py="study", images_dot_bin=5000 * "x")
    with pytest.raises(
        ValueError, match=r"at most 0.001 MB, got 0 MB in .*the largest: images.bin \(0 MB\), studies/s"
    ):
        find_working_tree(study)


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"A study is a Python file, got .*none.py, which does not exist"):
        find_working_tree(tmp_path / "none.py")
