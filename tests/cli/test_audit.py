"""What `audit` prints and refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from equistudy.cli.audit import format_audit, format_audits, parse_size
from equistudy.cli.commands import cli

NETWORK = """
from torch import nn

def exact():
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def spec():
    import equistudy as eq
    return eq.PreactivationResNet(8, 2, eq.CyclicGroup(4), head=eq.Head.ORIENTED)

def needs(width):
    return width

def told():
    raise RuntimeError("It says so.")

def sorting():
    class Sorting(nn.Module):
        def forward(self, images):
            return images.sort(3).values
    return Sorting()

def vector():
    from torch import nn
    return nn.Linear(3, 2)
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "network.py"
    path.write_text(NETWORK)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["audit", *arguments])


def test_a_network_of_your_own_is_audited(file: str) -> None:
    done = run(f"{file}:exact", "--size", "33", "--json")
    record = json.loads(done.stdout)
    assert (done.exit_code, record["exact"], record["group"]) == (0, True, "p4m")
    assert record["nearest"] == {"below": 31, "above": 35}
    assert record["residue"] == {"modulus": 2, "remainder": 1}


def test_the_table_says_what_breaks_and_what_repairs(file: str) -> None:
    done = run(f"{file}:exact", "--size", "32x33", "--group", "d1")
    assert done.exit_code == 0, done.output
    assert f"{file}:exact at 32 x 33 under d1: exact" in done.stdout
    done = run(f"{file}:exact", "--size", "32")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{file}:exact at 32 x 32 under p4m: not exact"
    assert lines[1] == "exact sizes: n = 1 mod 2; nearest 31 and 33"
    assert lines[2].startswith("survives: identity, transpose; measured in float64, largest relative error ")
    assert lines[4].split() == ["layer", "why", "repair"]
    assert lines[5].startswith("0 ")
    assert lines[5].endswith("convolution 4x4 with padding 1")


@pytest.mark.slow
def test_a_model_spec_is_audited_with_and_without_its_head(file: str) -> None:
    lines = run(f"{file}:spec", "--size", "33").stdout.splitlines()
    assert lines[0].endswith("under p4: not exact")
    assert lines[1:3] == [
        "exact sizes: none found",
        "without its head: exact; exact sizes: n = 1 mod 4; nearest 29 and 37",
    ]


@pytest.mark.slow
def test_what_no_rule_covers_is_said(file: str) -> None:
    lines = run(f"{file}:sorting", "--size", "8", "--channels", "5").stdout.splitlines()
    assert lines[0].endswith("at 8 x 8 under p4m: not exact")
    assert lines[1] == "exact sizes: none found (searched by numbers among 2 to 48)"
    assert lines[3] == ("The rules do not cover (the network itself) (sort); the verdict rests on numbers alone.")
    assert lines[5].split() == ["layer", "why"]
    assert lines[-1] == "No edits were found that make the network exact at this size."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet81", "--size", "32"), "got name='resnet81'. Nearest: "),
        (("no_such*", "--size", "32"), "The pattern must match a model of timm, got 'no_such*'."),
        (("resnet18", "--size", "big"), "--size must be PIXELS or HEIGHTxWIDTH, got 'big'."),
        (("nowhere.py:build", "--size", "32"), "FILE.py:FUNCTION, got 'nowhere.py', which is not a file."),
        (
            ("FILE:missing", "--size", "32"),
            "must define the function missing, got only exact, spec, needs, told, sorting, vector.",
        ),
        (("FILE:needs", "--size", "32"), "must return a network when called without arguments, got TypeError"),
        (("FILE:told", "--size", "32"), "got RuntimeError: It says so. Give its parameters defaults."),
        (("FILE:vector", "--size", "32"), "takes one batch of images (B, C, H, W)"),
        (("FILE:exact", "--size", "32", "--channels", "3"), "accepts, got images of 3 x 32 x 32, for which"),
    ],
)
def test_bad_input_is_told(arguments: tuple[str, ...], message: str, file: str) -> None:
    done = run(*(argument.replace("FILE", file) for argument in arguments))
    assert done.exit_code == 2
    assert message in done.stderr.replace("\n", " ")


def test_sizes_are_read() -> None:
    assert parse_size("224") == 224
    assert parse_size("32x48") == (32, 48)


RECORD = {
    "model": "a",
    "size": [32, 33],
    "group": "p4m",
    "exact": False,
    "nearest": {"below": None, "above": [33, 33]},
    "residue": {"modulus": 2, "remainder": 1},
    "survives": ["identity"],
    "deviations": {"90 deg": 0.5},
    "features": {"exact": False},
    "layers": [{"name": f"{i}", "cause": "c", "reason": "r", "repair": "p"} for i in range(41)],
}


def test_long_tables_are_cut_and_failures_are_listed() -> None:
    lines = format_audit(RECORD)
    assert lines[0] == "a at 32 x 33 under p4m: not exact"
    assert lines[1] == "exact sizes: n = 1 mod 2; nearest 33 x 33"
    assert lines[-1] == "... and 1 more; --json prints all"
    exact = {**RECORD, "model": "b", "exact": True, "residue": None, "nearest": {"below": None, "above": None}}
    lines = format_audits([RECORD, {**exact, "layers": []}, {"model": "c", "size": 8, "error": "it died\nthere"}])
    assert [line.split()[0] for line in lines[:3]] == ["model", "a", "b"]
    assert "0: c" in lines[1]
    assert "no other found" in lines[2]
    assert lines[-2:] == ["3 networks: 1 exact, 1 not exact, 1 failed", "c: it died"]
