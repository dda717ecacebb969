"""Arrays, datasets of torch and of Hugging Face: the same images have the same identity, whichever way they come."""

import dataclasses
import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import equistudy as eq
from equistudy.datasets.adapters import Arrays, HFDataset, TorchDataset
from equistudy.datasets.dataset import Split
from equistudy.datasets.in_memory import InMemoryDataset
from equistudy.spec import flatten_spec, to_canonical_json
from equistudy.training.trainer import Trainer

RNG = np.random.default_rng(0)
X, TEST_X = RNG.integers(0, 256, (12, 3, 8, 10), dtype=np.uint8), RNG.integers(0, 256, (6, 3, 8, 10), dtype=np.uint8)
Y, TEST_Y = np.arange(12) % 3, np.arange(6) % 3


class Rows:
    """A dataset as Hugging Face's library has them."""

    def __init__(self, **columns: list) -> None:
        self.columns, self.column_names = columns, list(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: column[index] for name, column in self.columns.items()}


class Photos(torch.utils.data.Dataset):
    """A map-style dataset of images of PIL."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return picture(self.images[index]), int(self.labels[index])


def picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image.transpose(1, 2, 0))


def encoded(image: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    picture(image).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def rows(images: np.ndarray, labels: np.ndarray) -> Rows:
    return Rows(img=[encoded(image) for image in images], label=labels.tolist())


WAYS: dict[str, InMemoryDataset] = {
    "8-bit": Arrays(X, Y, TEST_X, TEST_Y),
    "channels last": Arrays(X.transpose(0, 2, 3, 1), Y, TEST_X.transpose(0, 2, 3, 1), TEST_Y[:, None]),
    "floats": Arrays(X / 255, Y.tolist(), (TEST_X / 255).astype(np.float32), TEST_Y),
    "torch": Arrays(torch.tensor(X), torch.tensor(Y), torch.tensor(TEST_X).float() / 255, torch.tensor(TEST_Y)),
    "tensor dataset": TorchDataset(
        TensorDataset(torch.tensor(X).float() / 255, torch.tensor(Y)),
        TensorDataset(torch.tensor(TEST_X), torch.tensor(TEST_Y)),
    ),
    "photos": TorchDataset(Photos(X, Y), Photos(TEST_X, TEST_Y)),
    "rows": HFDataset(rows(X, Y), rows(TEST_X, TEST_Y)),
    "splits": HFDataset({"validation": rows(TEST_X, TEST_Y), "train": rows(X, Y), "extra": rows(X[:1], Y[:1])}),
    "pictures": HFDataset(
        {
            name: Rows(image=[picture(each) for each in x], labels=list(y))
            for name, x, y in (("train", X, Y), ("test", TEST_X, TEST_Y))
        }
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_images_are_the_same_data(way: str) -> None:
    dataset, usual = WAYS[way], WAYS["8-bit"]
    for split, images, labels in ((Split.TRAIN, X, Y), (Split.TEST, TEST_X, TEST_Y)):
        inputs, targets = dataset.load(split)
        assert torch.equal(inputs, torch.from_numpy(images))
        assert targets.tolist() == labels.tolist()
    assert dataset.fingerprint() == usual.fingerprint()
    assert (dataset.num_classes, dataset.image_shape, dataset.has_labels) == (3, (3, 8, 10), True)
    assert dataset.mean == pytest.approx((X / 255).mean(axis=(0, 2, 3)), abs=1e-4)
    assert dataset.std == pytest.approx((X / 255).std(axis=(0, 2, 3)), abs=1e-4)


def test_the_identity_is_the_content() -> None:
    one, again = WAYS["8-bit"], Arrays(X.copy(), Y, TEST_X, TEST_Y)
    assert one == again
    assert hash(one) == hash(again)
    assert to_canonical_json(one) == to_canonical_json(again)
    changed = X.copy()
    changed[3, 1, 2, 2] ^= 1
    others = [Arrays(changed, Y, TEST_X, TEST_Y), Arrays(X, (Y + 1) % 3, TEST_X, TEST_Y), Arrays(X, Y)]
    others += [dataclasses.replace(one, train_size=6), dataclasses.replace(one, background=0.0)]
    assert len({to_canonical_json(each) for each in (one, *others)}) == 6
    assert "x" not in flatten_spec(one)
    assert flatten_spec(one)["digest"] == one.fingerprint()


def test_subsets_hold_every_class() -> None:
    part = dataclasses.replace(WAYS["8-bit"], train_size=6, test_size=3)
    assert part.load(Split.TRAIN).targets.bincount().tolist() == [2, 2, 2]
    assert part.load(Split.TEST).targets.bincount().tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"between one example per class and the whole split, got train_size=13"):
        dataclasses.replace(WAYS["8-bit"], train_size=13)


def test_one_part_is_for_testing_and_may_have_no_classes() -> None:
    bare = Arrays(X)
    assert torch.equal(bare.load(Split.TEST).inputs, torch.from_numpy(X))
    assert (bare.has_labels, bare.num_classes, set(bare.load(Split.TEST).targets.tolist())) == (False, 1000, {-1})
    with pytest.raises(ValueError, match=r"Arrays needs training images, got only test images\. Pass both splits"):
        bare.load(Split.TRAIN)
    assert Arrays(X[:, 0]).image_shape == (1, 8, 10)
    assert TorchDataset([picture(image) for image in X]).fingerprint() == bare.fingerprint()  # type: ignore[arg-type]
    assert HFDataset(Rows(image=[picture(image) for image in X])).fingerprint() == bare.fingerprint()


def test_photographs_of_many_sizes_are_cut_to_squares() -> None:
    images = [Image.fromarray(RNG.integers(0, 256, (20 + k, 30, 3), dtype=np.uint8)) for k in range(3)]
    dataset = TorchDataset([(image, 0) for image in images], size=16)
    assert dataset.load(Split.TEST).inputs.shape == (3, 3, 16, 16)
    assert HFDataset(Rows(image=images, label=[0, 0, 0]), size=16).fingerprint() == dataset.fingerprint()
    with pytest.raises(
        ValueError, match=r"All images must have the same shape, got .* for item 1 of dataset\. Pass size=\.\.\."
    ):
        TorchDataset([(image, 0) for image in images])


def test_a_network_learns_from_them() -> None:
    bright = np.repeat(np.array([40, 200], dtype=np.uint8), 32)
    images = np.broadcast_to(bright[:, None, None, None], (64, 1, 16, 16)).copy()
    dataset = eq.Arrays(images, np.repeat([0, 1], 32), images[::8] + 1, np.repeat([0, 1], 4))
    trial = eq.Trial(eq.ResNet(8, 2), dataset, eq.Classification(), eq.NoAugmentation(), eq.Recipe(3, 16), 0)
    trainer = Trainer(trial, torch.device("cpu"))
    while not trainer.is_finished:
        trainer.train_epoch()
    assert {value.value for value in trainer.curves if (value.split, value.name) == ("test", "accuracy")} >= {1.0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Arrays, "Arrays needs images, got none. Use Arrays(x, y)."),
        (lambda: Arrays(X, Y[:5]), "one class, got 12 images in x and 5 classes in y"),
        (lambda: Arrays(X, Y, TEST_X[..., :5], TEST_Y), "have the same shape, got (3, 8, 10) and (3, 8, 5)"),
        (lambda: Arrays(X, Y, TEST_X, TEST_Y + 1), "must occur in training, got class 3 only in the test split"),
        (lambda: Arrays(X, Y, TEST_X), "Either all images or none must have a class"),
        (lambda: Arrays(X[0, 0]), "(N, C, H, W), (N, H, W, C) or (N, H, W), got (8, 10)"),
        (lambda: Arrays(X / 127.5 - 1), "lie in [0, 1], got -1 to 1 in x. Undo their normalisation"),
        (lambda: Arrays(np.full((2, 1, 4, 4), np.nan)), "lie in [0, 1], got nan to nan in x"),
        (lambda: Arrays(X.astype(int) * 2), "Integer images must lie in 0 to 255, got 0 to 510 in x"),
        (lambda: Arrays(X.astype(str)), "Integer images must lie in 0 to 255, got values of type <U3 in x"),
        (lambda: Arrays(X, Y + 0.5), "y must hold one integer class per image, got float64 of shape (12,)"),
        (lambda: Arrays(X, Y - 1), "numbered from 0, got -1 in y"),
        (lambda: Arrays(X, mean=(0.5,), std=(0.5,)), "one number per channel, got 1 and 1 for 3 channels"),
        (TorchDataset, "TorchDataset needs a dataset, got none. Use TorchDataset(dataset)."),
        (lambda: TorchDataset([]), "at least one image, got none in dataset"),
        (lambda: HFDataset({"a": rows(X, Y)}), "named train, test or validation, got a. Pass one split"),
        (lambda: HFDataset(Rows(text=["a"])), "needs a column image or img, got text"),
        (lambda: HFDataset(Rows(image=[{"bytes": b"gone"}])), "item 0 of dataset: not an image. Remove it"),
    ],
)
def test_what_cannot_be_adapted(make, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
