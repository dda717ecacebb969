"""Molecules read from files: atoms with charges and positions, and one number per molecule."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int64

from equistudy.datasets.arrays import stratified_order
from equistudy.datasets.data_folder import get_data_folder
from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target
from equistudy.spec import location_field

__all__ = ["SYMBOLS", "Atoms", "MoleculeDataset"]

SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 16: "S"}

Self = TypeVar("Self", bound="MoleculeDataset")


class Atoms(NamedTuple):
    """Concatenated molecules: the number of atoms of each, and the charge and position of every atom."""

    counts: Int64[np.ndarray, " M"]
    charges: Int64[np.ndarray, " A"]
    positions: Float64[np.ndarray, "A 3"]
    values: Float64[np.ndarray, " M"]


@dataclass(frozen=True)
class MoleculeDataset(Dataset):
    """Base of the datasets of molecules, read from `folder`; only the command `fetch` downloads.

    A molecule is a set of points with x, y and z in angstrom relative to the mean of its atoms, followed by the one-hot
    encoded element. A smaller training set is the start of a larger one.
    """

    folder: str | None = location_field(None)
    train_size: int | None = None
    test_size: int | None = None

    usual_folder: ClassVar[str]
    elements: ClassVar[tuple[int, ...]]
    most_atoms: ClassVar[int]
    modality: ClassVar[Modality] = Modality.POINTS
    target: ClassVar[Target] = Target.NUMBERS
    space: ClassVar[int] = 3
    vectors: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("train_size", "test_size"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1 molecule, got {name}={size}. Use None for all.")

    @property
    def root(self) -> Path:
        """The folder that is searched for the files."""
        return Path(self.folder) if self.folder is not None else get_data_folder() / self.usual_folder

    def with_absolute_paths(self: Self) -> Self:
        """The same dataset with an absolute folder."""
        return dataclasses.replace(self, folder=str(self.root.absolute()))

    @property
    def input_shape(self) -> tuple[int, int]:
        """(most atoms, 3 + number of elements)."""
        return self.most_atoms, 3 + len(self.elements)

    def files(self) -> tuple[Path, ...]:
        """The files that hold the data. Raises ValueError if there are none."""
        raise NotImplementedError

    def read(self) -> dict[Split, Atoms]:
        """All molecules of both splits."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256 over the molecules."""
        return _compute_fingerprint(self, self._file_stamp())

    @property
    def target_mean(self) -> float:  # type: ignore[override]
        """The mean target over the training split."""
        return self._compute_target_statistics()[0]

    @property
    def target_std(self) -> float:  # type: ignore[override]
        """The standard deviation over the training split. Raises ValueError if all values are equal."""
        mean, std = self._compute_target_statistics()
        if not std > 0:
            raise ValueError(
                f"Training targets must differ, got {mean:g} for every molecule of the training split in "
                f"{self.root}. Use more molecules, or give the task a scale."
            )
        return std

    def load(self, split: Split) -> Examples:
        """The molecules as points."""
        import torch

        found = _read_atoms(self, self._file_stamp())
        values = {each: self._select_values(found, each) for each in (Split.TRAIN, split)}
        _cached_target_statistics[self] = float(values[Split.TRAIN].mean()), float(values[Split.TRAIN].std())
        points = self._encode_points(found[split])[: len(values[split])]
        return Examples(torch.from_numpy(points), torch.from_numpy(values[split][:, None]).float())

    def _select_values(self, found: Mapping[Split, Atoms], split: Split) -> Float64[np.ndarray, " m"]:
        """The targets of the molecules in use."""
        values = found[split].values
        size = self.train_size if split is Split.TRAIN else self.test_size
        if size is not None and size > len(values):
            raise ValueError(
                f"{split.value}_size must be at most the number of molecules, got {split.value}_size={size} for "
                f"{len(values)} in {self.root}. Use None for all."
            )
        return values[:size]

    def _compute_target_statistics(self) -> tuple[float, float]:
        """Mean and standard deviation, cached because every step needs them and the files are many."""
        if self not in _cached_target_statistics:
            self.load(Split.TRAIN)
        return _cached_target_statistics[self]

    def _encode_points(self, atoms: Atoms) -> Float32[np.ndarray, "M {self.most_atoms} D"]:
        molecule = np.repeat(np.arange(len(atoms.counts)), atoms.counts)
        place = np.arange(len(molecule)) - np.repeat(np.cumsum(atoms.counts) - atoms.counts, atoms.counts)
        sums = np.zeros((len(atoms.counts), 3))
        np.add.at(sums, molecule, atoms.positions)
        points = np.zeros((len(atoms.counts), *self.input_shape), dtype=np.float32)
        points[molecule, place, :3] = atoms.positions - (sums / atoms.counts[:, None])[molecule]
        points[molecule, place, 3 + np.searchsorted(self.elements, atoms.charges)] = 1
        return points

    def _file_stamp(self) -> tuple[tuple[str, int, int], ...]:
        stats = ((str(path.absolute()), path.stat()) for path in self.files())
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def _check_atoms(self, atoms: Atoms, place: Path) -> Atoms:
        """The atoms, checked: every molecule has some, all of known elements at finite positions."""
        empty, unknown = atoms.counts < 1, ~np.isin(atoms.charges, self.elements)
        if empty.any():
            raise ValueError(
                f"A molecule needs at least one atom, got {atoms.counts[empty.argmax()]} in molecule "
                f"{empty.argmax()} of {place}. Remove it."
            )
        if unknown.any():
            known = ", ".join(f"{SYMBOLS[charge]} ({charge})" for charge in self.elements)
            first = int(np.searchsorted(np.cumsum(atoms.counts), unknown.argmax(), side="right"))
            raise ValueError(
                f"{type(self).__name__} supports the elements {known}, got charge {atoms.charges[unknown.argmax()]} in "
                f"molecule {first} of {place}. Remove it, or check that the file belongs to this dataset."
            )
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.values).all()):
            raise ValueError(f"Positions and values must be finite, got infinity or NaN in {place}. Copy it again.")
        if atoms.counts.max() > self.most_atoms:
            raise ValueError(
                f"{type(self).__name__} allows up to {self.most_atoms} atoms per molecule, got {atoms.counts.max()} in "
                f"{place}. Check that the file belongs to this dataset."
            )
        return atoms


_cached_target_statistics: dict[MoleculeDataset, tuple[float, float]] = {}


def split_atoms(atoms: Atoms, num_test: int) -> dict[Split, Atoms]:
    """The last `num_test` molecules of a fixed random order for testing, the others for training."""
    order = np.array(stratified_order([0] * len(atoms.counts)))
    ends = np.cumsum(atoms.counts)

    def part(chosen: Int64[np.ndarray, " m"]) -> Atoms:
        rows = np.concatenate([np.arange(ends[index] - atoms.counts[index], ends[index]) for index in chosen])
        return Atoms(atoms.counts[chosen], atoms.charges[rows], atoms.positions[rows], atoms.values[chosen])

    kept = max(1, len(order) - num_test)
    return {Split.TRAIN: part(order[:kept]), Split.TEST: part(order[kept:] if kept < len(order) else order)}


@lru_cache(maxsize=8)
def _read_atoms(dataset: MoleculeDataset, stamp: tuple[tuple[str, int, int], ...]) -> dict[Split, Atoms]:
    return dataset.read()


@lru_cache(maxsize=64)
def _compute_fingerprint(dataset: MoleculeDataset, stamp: tuple[tuple[str, int, int], ...]) -> str:
    hashed = hashlib.sha256()
    for split, atoms in sorted(_read_atoms(dataset, stamp).items(), key=lambda item: item[0].value):
        hashed.update(f"{split.value}/{len(atoms.counts)}/".encode())
        for values in atoms:
            hashed.update(np.ascontiguousarray(values).data)
    return hashed.hexdigest()
