"""What the README says is so."""

import re
from pathlib import Path

import pytest
import torch

import equistudy
from equistudy.cli.commands import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def summary(path: Path) -> str:
    """The sentence at the head of a file."""
    return path.read_text().split('"""')[1].splitlines()[0]


def test_capacity_stands_there_in_full() -> None:
    assert f"```python\n{(ROOT / 'studies' / 'capacity.py').read_text()}```" in README


def test_the_tree_is_what_is_on_disk() -> None:
    rooms = {f"{path.parent.name}/": summary(path) for path in (ROOT / "equistudy").glob("*/__init__.py")}
    files = {path.name: summary(path) for path in (ROOT / "equistudy").glob("*.py")}
    for name, sentence in {**rooms, **files}.items():
        assert re.search(rf"^  {re.escape(name)} +{re.escape(sentence)}$", README, re.MULTILINE), (name, sentence)
    listed = re.findall(r"^  (\S+?/?) {2,}\S", README.partition("## Where things are")[2], re.MULTILINE)
    assert set(listed) == rooms.keys() | files.keys()


def test_continuous_integration_runs_the_test_command_as_it_stands() -> None:
    command = 'pip install ".[test]" && python -m pytest'
    assert f"```bash\n{command}\n```" in README
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text()


def test_every_command_is_listed() -> None:
    table = README.partition("## Commands")[2].partition("## ")[0]
    assert set(re.findall(r"`([a-z]+) ?[A-Z\[`]", table)) == set(cli.commands)


@pytest.mark.slow
def test_the_adapter_makes_a_network_of_lists_and_dicts_measurable() -> None:
    class Listed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, images: list[torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"logits": self.layer(torch.stack(images))}

    (block,) = [block for block in README.split("```python\n") if "class Adapter" in block]
    words = {"network": Listed(), "images": torch.rand(32, 3, 16, 16)}
    exec(block.partition("```")[0], words)
    found = words["result"].rows
    assert {row.stage for row in found} >= {"theirs.layer"}
    assert all(row.value > 0.99 for row in found)


def test_a_plain_loop_learns_a_range() -> None:
    (block,) = [block for block in README.split("```python\n") if "eq.LearnedInvariance" in block]
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4))
    loader = [(torch.rand(8, 3, 8, 8), torch.arange(8) % 4)] * 3
    words = {"network": network, "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2), "loader": loader}
    exec(block.partition("```")[0], words)
    assert words["model"].half_extents()["rotation"] != 20.0


def test_files_that_are_linked_exist() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_word_of_a_study_can_be_imported() -> None:
    assert len(equistudy.__all__) > 100
    for name in equistudy.__all__:
        assert getattr(equistudy, name) is not None


@pytest.mark.slow
def test_the_notebook_and_the_query_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study in this process, and behind it the query in Polars: one number of one measure for each network."""
    monkeypatch.chdir(tmp_path)
    (session,) = [block for block in README.split("```python\n") if "eq.run(" in block]
    (query,) = [block for block in README.split("```python\n") if "import equistudy, polars" in block]
    words: dict = {"__name__": "readme_session"}
    exec(session.partition("```")[0], words)
    assert set(words["found"].to_polars()["status"]) == {"done"}
    *lines, last = query.partition("```")[0].strip().splitlines()
    queried: dict = {}
    exec("\n".join(lines), queried)
    frame = eval(last.partition("  #")[0], queried)
    rows = words["found"].table.measurement_rows.filter(stage="stage3", measure="within_correlation")
    assert len(frame) == 6
    for trial, value in frame.iter_rows():
        assert value == pytest.approx(rows.filter(trial=trial)["value"].mean())
