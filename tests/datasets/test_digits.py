"""The embedded digits: the same bytes as scikit-learn's, enlarged exactly, split once and for all."""

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import interpolate

from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits


def test_split_is_stratified_and_complete():
    train, test = Digits().load(Split.TRAIN), Digits().load(Split.TEST)
    assert train.inputs.shape == (1200, 1, 28, 28)
    assert test.inputs.shape == (597, 1, 28, 28)
    counts = train.targets.bincount() + test.targets.bincount()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert torch.all((train.targets.bincount() - counts * 1200 / 1797).abs() <= 1)


def test_no_image_is_in_both_splits():
    sklearn = pytest.importorskip("sklearn.datasets")
    original = torch.from_numpy(sklearn.load_digits().images).reshape(1797, -1)
    unenlarged = Digits(canvas=8, digit=8)
    both = torch.cat([unenlarged.load(split).inputs for split in Split]).reshape(1797, -1)
    expected = torch.floor(original * 255 / 16 + 0.5).to(torch.uint8)
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, expected.tolist()))


@pytest.mark.parametrize(("canvas", "digit"), [(28, 12), (9, 9), (32, 16), (21, 15)])
def test_enlargement_equals_bilinear_interpolation(canvas, digit):
    small = Digits(canvas=8, digit=8).load(Split.TEST).inputs
    large = Digits(canvas=canvas, digit=digit).load(Split.TEST).inputs
    margin = (canvas - digit) // 2
    inside = large[:, :, margin : canvas - margin, margin : canvas - margin]
    reference = interpolate(small.double(), size=digit, mode="bilinear", align_corners=False)
    # the small images are themselves rounded, so that values may differ by their half and the result's half
    assert (inside.double() - reference).abs().max() <= 1.0
    assert large.sum() == inside.sum()


def test_mean_and_std_are_those_of_the_training_split():
    pixels = Digits().load(Split.TRAIN).inputs.double() / 255
    assert pixels.mean().item() == pytest.approx(Digits.mean[0], abs=1e-5)
    assert pixels.std(correction=0).item() == pytest.approx(Digits.std[0], abs=1e-5)


def test_fingerprint_is_read_without_torch_or_sklearn():
    code = (
        "import sys; from equistudy.datasets.digits import Digits; print(Digits().fingerprint());"
        "assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


def test_bad_geometry():
    with pytest.raises(ValueError, match=r"digit must be at least 8, the original size, got digit=7"):
        Digits(digit=7)
    with pytest.raises(ValueError, match=r"equal margins on both sides.*canvas=27, digit=12.*for example canvas=28"):
        Digits(canvas=27)
    with pytest.raises(ValueError, match="equal margins"):
        Digits(canvas=10, digit=12)
    with pytest.raises(ValueError, match=r"Digits.train_size.*got train_size=1201\. Use 10 to 1200, or None"):
        Digits(train_size=1201)


def test_damaged_table(tmp_path, monkeypatch):
    damaged = tmp_path / "digits.csv.gz"
    damaged.write_bytes(b"not gzip")
    monkeypatch.setattr(Digits, "files", lambda self: (damaged,))
    with pytest.raises(ValueError, match=r"gzipped table of 65 integers.*digits\.csv\.gz.*Reinstall scikit-learn"):
        Digits().load(Split.TRAIN)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"which is not installed\. Run: pip install scikit-learn"):
        Digits().fingerprint()
