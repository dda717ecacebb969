from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.qm7 import FILE, QM7

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "qm7"


def write(folder: Path, **changes: np.ndarray) -> Path:
    """Three molecules: water, methane and hydrogen sulphide, with made-up places."""
    counts = np.array([3, 5, 3], dtype=np.int16)
    charges = np.array([8, 1, 1, 6, 1, 1, 1, 1, 16, 1, 1], dtype=np.uint8)
    places = np.arange(33, dtype=np.float64).reshape(11, 3) ** 1.5
    energies = np.array([[-219.0, 0.0], [-417.0, 0.0], [-173.0, 0.0]])
    arrays = {"n_atoms": counts, "z": charges, "pos": places, "energy": energies, **changes}
    np.savez(folder / FILE, **{name: value for name, value in arrays.items() if value is not None})
    return folder


def test_molecules_become_points_about_their_middle(tmp_path: Path) -> None:
    dataset = QM7(str(write(tmp_path)))
    train, test = (dataset.load(split) for split in Split)
    assert (len(train.inputs), len(test.inputs)) == (1, 2)  # one is for training, however few there are
    points, energies = torch.cat([train.inputs, test.inputs]), torch.cat([train.targets, test.targets])
    assert points.shape == (3, 23, 8) == (3, *dataset.input_shape)
    rows = {float(energy): cloud for energy, cloud in zip(energies[:, 0], points, strict=True)}
    water = rows[-219.0]
    assert water[:4, 3:].tolist() == [[0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert not water[3:].any()
    torch.testing.assert_close(water[:3, :3].mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    places = torch.arange(9.0).reshape(3, 3) ** 1.5
    torch.testing.assert_close(torch.pdist(water[:3, :3]), torch.pdist(places))
    assert rows[-173.0][0, 3:].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_atoms": np.array([3, 0, 8])}, r"at least one atom, got 0 in molecule 1 of .*qm7\.npz\. Remove it"),
        (
            {"z": np.array([8, 1, 1, 6, 1, 1, 9, 1, 16, 1, 1])},
            r"QM7 supports the elements H \(1\), C \(6\), N \(7\), O \(8\), S \(16\), got charge 9 in molecule 1",
        ),
        ({"pos": np.full((11, 3), np.nan)}, r"The array pos must be finite, got infinity or NaN in .*qm7\.npz"),
        ({"n_atoms": np.array([3, 5, 4])}, r"z and pos need 12 rows, the sum of n_atoms, and energy 3, got z \(11,\)"),
        ({"energy": None}, r"must hold n_atoms, z, pos, energy, got .* without energy\. Copy it again"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QM7(str(write(tmp_path, **changes))).load(Split.TRAIN)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"QM7 needs qm7\.npz, got none in .*QM7\(folder=\.\.\.\)"):
        QM7(str(tmp_path)).fingerprint()
    (tmp_path / FILE).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"QM7 needs an npz file, got .*qm7\.npz, which cannot be read: "):
        QM7(str(tmp_path)).load(Split.TRAIN)
    with pytest.raises(ValueError, match=r"train_size must be at least 1 molecule, got train_size=0"):
        QM7(train_size=0)
    with pytest.raises(ValueError, match=r"test_size must be at most .* got test_size=4 for 2"):
        QM7(str(write(tmp_path)), test_size=4).load(Split.TEST)


def test_the_fingerprint_is_of_the_molecules(tmp_path: Path) -> None:
    before = QM7(str(write(tmp_path))).fingerprint()
    assert QM7(str(write(tmp_path, energy=np.zeros((3, 2))))).fingerprint() != before
    assert QM7(str(tmp_path)).with_absolute_paths() == QM7(str(tmp_path))


@pytest.mark.skipif(not REAL.is_dir(), reason="the original file is not beside the checkout")
def test_the_original_file() -> None:
    dataset = QM7(str(REAL))
    train, test = (dataset.load(split) for split in Split)
    assert (len(train.inputs), len(test.inputs)) == (6101, 1000)
    assert QM7(str(REAL), train_size=100).load(Split.TRAIN).targets.equal(train.targets[:100])
    assert float(train.targets.mean()) == pytest.approx(dataset.target_mean, abs=1)
    assert float(train.targets.std()) == pytest.approx(dataset.target_std, abs=1)
    distances = torch.cdist(train.inputs[:50, :, :3], train.inputs[:50, :, :3])
    there = train.inputs[:50, :, 3:].any(-1)
    both = there[:, :, None] & there[:, None] & ~torch.eye(23, dtype=torch.bool)
    assert 0.6 < float(distances[both].min()) < 1.2  # angstrom: no two atoms are nearer than a bond
