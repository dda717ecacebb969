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
    with pytest.raises(
        ValueError, match=r"paths must name submodules of the network, got 0\.7\. Submodules: 0, 0\.0, 0\.1"
    ):
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
        ValueError, match=r"nets\.py must define the function .* got 'smal'\. Its functions: Block, small, number"
    ):
        Custom("smal", nets).validate()
    with pytest.raises(TypeError, match=r"number\(\) in .* must return a torch\.nn\.Module, got int"):
        Custom("number", nets).build((3, 8, 8), 10)
    with pytest.raises(
        ValueError,
        match=r"broken\(\) in .* must build the network when called without arguments, but it raised KeyError",
    ):
        Custom("broken", nets).build((3, 8, 8), 10)
    assert Custom("small", "gone.py").obstacle() == "no file"
    with pytest.raises(ValueError, match=r"needs an existing Python file, got file='gone\.py'"):
        Custom("small", "gone.py").validate()
    (tmp_path / "bad.py").write_text("x = (")
    with pytest.raises(ValueError, match=r"bad\.py must be importable Python, got SyntaxError: .*never closed"):
        Custom("small", str(tmp_path / "bad.py")).validate()
    monkeypatch.chdir(tmp_path)
    assert Custom("small", "nets.py").with_absolute_paths() == Custom("small", nets)


HELPED = """
from torch import nn
from helper_of_nets import WIDTH  # how wide

def build():
    from late_helper_of_nets import DEPTH
    return nn.Sequential(*[nn.Conv2d(3, WIDTH, 1), nn.ReLU()][:DEPTH])
"""


def test_modules_beside_the_file_are_part_of_it(tmp_path: Path) -> None:
    file, helper, late = (tmp_path / f"{name}.py" for name in ("nets", "helper_of_nets", "late_helper_of_nets"))
    file.write_text(HELPED)
    helper.write_text("WIDTH = 4\n")
    late.write_text("DEPTH = 1\n")
    model, found = Custom("build", str(file)), []
    for path, text in ((None, ""), (helper, "WIDTH = 64\n"), (late, "DEPTH = 2  # with its ReLU\n")):
        if path is not None:
            path.write_text(text)
        network = model.build((3, 8, 8), 10)
        found.append((model.fingerprint(), network[0].out_channels, len(network)))
    assert [width for _, width, _ in found] == [4, 64, 64]
    assert [depth for _, _, depth in found] == [1, 1, 2]
    assert len({fingerprint for fingerprint, _, _ in found}) == 3
    file.write_text(HELPED.replace("# how wide", "# the number of channels"))
    assert model.fingerprint() == found[-1][0]


def test_two_helpers_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for width in (4, 8):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "nets.py").write_text(HELPED.replace("helper_of_nets", "one_name"))
        (folder / "one_name.py").write_text(f"WIDTH = {width}\n")
        (folder / "late_one_name.py").write_text("DEPTH = 1\n")
    assert Custom("build", str(tmp_path / "4" / "nets.py")).build((3, 8, 8), 10)[0].out_channels == 4
    with pytest.raises(ValueError, match=r"must import the module .*one_name beside it, but .*4/.*one_name\.py was"):
        Custom("build", str(tmp_path / "8" / "nets.py")).build((3, 8, 8), 10)
