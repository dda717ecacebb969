"""QM7: small organic molecules with their atomisation energies."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.array_files import read_npz, require_numbers
from equistudy.datasets.dataset import Split
from equistudy.datasets.molecules import Atoms, MoleculeDataset, split_atoms

__all__ = ["QM7"]

NUM_TEST = 1000
FILE, ARRAYS = "qm7.npz", ("n_atoms", "z", "pos", "energy")


@dataclass(frozen=True)
class QM7(MoleculeDataset):
    """7,101 molecules of up to 23 atoms of H, C, N, O and S; the target is the atomisation energy in kcal/mol.

    Reads `qm7.npz` with `n_atoms` of each molecule, `z` and `pos` (angstrom) of all atoms concatenated, and `energy`,
    whose first column is the target. The last 1,000 molecules of a fixed random order are for testing.

    Source: Rupp et al. 2012, arXiv:1109.2618, restricted to the 7,101 molecules for which this file has D3 energies.
    """

    usual_folder: ClassVar[str] = "qm7"
    elements: ClassVar[tuple[int, ...]] = (1, 6, 7, 8, 16)
    most_atoms: ClassVar[int] = 23
    target_unit: ClassVar[str] = "kcal/mol"
    target_mean: ClassVar[float] = -1536.3
    target_std: ClassVar[float] = 223.2

    def files(self) -> tuple[Path, ...]:
        """The file `qm7.npz`. Raises ValueError if it is missing."""
        path = self.root / FILE
        if not path.is_file():
            raise ValueError(
                f"QM7 needs {FILE}, got none in {self.root}. Put it there, or name another folder: QM7(folder=...)."
            )
        return (path,)

    def read(self) -> dict[Split, Atoms]:
        """All molecules of both splits."""
        (path,) = self.files()
        arrays = read_npz(path, ARRAYS, "QM7")
        counts = require_numbers(arrays["n_atoms"], (None,), "n_atoms", path, whole=True)
        charges = require_numbers(arrays["z"], (None,), "z", path, whole=True)
        require_numbers(arrays["pos"], (None, 3), "pos", path)
        require_numbers(arrays["energy"].reshape(len(arrays["energy"]), -1), (None, None), "energy", path)
        shapes = charges.shape + arrays["pos"].shape + arrays["energy"].shape[:1]
        if shapes != (total := int(counts.sum()), total, 3, len(counts)):
            raise ValueError(
                f"z and pos need {total} rows, the sum of n_atoms, and energy {len(counts)}, got z {charges.shape}, "
                f"pos {arrays['pos'].shape} and energy {arrays['energy'].shape} in {path}. Copy it again."
            )
        energies = arrays["energy"].reshape(len(counts), -1)[:, 0].astype(np.float64)
        atoms = self._check_atoms(Atoms(counts, charges, arrays["pos"].astype(np.float64), energies), path)
        return split_atoms(atoms, NUM_TEST)
