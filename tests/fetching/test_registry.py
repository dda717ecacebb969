"""The registry agrees with what torchvision and scikit-learn publish, with our readers, and with real files."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
from sklearn.datasets import _olivetti_faces

from equistudy.fetching.download import check_checksum
from equistudy.fetching.registry import DATASETS, MANUAL_DATASETS

REAL = Path(__file__).parents[2].parent / "shared" / "data"


def list_checksums(name: str) -> dict[str, str]:
    return {file.name: file.checksum for file in DATASETS[name].files}


def read_torchvision(module: str, kind: str) -> dict[str, object]:
    """The constants of a dataset's class, from the source: to import it needs operators of its own build of torch."""
    (folder,) = importlib.util.find_spec("torchvision").submodule_search_locations
    tree = ast.parse((Path(folder) / "datasets" / f"{module}.py").read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind]
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in found.body
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.List, ast.Dict))
    }


def test_checksums_are_those_of_torchvision():
    for name, kind in (("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")):
        published = read_torchvision("cifar", kind)
        assert list_checksums(name) == {published["filename"]: f"md5:{published['tgz_md5']}"}
        assert DATASETS[name].files[0].urls[0] == published["url"]
    files = [entry for part in read_torchvision("pcam", "PCAM")["_FILES"].values() for entry in part.values()]
    assert list_checksums("pcam") == {f"{name}.gz": f"md5:{md5}" for name, _, md5 in files}
    assert DATASETS["mnist"].files[0].urls[0].startswith(read_torchvision("mnist", "MNIST")["mirrors"][0])
    flowers = read_torchvision("flowers102", "Flowers102")
    assert {file.urls[0] for file in DATASETS["flowers102"].files} == {
        flowers["_download_url_prefix"] + name for name, _ in flowers["_file_dict"].values()
    }


def test_checksums_are_those_of_scikit_learn():
    faces = _olivetti_faces.FACES
    (file,) = DATASETS["olivetti"].files
    assert (file.name, file.urls, file.checksum) == (faces.filename, (faces.url,), f"sha256:{faces.checksum}")


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_real_files_have_both_the_stated_and_torchvisions_checksums(name, kind):
    if not (REAL / name).is_dir():
        pytest.skip(f"the original files of {name} are not beside the checkout")
    published = dict(read_torchvision("mnist", kind)["resources"])
    assert {file.name for file in DATASETS[name].files} == published.keys()
    for file in DATASETS[name].files:
        path = REAL / name / file.name
        assert check_checksum(path, file.checksum) is None
        assert check_checksum(path, f"md5:{published[file.name]}") is None
        assert path.stat().st_size == file.size


@pytest.mark.parametrize("name", DATASETS)
def test_a_reader_that_lacks_its_files_names_the_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = DATASETS[name]
    with pytest.raises(ValueError, match=rf"python -m equistudy fetch {name} --into {re.escape(str(tmp_path))}$"):
        dataset.find(str(tmp_path / name))
    if name != "flowers102":  # which is always given a folder
        with pytest.raises(ValueError, match=rf"Or fetch them: python -m equistudy fetch {name}$"):
            dataset.reader().fingerprint()
        with pytest.raises(
            ValueError, match=rf"leave the folder out and fetch them .*: python -m equistudy fetch {name}$"
        ):
            dataset.find(str(tmp_path / "mine"))


def test_entries_are_complete():
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.licence
        assert dataset.citation
        for file in dataset.files:
            assert re.fullmatch("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum)
            assert all(url.startswith(("https://", "http://fashion-mnist.s3")) for url in file.urls)
    for dataset in MANUAL_DATASETS.values():
        assert dataset.link.startswith("http")
        assert dataset.steps


def test_a_part_of_the_files_can_be_selected():
    pcam = DATASETS["pcam"]
    names = frozenset({"camelyonpatch_level_2_split_test_y.h5"})
    assert [file.name for file in pcam.select_files(names)] == ["camelyonpatch_level_2_split_test_y.h5.gz"]
    assert pcam.select_files(None) == pcam.files
    assert DATASETS["cifar10"].select_files(frozenset({"test_batch"})) == DATASETS["cifar10"].files
