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
    "studies__s_dot_py": "import beside\n",
    "studies__beside_dot_py": "WIDTH = 4\n",
    "package__data__loader_dot_py": "code",
    "data__images_dot_bin": "data",
    "results__rows": "rows",
    "notes_dot_md": "untracked",
    "ignored_dot_log": "log",
    "_dot_gitignore": "*.log\n",
}
SECRETS = (
    *(
        ".env",
        ".env.local",
        "prod.env",
        "credentials.json",
        "my-credentials",
        "service-account.json",
        "id_ecdsa",
        "id_rsa",
    ),
    *(
        ".npmrc",
        ".pypirc",
        ".pgpass",
        ".netrc",
        "kubeconfig",
        "kubeconfig.yaml",
        "terraform.tfstate",
        "KEY.PEM",
        "a.Key",
    ),
    *(".ssh/config", ".docker/config.json", ".kube/config", ".aws/config", "deploy/.SSH/known_hosts", "secrets.yaml"),
    *("client_secret_1.json", "prod.tfvars", "terraform.tfstate.backup", "token.txt", "store.p12", ".git-credentials"),
)
KEYS = {
    "notes.txt": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
    "code.py": 'KEY = """\n-----BEGIN RSA PRIVATE KEY-----\n"""',
    "data.yaml": "a: |\n  x\n-----BEGIN PRIVATE KEY-----",
}


def track(root: Path, *names: str) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "-f", *names], check=True)


def test_what_git_tracks_and_the_study_imports_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    study = written(root, **FILES)
    monkeypatch.chdir(root)
    (root / "outside").symlink_to("/etc/hostname")
    track(root, "package", "outside", "data", "results")
    tree = find_working_tree(study)
    assert {str(name) for name in tree.files} == {"studies/s.py", "studies/beside.py", "package/data/loader.py"}
    assert {str(name) for name in tree.untracked} == {".gitignore", "notes.md"}
    copy = tree.copy_to(tmp_path / "copy")
    assert (copy / "package" / "data" / "loader.py").read_text() == "code"
    assert tree.locate(study) == Path("studies/s.py")
    with pytest.raises(ValueError, match=r"must be in the working tree .*results/rows, .* and name it with --include"):
        tree.locate(root / "results" / "rows")
    more = find_working_tree(study, [root / "notes.md", root / "package"])
    assert {str(name) for name in more.files} - {str(name) for name in tree.files} == {"notes.md"}


def test_without_git_only_what_is_needed_or_named_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = written(tmp_path, **FILES)
    monkeypatch.chdir(tmp_path)
    tree = find_working_tree(study, [tmp_path / "package"])
    assert {str(name) for name in tree.files} == {"studies/s.py", "studies/beside.py", "package/data/loader.py"}
    assert Path("notes.md") in tree.untracked


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("name", [*SECRETS, *KEYS])
def test_secrets_never_travel(name: str, tracked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = written(tmp_path, **FILES)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(KEYS.get(name, "a value"))
    monkeypatch.chdir(tmp_path)
    track(tmp_path, "studies", *([name] if tracked else []))
    tree = find_working_tree(study)
    assert Path(name) not in (*tree.files, *tree.untracked)
    assert Path(name) in tree.secrets
    with pytest.raises(ValueError, match=r"got --include .*, which looks like a secret"):
        find_working_tree(study, [path])


@pytest.mark.parametrize(
    "name", ["tokens.py", "environment.yaml", "keyboard.py", "monkey.txt", "secretary.md", "keys.py"]
)
def test_code_that_only_sounds_like_a_secret_travels(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = written(tmp_path, **FILES)
    (tmp_path / name).write_text("code")
    monkeypatch.chdir(tmp_path)
    track(tmp_path, "studies", name)
    assert Path(name) in find_working_tree(study).files


def test_only_what_is_below_the_root_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "tree"
    study = written(root, **FILES)
    (tmp_path / "above.txt").write_text("x")
    monkeypatch.chdir(root)
    with pytest.raises(ValueError, match=r"must be inside .*/tree, got --include .*above\.txt\. Copy it there"):
        find_working_tree(study, [tmp_path / "above.txt"])
    with pytest.raises(ValueError, match=r"names files and folders, got nowhere, which does not exist"):
        find_working_tree(study, [Path("nowhere")])


def test_a_tree_with_data_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEGABYTES", 0.001)
    monkeypatch.chdir(tmp_path)
    study = written(tmp_path, studies__s_dot_py="", images_dot_bin=5000 * "x")
    track(tmp_path, "images.bin")
    with pytest.raises(ValueError, match=r"at most 0.001 MB, got 0 MB in .*the largest: images.bin \(0 MB\)"):
        find_working_tree(study)


def test_a_study_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"A study is a Python file, got .*none.py, which does not exist"):
        find_working_tree(tmp_path / "none.py")
