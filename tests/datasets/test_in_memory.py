"""How images in memory reach another process."""

import dataclasses
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets.adapters import Arrays
from equistudy.datasets.dataset import Split

X, Y = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 10), dtype=np.uint8), np.arange(12) % 3


def test_another_process_reads_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for dataset in (Arrays(X, Y, X[:3] ^ 1, Y[:3]), Arrays(X)):
        sent = dataset.with_absolute_paths()
        assert sent == dataset
        assert sent.with_absolute_paths() is sent
        data = pickle.dumps(sent)
        assert len(data) < 1000 < X.nbytes
        there = pickle.loads(data)
        assert there.fingerprint() == dataset.fingerprint()
        assert all(torch.equal(a, b) for a, b in zip(there.load(Split.TEST), dataset.load(Split.TEST), strict=True))
    (tmp_path / f"equistudy-{os.getuid()}" / f"{dataset.fingerprint()}.npz").unlink()
    with pytest.raises(ValueError, match=r"in a file on the same machine, got no .*gone\.npz\. Run on the machine"):
        dataclasses.replace(sent, file=str(tmp_path / "gone.npz"))
