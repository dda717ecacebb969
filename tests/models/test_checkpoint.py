"""Weights from files: what fits, what does not, and what is never run."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from equistudy.models.checkpoint import Checkpoint, has_average, read_weights
from equistudy.models.resnet import ResNet
from equistudy.spec import to_canonical_json

MODEL, SHAPE = ResNet(8, 2), (3, 16, 16)


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(3)
    network = MODEL.build(SHAPE, 7)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_()
    return network.eval()


def write(path: Path, weights: object) -> Checkpoint:
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    return Checkpoint(MODEL, str(path))


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_the_network_is_the_stored_one_with_its_own_number_of_outputs(name, prefix, network, tmp_path) -> None:
    weights = {f"{prefix}{key}": value for key, value in network.state_dict().items()}
    built = write(tmp_path / name, weights).build(SHAPE, 1000).eval()
    images = torch.randn(2, *SHAPE)
    assert torch.equal(built(images), network(images))


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_training_script_s_checkpoint(key, network, tmp_path) -> None:
    weights = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    model = write(tmp_path / "a.pth", {"epoch": 3, key: weights, "optimizer": {"state": {}}})
    images = torch.randn(2, *SHAPE)
    assert torch.equal(model.build(SHAPE, 7).eval()(images), network(images))


def test_keys_that_do_not_fit_are_named(network, tmp_path) -> None:
    weights = network.state_dict()
    del weights["stem.0.weight"]
    weights["extra.bias"] = torch.zeros(2)
    weights["stage2.0.first.weight"] = torch.zeros(9, 2, 3, 3)
    wrong = "1 missing (stem.0.weight), 1 unexpected (extra.bias), 1 misshaped (stage2.0.first.weight [9, 2, 3, 3] for"
    with pytest.raises(ValueError, match=re.escape(wrong)) as raised:
        write(tmp_path / "a.pt", weights).build(SHAPE, 7)
    assert str(raised.value).endswith("Name the architecture of these weights.")
    with pytest.raises(
        ValueError, match=r"ResNet\(depth=14, width=2\), with \d+ missing \(stage1\.1\.first\.weight, .*\.\.\.\)"
    ):
        Checkpoint(ResNet(14, 2), write(tmp_path / "b.pt", network.state_dict()).file).build(SHAPE, 7)


class Bomb:
    def __reduce__(self):
        return (Path("run").touch, ())


def test_a_file_runs_no_code_and_says_what_is_wrong(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    (tmp_path / "text.pt").write_text("weights")
    for name, message in (
        ("bomb.pt", "must hold only tensors and plain data, got bomb.pt with"),
        ("text.pt", "must hold only tensors and plain data, got text.pt with"),
        ("cut.safetensors", "Cannot read safetensors file cut.safetensors: "),
    ):
        with pytest.raises(ValueError, match=message):
            Checkpoint(MODEL, name).validate()
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=r"must hold a state dict, got a dict with epoch, loss in a\.pt"):
        write(Path("a.pt"), {"epoch": 1, "loss": 2.0}).validate()
    with pytest.raises(ValueError, match=r"needs an existing file of weights, got file='gone\.pt'"):
        Checkpoint(MODEL, "gone.pt").validate()


def test_the_identity_is_the_file_s_content(network, tmp_path, monkeypatch) -> None:
    one = write(tmp_path / "a.safetensors", network.state_dict())
    two = write(tmp_path / "b.safetensors", network.state_dict())
    assert to_canonical_json(one) == to_canonical_json(two)
    assert one.fingerprint() == two.fingerprint()
    other = {name: value + 1 for name, value in network.state_dict().items()}
    assert write(tmp_path / "c.safetensors", other).fingerprint() != one.fingerprint()
    assert (one.obstacle(), Checkpoint(MODEL, "gone.pt").obstacle()) == (None, "no weights")
    monkeypatch.chdir(tmp_path)
    assert Checkpoint(MODEL, "a.safetensors").with_absolute_paths() == one
    assert one.untrained == MODEL


def test_the_moving_average_beside_the_last_weights(tmp_path) -> None:
    last, average = (torch.nn.Linear(2, 3).state_dict() for _ in range(2))
    for number, key in enumerate(("state_dict_ema", "model_ema", "ema_state_dict", "ema")):
        wrapped = {f"module.{name}": value for name, value in average.items()}
        torch.save({"state_dict": last, key: wrapped if number % 2 else {"state_dict": wrapped}}, tmp_path / "a.th")
        assert has_average(tmp_path / "a.th")
        assert torch.equal(read_weights(tmp_path / "a.th")["weight"], last["weight"])
        assert torch.equal(read_weights(tmp_path / "a.th", ema=True)["weight"], average["weight"])
    torch.save(last, tmp_path / "b.th")
    assert not has_average(tmp_path / "b.th")
    with pytest.raises(ValueError, match=r"needs one of the keys .* got none in .*b\.th\. Use ema"):
        read_weights(tmp_path / "b.th", ema=True)
    save_file(last, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"has no moving average, got ema=True for .*c\.safetensors"):
        read_weights(tmp_path / "c.safetensors", ema=True)
