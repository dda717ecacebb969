"""Every command line of the README and the documentation: its options exist, and those that need no network run."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from equistudy.cli.commands import cli
from equistudy.results import results

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NETWORK = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""


def list_lines() -> list[tuple[str, str]]:
    """The name of the page, and what follows `equistudy` without the comment."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                for command in line.partition("  #")[0].split("&&"):
                    words = command.strip().removeprefix("python -m ")
                    if words.startswith("equistudy "):
                        found.append((page.name, words.removeprefix("equistudy ")))
    return found


@pytest.mark.parametrize(("page", "line"), list_lines())
def test_the_options_of_every_line_exist(page: str, line: str) -> None:
    name, *arguments = shlex.split(line)
    assert cli.commands[name].make_context(name, arguments).params


def test_most_commands_have_a_line() -> None:
    assert {line.split()[0] for _, line in list_lines()} >= {"run", "plan", "new", "measure", "audit"}


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Runs a line in an empty folder and gives what it prints."""
    monkeypatch.chdir(tmp_path)

    def invoke(line: str) -> str:
        done = CliRunner().invoke(cli, shlex.split(line))
        assert done.exit_code == 0, done.output
        return done.output

    return invoke


def find_line(start: str) -> str:
    """The only line of the README that begins so."""
    (line,) = {line for page, line in list_lines() if page == "README.md" and line.startswith(start)}
    return line


@pytest.mark.slow
def test_the_audit_finds_what_its_comment_says(invoke: Callable[[str], str]) -> None:
    line = find_line("audit")
    comment = re.search(
        rf"equistudy {re.escape(line)} *# (\d+) layers .* sizes (\d+) and (\d+) are exact", PAGES[0].read_text()
    )
    assert comment is not None
    layers, *sizes = comment.groups()
    printed = invoke(line)
    _, _, table = printed.partition("layer  ")
    assert len(re.findall(r"^\w+[\w.]* +(?:misaligned windows|pixels dropped):", table, re.MULTILINE)) == int(layers)
    assert f"nearest {' and '.join(sizes)}" in printed


@pytest.mark.slow
def test_a_checkpoint_is_measured_on_a_folder_of_photographs(invoke: Callable[[str], str]) -> None:
    Path("nets.py").write_text(NETWORK)
    words: dict = {}
    exec(NETWORK, words)
    torch.save(words["build"]().state_dict(), "mine.pt")
    rng = np.random.default_rng(0)
    for number in range(8):
        folder = Path("photos", "ab"[number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{number}.png")
    printed = invoke(find_line("measure mine.pt"))
    assert {"30", "90"} <= set(re.findall(r"\d+", printed))
    assert set(results("results").measurements.collect()["measure"])


@pytest.mark.slow
def test_the_first_study_of_the_documentation_is_made_and_checked(invoke: Callable[[str], str]) -> None:
    lines = [line for page, line in list_lines() if page == "start.md" and "my_question.py" in line]
    assert [line.split()[0] for line in lines] == ["new", "plan", "run"]  # studies that run have tests of their own
    invoke(lines[0])
    assert "trials" in invoke(lines[1])
