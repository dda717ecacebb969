"""QM9: organic molecules of up to nine heavy atoms, with the energies of their frontier orbitals."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.array_files import read_npz, require_numbers
from equistudy.datasets.contents import read_text
from equistudy.datasets.data_folder import describe_fetch
from equistudy.datasets.dataset import Split
from equistudy.datasets.molecules import SYMBOLS, Atoms, MoleculeDataset, split_atoms
from equistudy.datasets.splits import is_hidden

__all__ = ["QM9", "Property"]

NUM_TEST = 10_831
ELECTRONVOLTS_PER_HARTREE = 27.211386
NPZ_NAMES = {Split.TRAIN: "train.npz", Split.TEST: "test.npz"}
CHARGE_BY_SYMBOL = {symbol: charge for charge, symbol in SYMBOLS.items()}


class Property(Enum):
    """The property of a molecule that is the target; the value is its name in the npz files."""

    HOMO = "homo"
    LUMO = "lumo"
    GAP = "gap"

    @property
    def column(self) -> int:
        """The column of the property in the second line of an xyz file."""
        return {"homo": 7, "lumo": 8, "gap": 9}[self.value]


@dataclass(frozen=True)
class QM9(MoleculeDataset):
    """133,885 molecules of up to 29 atoms of H, C, N, O and F; the target is `quantity`, in electronvolts.

    Reads the original files `dsgdb9nsd_*.xyz`, of which 10,831 in a fixed random order are for testing, or the files
    train.npz and test.npz with `num_atoms`, `charges`, `positions` and the quantities in hartree, one row per molecule,
    padded with zeros.

    Source: Ramakrishnan et al. 2014, Scientific Data 1:140022; the npz files are those of Anderson et al. 2019,
    arXiv:1906.04015 (Cormorant).
    """

    REVISION: ClassVar[int] = 2

    quantity: Property = Property.HOMO

    usual_folder: ClassVar[str] = "qm9"
    elements: ClassVar[tuple[int, ...]] = (1, 6, 7, 8, 9)
    most_atoms: ClassVar[int] = 29
    target_unit: ClassVar[str] = "eV"

    def files(self) -> tuple[Path, ...]:
        """The two npz files, or all xyz files in the order of their names. Raises ValueError if there are none."""
        both = tuple(self.root / name for name in NPZ_NAMES.values())
        if all(path.is_file() for path in both):
            return both
        found = _list_xyz(self.root, "*.xyz") or _list_xyz(self.root, "*/*.xyz")
        if not found:
            raise ValueError(
                f"QM9 needs dsgdb9nsd_*.xyz, or {' and '.join(NPZ_NAMES.values())}, "
                f"got none in {self.root}. Put them there, "
                f"or name another folder: QM9(folder=...). {describe_fetch(self.usual_folder, self.folder)}"
            )
        return found

    def read(self) -> dict[Split, Atoms]:
        """All molecules of both splits."""
        files = self.files()
        if files[0].suffix == ".npz":
            return {split: self._read_npz(path) for split, path in zip(NPZ_NAMES, files, strict=True)}
        molecules = [self._check_atoms(_read_xyz(path, self.quantity.column), path) for path in files]
        return split_atoms(Atoms(*map(np.concatenate, zip(*molecules, strict=True))), NUM_TEST)

    def _read_npz(self, path: Path) -> Atoms:
        names = ("num_atoms", "charges", "positions", self.quantity.value)
        found = read_npz(path, names, "QM9")
        charges = require_numbers(found["charges"], (None, None), "charges", path, whole=True)
        molecules, most = charges.shape
        counts = require_numbers(found["num_atoms"], (molecules,), "num_atoms", path, whole=True)
        positions = require_numbers(found["positions"], (molecules, most, 3), "positions", path)
        values = require_numbers(found[self.quantity.value], (molecules,), self.quantity.value, path)
        if not molecules or counts.max() > most:
            raise ValueError(
                f"Each molecule needs a row of charges as long as its atoms, got {molecules} molecules of up to "
                f"{max(counts, default=0)} atoms in rows of {most} in {path}. Copy it again."
            )
        there = np.arange(most) < counts[:, None]
        atoms = Atoms(counts, charges[there], positions[there].astype(np.float64), values * ELECTRONVOLTS_PER_HARTREE)
        return self._check_atoms(atoms, path)


def _list_xyz(root: Path, pattern: str) -> tuple[Path, ...]:
    """The matching files that are not hidden, also inside a folder such as dsgdb9nsd.xyz."""
    found = (path for path in root.glob(pattern) if not any(map(is_hidden, path.relative_to(root).parts)))
    return tuple(sorted(path for path in found if path.is_file()))


def _read_xyz(path: Path, column: int) -> Atoms:
    """One molecule: the number of atoms, a line of properties, and per atom its symbol, x, y, z and charge."""
    lines = read_text(path).splitlines()
    try:
        count = int(lines[0])
        rows = [line.replace("*^", "e").split() for line in lines[2 : 2 + count]]
        if len(rows) < count:
            raise ValueError(f"{len(rows)} atoms instead of {count}")
        charges = np.array([CHARGE_BY_SYMBOL.get(row[0], 0) for row in rows], dtype=np.int64)
        positions = np.array([[float(number) for number in row[1:4]] for row in rows]).reshape(count, 3)
        value = float(lines[1].split()[column].replace("*^", "e")) * ELECTRONVOLTS_PER_HARTREE
    except (ValueError, IndexError) as error:
        raise ValueError(f"QM9 needs xyz files with properties, got {path}: {error}. Copy it again.") from error
    return Atoms(np.array([count]), charges, positions, np.array([value]))
