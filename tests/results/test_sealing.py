import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load, save

from equistudy.results.sealing import DamagedFileError, check_safetensors, seal, seal_safetensors, unseal

TENSORS = {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.tensor([7], dtype=torch.int64)}
WEIGHTS = seal_safetensors(save(TENSORS, metadata={"trial": "t_1", "spec": "größer"}))


@given(st.binary(), st.data())
def test_any_flipped_bit_is_damage(data: bytes, draw: st.DataObject) -> None:
    sealed = bytearray(seal("checkpoints/a", data))
    assert unseal("checkpoints/a", bytes(sealed)) == data
    sealed[draw.draw(st.integers(0, len(sealed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(DamagedFileError, match="got checkpoints/a: its checksum does not match"):
        unseal("checkpoints/a", bytes(sealed))


@pytest.mark.parametrize("name", ["checkpoints/b", "checkpoints/", ""])
def test_a_copy_under_another_name_is_damage(name: str) -> None:
    with pytest.raises(DamagedFileError, match="its checksum does not match"):
        unseal(name, seal("checkpoints/a", b"state"))


def test_sealed_weights_are_a_safetensors_file(tmp_path) -> None:
    loaded = load(WEIGHTS)
    assert loaded.keys() == TENSORS.keys()
    assert all(torch.equal(loaded[name], value) for name, value in TENSORS.items())
    path = tmp_path / "w.safetensors"
    path.write_bytes(WEIGHTS)
    with safe_open(path, framework="pt") as stored:
        assert stored.metadata().keys() == {"trial", "spec", "sha256"}
        assert stored.metadata()["spec"] == "größer"
    check_safetensors("weights/w", WEIGHTS, "t_1")


@settings(max_examples=300)
@given(st.integers(0, 8 * len(WEIGHTS) - 1))
def test_a_flipped_bit_in_weights_is_damage_or_changes_nothing(bit: int) -> None:
    damaged = bytearray(WEIGHTS)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        check_safetensors("weights/w", bytes(damaged), "t_1")
    except DamagedFileError as error:
        assert "got weights/w: " in str(error)  # noqa: PT017 -- or no error
    else:  # white space of the header
        assert all(torch.equal(load(bytes(damaged))[name], value) for name, value in TENSORS.items())


@pytest.mark.parametrize(
    "weights", [b"", b"garbage", WEIGHTS[:-1], WEIGHTS + b"x", save(TENSORS), b"\x02" + b"\0" * 7 + b"[]"]
)
def test_what_is_not_this_trials_weights_is_refused(weights: bytes) -> None:
    with pytest.raises(DamagedFileError, match="A stored file must be what equistudy wrote, got weights/w: it "):
        check_safetensors("weights/w", weights, "t_1")
    with pytest.raises(DamagedFileError, match="it holds the weights of t_1 and not of t_2"):
        check_safetensors("weights/w", WEIGHTS, "t_2")


def test_weights_without_a_checksum_are_those_of_older_versions() -> None:
    check_safetensors("weights/w", save(TENSORS, metadata={"trial": "t_1", "spec": json.dumps({})}), "t_1")
