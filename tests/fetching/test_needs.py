"""What specs read, wherever in them it stands."""

from pathlib import Path

import equistudy as eq
from equistudy.fetching.fetch import DatasetRequest
from equistudy.fetching.needs import find_needs
from equistudy.fetching.registry import DATASETS

TAGGED = "resnet18.a1_in1k"


def build_trial(dataset: eq.Dataset, model: eq.Model | None = None) -> eq.Trial:
    model = model or eq.ResNet(8, 2)
    return eq.Trial(model, dataset, eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=1), 0)


def test_datasets_inside_of_others_and_weights_are_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUISTUDY_DATA", raising=False)
    trials = (
        build_trial(dataset, model)
        for dataset in (eq.Digits(), eq.CIFAR10(), eq.Turned(eq.MNIST(train_size=100)), eq.MNIST("elsewhere"))
        for model in (eq.TimmModel(TAGGED, pretrained=True), eq.TimmModel("resnet26"), eq.ResNet(8, 2))
    )
    needs = find_needs(trials, None)
    folders = {(request.dataset.name, str(request.folder)) for request in needs.datasets}
    assert folders == {("cifar10", "data/cifar10"), ("mnist", "data/mnist"), ("mnist", "elsewhere")}
    assert needs.weights == (TAGGED,)
    assert needs.manual == ()


def test_where_datasets_go(monkeypatch, tmp_path):
    specs = (eq.MNIST(), eq.FashionMNIST("/mine"), eq.Flowers102(str(tmp_path)))
    folders = [str(request.folder) for request in find_needs(specs, Path("there")).datasets]
    assert folders == ["there/mnist", "/mine", str(tmp_path)]
    monkeypatch.setenv("EQUISTUDY_DATA", "/shared/data")
    folders = [str(request.folder) for request in find_needs(specs, None).datasets]
    assert folders == ["/shared/data/mnist", "/mine", str(tmp_path)]


def test_only_the_files_that_are_read_are_wanted():
    def list_parts(*specs: eq.Dataset) -> list[str]:
        (request,) = find_needs(specs, None).datasets
        return [file.name.split("_")[4] for file in request.dataset.select_files(request.names)]

    assert list_parts(eq.PatchCamelyon()) == ["train", "train", "test", "test"]
    assert list_parts(eq.PatchCamelyon(validation=True)) == ["train", "train", "valid", "valid"]
    both = eq.PatchCamelyon(), eq.PatchCamelyon(validation=True)
    assert list_parts(*both) == ["train", "train", "test", "test", "valid", "valid"]


def test_what_must_be_fetched_by_hand_is_named_only_where_it_is_missing(tmp_path):
    prefix = "mnist_all_rotation_normalized_float"
    specs = (eq.RotatedMNIST(str(tmp_path)), eq.QM9(folder=str(tmp_path)))
    needs = find_needs(specs, None)
    assert [known.name for known in needs.manual] == ["rotated-mnist"]
    assert needs.datasets == (DatasetRequest(DATASETS["qm9"], tmp_path),)
    for part in ("train_valid", "test"):
        (tmp_path / f"{prefix}_{part}.amat").touch()
    assert find_needs(specs, None).manual == ()
