from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.qm9 import ELECTRONVOLTS_PER_HARTREE, QM9, Property

METHANE = """5
gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t-40.47893
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 0.002150416\t-0.0060313176\t 0.0019761204\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.*^-6\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284
C\tC
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""


def test_original_files_of_text(tmp_path: Path) -> None:
    """Exponents are written as *^ in them."""
    (tmp_path / "dsgdb9nsd_000001.xyz").write_text(METHANE)
    for quantity, hartree in ((Property.HOMO, -0.3877), (Property.LUMO, 0.1171), (Property.GAP, 0.5048)):
        points, energies = QM9(str(tmp_path), quantity=quantity).load(Split.TEST)
        assert float(energies) == pytest.approx(hartree * ELECTRONVOLTS_PER_HARTREE)
    assert points.shape == (1, 29, 8)
    assert points[0, :5, 3:].argmax(1).tolist() == [1, 0, 0, 0, 0]
    bonds = (points[0, 1:5, :3] - points[0, 0, :3]).norm(dim=1)
    torch.testing.assert_close(bonds, torch.full((4,), 1.092), atol=2e-3, rtol=0)


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    charges = np.zeros((2, 6), dtype=np.int64)
    charges[0, :3], charges[1, :2] = (8, 1, 1), (9, 1)
    places = np.arange(36, dtype=np.float64).reshape(2, 6, 3)
    values = {"num_atoms": np.array([3, 2]), "charges": charges, "positions": places, "homo": np.array([-0.3, -0.2])}
    return values | changes


def test_arrays_filled_up_with_zeros(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", **arrays())
    np.savez(tmp_path / "test.npz", **arrays(homo=np.array([-0.1, -0.4])))
    points, energies = QM9(str(tmp_path)).load(Split.TEST)
    torch.testing.assert_close(energies[:, 0], torch.tensor([-0.1, -0.4]) * ELECTRONVOLTS_PER_HARTREE)
    assert points[1, :3, 3:].tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert len(QM9(str(tmp_path), train_size=1).load(Split.TRAIN).inputs) == 1
    # the scale of what is asked for is that of the training split
    assert QM9(str(tmp_path)).target_mean == pytest.approx(-0.25 * ELECTRONVOLTS_PER_HARTREE)
    assert QM9(str(tmp_path)).target_std == pytest.approx(0.05 * ELECTRONVOLTS_PER_HARTREE)


def test_files_that_are_none_of_these(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"QM9 needs dsgdb9nsd_\*\.xyz, or train\.npz and test\.npz, got none in"):
        QM9(str(tmp_path)).fingerprint()
    path = tmp_path / "dsgdb9nsd_000001.xyz"
    path.write_text(METHANE.replace("5\n", "9\n", 1))
    with pytest.raises(ValueError, match=r"QM9 needs xyz files with properties, got .*000001\.xyz: "):
        QM9(str(tmp_path)).load(Split.TEST)
    path.write_text(METHANE.replace("C\t-0.01", "Si\t-0.01"))
    with pytest.raises(ValueError, match=r"QM9 supports the elements .* got charge 0 in molecule 0"):
        QM9(str(tmp_path)).load(Split.TEST)
    path.write_text("0\n" + METHANE.splitlines()[1] + "\n")
    with pytest.raises(ValueError, match=r"A molecule needs at least one atom, got 0 in molecule 0"):
        QM9(str(tmp_path)).load(Split.TEST)
    for name in ("train.npz", "test.npz"):
        np.savez(tmp_path / name, **arrays())
    with pytest.raises(
        ValueError, match=r"train\.npz must hold num_atoms, charges, positions, lumo, got .*without lumo"
    ):
        QM9(str(tmp_path), quantity=Property.LUMO).load(Split.TRAIN)
