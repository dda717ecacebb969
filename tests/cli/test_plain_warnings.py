"""Warnings as the command line prints them."""

import shutil
import warnings
from pathlib import Path

import pytest

from equistudy.cli.plain_warnings import MAX_LISTED, print_warnings_plainly
from equistudy.datasets.photographs import DatasetNote
from equistudy.results.inventory import ForeignFileWarning


def test_each_kind_is_one_line_and_other_packages_keep_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *place, **more: others.append(message)
        with print_warnings_plainly():
            for number in [*range(MAX_LISTED + 3), 0]:
                warnings.warn(ForeignFileWarning(f"Ignored {number}.\x1b[2J", f"f{number}"), stacklevel=1)
            warnings.warn("1 of 5 images\nis corrupt.", DatasetNote, stacklevel=1)
            warnings.warn("torch says", UserWarning, stacklevel=1)
    assert [str(each) for each in others] == ["torch says"]
    assert capsys.readouterr().err.splitlines() == [
        "Warning: Ignored 0.\\x1b[2J Also ignored: f1, f2, f3, f4, f5 and 2 more.",
        "Warning: 1 of 5 images is corrupt.",
    ]


@pytest.mark.filterwarnings("default::equistudy.results.inventory.ForeignFileWarning")
@pytest.mark.parametrize("command", ["results", "status", "plan", "report", "diff", "explain", "export"])
def test_commands_that_read_results_name_copies_plainly(asked, finish, made, invoke, tmp_path, command: str) -> None:
    trials = made().trials
    for planned in trials[:2]:
        finish(planned.trial, planned.levels)
    folder = Path(asked.folder) / "trials"
    first = folder / f"{trials[0].id}.0.parquet"
    for name in ("copy.parquet", "t_2.0.parquet"):
        shutil.copy(first, folder / name)
    words = {
        "results": [],
        "explain": [trials[0].id],
        "diff": [trials[0].id, trials[1].id],
        "export": ["appendix", asked.study, "--into", tmp_path],
    }
    shown = [asked.folder] if command == "results" else ["--results", asked.folder]
    done = invoke(command, *words.get(command, [asked.study]), *shown)
    assert done.exit_code == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "copy.parquet" in line]
    assert line.startswith("Warning: Ignored trials/copy.parquet in ")
    assert line.endswith("Also ignored: trials/t_2.0.parquet.")
    assert "ForeignFileWarning" not in done.stderr
