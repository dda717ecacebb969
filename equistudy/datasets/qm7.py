"""QM7: small organic molecules with their atomisation energies."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.dataset import Split
from equistudy.datasets.molecules import Atoms, MoleculeDataset, split_atoms

__all__ = ["QM7"]

NUM_TEST = 1000
FILE, ARRAYS = "qm7.npz", ("n_atoms", "z", "pos", "energy")


@dataclass(frozen=True)
class QM7(MoleculeDataset):
    """7,101 molecules of up to 23 atoms of H, C, N, O and S; asked for is the atomisation energy in kcal/mol.

    `qm7.npz` holds `n_atoms` of each molecule, `z` and `pos` (angstrom) of all atoms one after the other, and `energy`,
    whose first column is taken. 1,000 molecules of a fixed order are for testing.

    Source: Rupp et al. 2012, arXiv:1109.2618; this file from the 7,101 that have D3 energies too.
    """

    usual_folder: ClassVar[str] = "qm7"
    elements: ClassVar[tuple[int, ...]] = (1, 6, 7, 8, 16)
    most_atoms: ClassVar[int] = 23
    target_unit: ClassVar[str] = "kcal/mol"
    target_mean: ClassVar[float] = -1536.3
    target_std: ClassVar[float] = 223.2

    def files(self) -> tuple[Path, ...]:
        """The one file."""
        path = self.root / FILE
        if not path.is_file():
            raise ValueError(
                f"QM7 needs {FILE}, got none in {self.root}. Put it there, or name a place: QM7(folder=...)."
            )
        return (path,)

    def read(self) -> dict[Split, Atoms]:
        """All molecules of both splits."""
        (path,) = self.files()
        try:
            with np.load(path) as found:
                arrays = {name: found[name] for name in ARRAYS if name in found}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"QM7 reads an npz file, got {path} with: {error}. Copy it again.") from error
        absent = [name for name in ARRAYS if name not in arrays]
        if absent:
            raise ValueError(
                f"{FILE} holds {', '.join(ARRAYS)}, got {path} without {', '.join(absent)}. Copy it again."
            )
        counts, charges = arrays["n_atoms"].astype(np.int64), arrays["z"].astype(np.int64)
        shapes = charges.shape + arrays["pos"].shape + arrays["energy"].shape[:1]
        if shapes != (total := int(counts.sum()), total, 3, len(counts)):
            raise ValueError(
                f"n_atoms of {len(counts)} molecules sum to {total} rows of z and pos, got z {charges.shape}, pos "
                f"{arrays['pos'].shape} and energy {arrays['energy'].shape} in {path}. Copy it again."
            )
        energies = arrays["energy"].reshape(len(counts), -1)[:, 0].astype(np.float64)
        atoms = self._check_atoms(Atoms(counts, charges, arrays["pos"].astype(np.float64), energies), path)
        return split_atoms(atoms, NUM_TEST)
