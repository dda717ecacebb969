"""Molecules in general: points and their order, what is asked for in its own units, sizes, and what is refused."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.molecules import Atoms, MoleculeDataset, split_atoms
from equistudy.tasks.regression import Molecules, Regression


@dataclass(frozen=True)
class Listed(MoleculeDataset):
    """Molecules as rows of text, `value: charge charge ...`, a quarter of them for testing; atoms stand on a line."""

    usual_folder: ClassVar[str] = "listed"
    elements: ClassVar[tuple[int, ...]] = (1, 6)
    most_atoms: ClassVar[int] = 4

    def files(self) -> tuple[Path, ...]:
        return (self.root / "list.txt",)

    def read(self) -> dict[Split, Atoms]:
        (path,) = self.files()
        rows = [line.split(":") for line in path.read_text().splitlines()]
        charges = [np.array(row[1].split(), dtype=np.int64) for row in rows]
        places = [np.arange(len(own))[:, None] * np.array([1.0, 2.0, 2.0]) for own in charges]
        atoms = Atoms(
            np.array([len(own) for own in charges]),
            np.concatenate(charges),
            np.concatenate(places),
            np.array([float(row[0]) for row in rows]),
        )
        return split_atoms(self._check_atoms(atoms, path), len(rows) // 4)


def listed(folder: Path, *rows: str) -> Listed:
    (folder / "list.txt").write_text("\n".join(rows))
    return Listed(str(folder))


EIGHT = tuple(f"{number}: 6{' 1' * (number % 4)}" for number in range(8))


def test_atoms_become_rows_about_their_mean(tmp_path: Path) -> None:
    dataset = listed(tmp_path, "-7.5: 6 1 1", "2: 1", "0: 1 6", "1: 6 6 6 1")
    examples = [dataset.load(split) for split in Split]
    points = {
        float(value): cloud for each in examples for value, cloud in zip(each.targets[:, 0], each.inputs, strict=True)
    }
    assert points.keys() == {-7.5, 0.0, 1.0, 2.0}
    chain, single = points[-7.5], points[2.0]
    assert chain.shape == (4, 5) == dataset.input_shape
    assert chain[:, :3].tolist() == [[-1, -2, -2], [0, 0, 0], [1, 2, 2], [0, 0, 0]]
    assert chain[:, 3:].tolist() == [[0, 1], [1, 0], [1, 0], [0, 0]]
    assert single[0].tolist() == [0, 0, 0, 1, 0]
    assert not single[1:].any()


def test_splits_share_nothing_and_smaller_ones_begin_larger_ones(tmp_path: Path) -> None:
    dataset = listed(tmp_path, *EIGHT)
    train, test = (dataset.load(split).targets[:, 0].tolist() for split in Split)
    assert (len(train), len(test)) == (6, 2)
    assert sorted(train + test) == list(range(8))
    assert replace(dataset, train_size=4).load(Split.TRAIN).targets[:, 0].tolist() == train[:4]
    assert replace(dataset, test_size=1).load(Split.TEST).targets[:, 0].tolist() == test[:1]


def test_mean_and_deviation_are_those_of_the_training_split(tmp_path: Path) -> None:
    """So that what a network is asked for has mean 0 and deviation 1, whatever the unit; and follow the files."""
    for scale, rows in ((1, EIGHT), (1000, [row.replace(":", "000:") for row in EIGHT])):
        for size in (None, 3):
            dataset = replace(listed(tmp_path, *rows), train_size=size)
            values = dataset.load(Split.TRAIN).targets
            assert len(values) == (size or 6)
            assert dataset.target_mean == pytest.approx(float(values.mean()))
            assert dataset.target_std == pytest.approx(float(values.std(correction=0)))
            for task in (Regression(), Molecules()):
                asked = task.prepare_targets(values, dataset)
                torch.testing.assert_close(asked.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
                torch.testing.assert_close(asked.std(correction=0), torch.tensor(1.0))
            fewer = replace(dataset, test_size=1)  # nothing of the test split is known
            fewer.load(Split.TEST)
            assert fewer.target_mean == dataset.target_mean
            assert dataset.target_mean > scale


def test_they_can_be_asked_before_anything_is_loaded(tmp_path: Path) -> None:
    assert listed(tmp_path, "1: 6", "1: 6", "4: 6", "4: 6 1").target_std > 0


def test_values_that_are_all_one_have_no_scale(tmp_path: Path) -> None:
    dataset = listed(tmp_path, *["3: 6 1"] * 4)
    with pytest.raises(ValueError, match=r"must differ, got 3 for every molecule of the training split in .*a scale"):
        Molecules().prepare_targets(dataset.load(Split.TRAIN).targets, dataset)
    assert float(Molecules(2.0).prepare_targets(torch.tensor([[5.0]]), dataset)) == 1.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("1: 6 1", "2: "), r"A molecule needs at least one atom, got 0 in molecule 1 of .*list\.txt\. Remove it"),
        (
            ("1: 6 1", "2: 6 9 1"),
            r"Listed supports the elements H \(1\), C \(6\), got charge 9 in molecule 1 of .*list",
        ),
        (("nan: 6 1",), r"Positions and values must be finite, got infinity or NaN in .*list\.txt\. Copy it again"),
        (("1: 6 1 1 1 1",), r"Listed allows up to 4 atoms per molecule, got 5 in .*belongs to this dataset"),
    ],
)
def test_molecules_that_are_none(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    dataset = listed(tmp_path, *rows)
    for ask in (lambda: dataset.load(Split.TEST), dataset.fingerprint, lambda: dataset.target_mean):
        with pytest.raises(ValueError, match=message):
            ask()


@pytest.mark.parametrize("name", ["train_size", "test_size"])
def test_impossible_sizes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be at least 1 molecule, got {name}=0\. Use None for all"):
        Listed(**{name: 0})
    dataset = replace(listed(tmp_path, *EIGHT), **{name: 7})
    with pytest.raises(ValueError, match=rf"{name} must be at most the number of molecules, got {name}=7 for"):
        dataset.load(Split.TRAIN if name == "train_size" else Split.TEST)


def test_the_fingerprint_is_of_the_molecules_and_not_of_the_place(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    first = listed(here, *EIGHT).fingerprint()
    assert listed(there, *EIGHT).fingerprint() == first == Listed(str(here), train_size=2).fingerprint()
    assert listed(here, *EIGHT[:-1], "7: 6 1").fingerprint() != first
    assert Listed().root == Path("data/listed")
    assert Listed("some").with_absolute_paths() == Listed(str(Path("some").absolute()))
