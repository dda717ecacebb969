"""Networks of a user's own file."""

from pathlib import Path

import pytest
import torch

from equistudy.models.custom import Custom
from equistudy.spec import format_label, to_canonical_json

NETS = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(4, 4, 3)

    def forward(self, images):
        return self.inner(images)

def small():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Block(), nn.ReLU()))
    return nn.Sequential(body, nn.Flatten())

def number():
    return 3

def broken():
    raise KeyError("layers")
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(NETS)
    return str(tmp_path / "nets.py")


def test_containers_are_opened_and_blocks_are_not(nets: str) -> None:
    model = Custom("small", nets)
    network = model.build((3, 8, 8), 10)
    paths = ["0.0", "0.1.0", "0.1.1", "1"]
    assert model.stages(network) == {**{path: path for path in paths}, "output": ""}
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 64)


def test_stages_by_name(nets: str) -> None:
    model = Custom("small", nets, paths=("0.1", "0.1.0.inner"))
    assert list(model.stages(model.build((3, 8, 8), 10))) == ["0.1", "0.1.0.inner", "output"]
    with pytest.raises(ValueError, match=r"Stages are submodules of the network, got 0\.7\. There are: 0, 0\.0, 0\.1"):
        Custom("small", nets, paths=("0.7",)).stages(model.build((3, 8, 8), 10))


def test_the_identity_is_the_file_s_content(nets: str, tmp_path: Path) -> None:
    model = Custom("small", nets)
    copy = tmp_path / "copy.py"
    copy.write_text(NETS)
    assert format_label(model) == "Custom(function=small)"
    assert to_canonical_json(Custom("small", str(copy))) == to_canonical_json(model)
    assert Custom("small", str(copy)).fingerprint() == model.fingerprint()
    copy.write_text(NETS.replace("nn.ReLU()", "nn.GELU()"))
    changed = Custom("small", str(copy))
    assert changed.fingerprint() != model.fingerprint()
    assert "GELU" in str(changed.build((3, 8, 8), 10))
    assert "ReLU" in str(model.build((3, 8, 8), 10))


def test_what_makes_no_network(nets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"nets\.py must have the function .* got 'smal'\. It has: Block, small, number"
    ):
        Custom("smal", nets).validate()
    with pytest.raises(TypeError, match=r"number\(\) in .* must return a torch\.nn\.Module, got int"):
        Custom("number", nets).build((3, 8, 8), 10)
    with pytest.raises(
        ValueError, match=r"broken\(\) in .* makes the network without arguments, got KeyError: 'layers'"
    ):
        Custom("broken", nets).build((3, 8, 8), 10)
    assert Custom("small", "gone.py").obstacle() == "no file"
    with pytest.raises(ValueError, match=r"needs the Python file that makes it, got gone\.py"):
        Custom("small", "gone.py").validate()
    (tmp_path / "bad.py").write_text("x = (")
    with pytest.raises(ValueError, match=r"bad\.py must be Python that runs, got SyntaxError: .*never closed"):
        Custom("small", str(tmp_path / "bad.py")).validate()
    monkeypatch.chdir(tmp_path)
    assert Custom("small", "nets.py").with_absolute_paths() == Custom("small", nets)
