"""Where weights are found, in which order, and which bytes they are."""

import hashlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from equistudy.models.timm_model import TimmModel
from equistudy.models.weights import (
    compute_file_digest,
    describe_search,
    find_weights,
    get_weights_folder,
)
from equistudy.networks.import_timm import import_timm

NAME = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def _nothing_searched(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_folder_comes_before_the_cache(tmp_path, monkeypatch):
    assert find_weights(NAME) is None
    cached = tmp_path / "hub" / f"models--timm--{NAME}" / "snapshots" / ("0" * 40) / "model.safetensors"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cached")
    refs = tmp_path / "hub" / f"models--timm--{NAME}" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    assert find_weights(NAME) == cached
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    assert get_weights_folder() == tmp_path
    assert find_weights(NAME) == cached
    for suffix in (".bin", ".pth", ".safetensors"):
        (tmp_path / f"{NAME}{suffix}").write_bytes(b"local")
        assert find_weights(NAME) == tmp_path / f"{NAME}{suffix}"


def test_a_folder_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match=r"\$EQUISTUDY_WEIGHTS must name a folder.*got .*gone\. Correct"):
        get_weights_folder()


def test_the_way_names_every_place(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    told = describe_search(NAME)
    assert f"no {NAME}{{.safetensors,.pth,.bin}} in {tmp_path}" in told
    assert f"none of timm/{NAME} in {tmp_path / 'hub'}. Fetch them once with `python -m equistudy fetch {NAME}`" in told


def test_digests_follow_the_bytes(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"one")
    assert compute_file_digest(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert compute_file_digest(path) == hashlib.sha256(b"three").hexdigest()
    blob = tmp_path / ("ab" * 32)
    blob.write_bytes(b"whatever")
    path.unlink()
    path.symlink_to(blob)
    assert compute_file_digest(path) == "ab" * 32


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_every_format_gives_the_network(tmp_path, suffix, wrapped, monkeypatch):
    state = import_timm().create_model(NAME, pretrained=False).state_dict()
    if suffix == ".safetensors":
        save_file(state, tmp_path / f"{NAME}{suffix}")
    else:
        torch.save({"state_dict": state} if wrapped else state, tmp_path / f"{NAME}{suffix}")
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    network = TimmModel(NAME, pretrained=True).build((3, 32, 32), 1000).state_dict()
    assert all(torch.equal(network[name], value) for name, value in state.items())


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("code of a checkpoint ran",)


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    torch.save({"state_dict": Harmful()}, tmp_path / f"{NAME}.pth")
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="weights must fit the network"):
        TimmModel(NAME, pretrained=True).build((3, 32, 32), 1000)


def test_looking_for_weights_imports_no_torch():
    code = "import sys; from equistudy.models.timm_model import TimmModel; TimmModel('a.b', True).fingerprint()"
    command = [sys.executable, "-c", f"{code}; print({{'torch', 'timm'}} & sys.modules.keys())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
