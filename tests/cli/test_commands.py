"""What can be typed, what it prints where, and the exit codes."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import polars as pl
import pytest

from equistudy.cli import status as standing
from equistudy.cli.commands import cli, main
from equistudy.cli.errors import ExitCode
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import PROGRAM

ROOT = Path(__file__).parents[2]
OF_A_STUDY = ["study", "--scale", "--set", "--results", "--weights-dir", "--json"]
SHARE = ["--cpus-per-trial", "--gpus-per-trial", "--pack", "--workers-per-trial", "--max-concurrent"]
WHERE = ["--address", "--cluster", "--num-cpus", *SHARE, "--hang-minutes", "--keep-going", "--in-process"]
# Options say where and how much, never what: what is studied stands in the study's file.
OPTIONS = {
    "plan": [*OF_A_STUDY, "--check", "--pilot", "--cluster", "--prices", *SHARE],
    "run": [*OF_A_STUDY, *WHERE, "--fetch", "--watch"],
    "status": OF_A_STUDY,
    "watch": [*OF_A_STUDY[:-1], "--port", "--with-driver"],
    "retry": [*OF_A_STUDY, *WHERE, "--reason"],
    "results": ["place", "--table", "--csv", "--json", "--compact"],
    "report": OF_A_STUDY,
    "explain": ["trial", "--results", "--study", "--scale", "--set", "--weights-dir", "--json"],
    "diff": ["a", "b", "--results", "--study", "--scale", "--set", "--weights-dir", "--json"],
    "audit": ["model", "--size", "--group", "--channels", "--json"],
    "measure": [
        *("target", "--model", "--stages", "--data", "--images", "--size", "--group", "--measure", "--bf16"),
        *("--room", "--mean", "--std", "--classes", "--ema", "--border"),
        *("--plot", "--results", "--study", "--scale", "--weights-dir", "--workers", "--address", "--csv", "--json"),
    ],
    "export": ["form", "studies", "--scale", "--results", "--weights-dir", "--into"],
    "compare": ["studies", "--results", "--weights-dir"],
    "launch": ["cluster", "study", "words", "--scale", "--results", "--dry-run", "--detach", "--include", "--keep"],
    "attach": ["cluster", "--job", "--keep"],
    "jobs": ["cluster"],
    "down": ["cluster"],
    "new": ["path"],
    "fetch": ["words", "--scale", "--into", "--list", "--dry-run", "--weights-dir", "--json"],
    "doctor": ["--results", "--json"],
}


def test_the_commands_and_their_options_are_these() -> None:
    found = {name: sorted(parameter.opts[0] for parameter in command.params) for name, command in cli.commands.items()}
    assert found == {name: sorted(options) for name, options in OPTIONS.items()}
    assert [parameter.opts for parameter in cli.params] == [["--version"]]


def test_help_begins_with_examples_and_ends_with_the_exit_codes(invoke) -> None:
    told = invoke("--help").stdout
    assert told.index("Examples:") < told.index("Options:") < told.index("Commands:") < told.index("Exit codes:")
    codes = (
        "0 done, 1 unexpected error, 2 wrong usage or invalid study, 3 done with failed trials, 4 Ray's head process"
    )
    assert f"{codes} lost (run again to resume), 130 interrupted." in " ".join(told.split())
    assert list(OPTIONS) == [
        line.split()[0] for line in told.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    ]
    assert "..." not in told.partition("Commands:")[2].partition("\n\n")[0], "a line that does not fit on a screen"


@pytest.mark.parametrize("name", OPTIONS)
def test_every_example_can_be_typed(name: str, invoke) -> None:
    told = invoke(name, "-h").stdout
    assert told.index("Examples:") < told.index("Options:")
    examples = [line.strip() for line in told.splitlines() if line.startswith(f"  {PROGRAM}")]
    assert examples
    for example in examples:
        assert len(example) <= 78
        first, *arguments = shlex.split(example.removeprefix(PROGRAM).partition(" > ")[0])
        assert first == name
        cli.commands[name].make_context(name, arguments)


def test_versions(invoke) -> None:
    done = invoke("--version")
    assert done.exit_code == 0
    assert done.stdout.startswith("equistudy ")
    assert "torch 2." in done.stdout


def test_a_bug_keeps_its_traceback(invoke, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "load_requested_study", lambda asked: int("x"))
    done = invoke("plan", asked.study)
    assert done.exit_code == ExitCode.UNEXPECTED
    assert isinstance(done.exception, ValueError)


def test_data_goes_to_stdout_and_json_is_for_programs(invoke, asked, finish) -> None:
    first, second, third, _ = plan_study(load_requested_study(asked), asked.folder)[1].trials
    finish(first.trial, first.levels)
    finish(second.trial, second.levels)
    finish(third.trial, third.levels, reason="bug", message="no")
    of_study, of_results = (asked.study, "--results", asked.folder), ("--results", asked.folder)

    def record(*arguments: object) -> dict:
        done = invoke(*arguments, "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        return json.loads(done.stdout)

    assert record("plan", *of_study)["seconds_left"] == 10.0
    assert record("status", *of_study)["failed"][0]["reason"] == "bug"
    assert record("explain", first.id, *of_results) == first.trial.build_columns()
    assert record("diff", first.id, second.id, *of_results)["model.width"] == [2, 4]
    for arguments, line in (
        (("plan", *of_study), "4 trials: 2 done, 1 failed, 1 missing"),
        (("status", *of_study), f"Run them again: {asked.format_command('retry')}"),
        (("explain", first.id, *of_results), "model.width                     2"),
        (("diff", first.id, second.id, *of_results), "model        ResNet(depth=8, width=2)  ResNet(depth=8, width=4)"),
        (("results", asked.folder), "3 rows"),
    ):
        done = invoke(*arguments)
        assert (done.exit_code, done.stderr) == (0, "")
        assert line in done.stdout


def test_results_are_printed_in_full(invoke, asked, finish, tmp_path) -> None:
    first, second, *_ = plan_study(load_requested_study(asked), asked.folder)[1].trials
    finish(first.trial, first.levels)
    finish(second.trial, second.levels, reason="bug", message="no,\nno")
    rows = json.loads(invoke("results", asked.folder, "--json").stdout)
    assert {row["trial"]: (row["width"], row["model.width"]) for row in rows} == {first.id: (2, 2), second.id: (4, 4)}
    (tmp_path / "rows.csv").write_text(invoke("results", asked.folder, "--csv").stdout)
    table = pl.read_csv(tmp_path / "rows.csv")
    assert table.columns == list(rows[0])
    assert table.filter(trial=second.id)["message"].item() == "no,\nno"
    assert "2 rows" in invoke("results", asked.folder).stdout
    assert invoke("results", asked.folder, "--table", "curves").stdout == "0 rows\n"


def test_empty_results_are_no_error(invoke, asked) -> None:
    from equistudy.results.store import Store

    Store.open(asked.folder)
    assert invoke("results", asked.folder).stdout == "0 rows\n"
    assert json.loads(invoke("results", asked.folder, "--json").stdout) == []
    assert invoke("results", asked.folder, "--csv").stdout.startswith("trial,")
    assert "4 missing" in invoke("status", asked.study, "--results", asked.folder).stdout


def test_compacting_tells_what_it_did_on_stderr(invoke, asked, finish) -> None:
    for trial in plan_study(load_requested_study(asked), asked.folder)[1].trials:
        finish(trial.trial, trial.levels)
    done = invoke("results", asked.folder, "--compact", "--json")
    assert len(json.loads(done.stdout)) == 4
    assert done.stderr == "8 files -> 2, 4 rows rewritten\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_an_interruption_ends_with_130(error, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(asked: object) -> None:
        raise error

    monkeypatch.setattr(standing, "load_requested_study", interrupt)
    monkeypatch.setattr(sys, "argv", ["equistudy", "plan", "question.py"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.INTERRUPTED


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["plan"], 2), (["plan", "none.py"], 2), ([], 2)])
def test_the_program_ends_with_the_code_of_the_command(arguments, code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["equistudy", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == code


def test_the_package_is_a_program_whose_reader_may_leave_early(asked, finish) -> None:
    first = plan_study(load_requested_study(asked), asked.folder)[1].trials[0]
    finish(first.trial, first.levels, message="x" * 200_000)
    command = [sys.executable, "-m", "equistudy", "results", asked.folder, "--csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(6) == b"trial,"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == ExitCode.DONE


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["doctor"], ["plan", "STUDY"], ["run", "--help"]])
def test_a_reader_that_leaves_at_once_is_no_error(words: list[str], asked) -> None:
    command = [sys.executable, "-m", "equistudy", *(str(asked.study) if word == "STUDY" else word for word in words)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.DONE, b"")


PRETRAINED = """
import equistudy as eq

def trial(network: str, seed: int) -> eq.Trial:
    leaves, model = eq.DeadLeaves(size=64, test_images=4), eq.TimmModel(network, pretrained=True)
    return eq.Trial(model, leaves, eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=0), seed)

study = eq.Study(
    question="Are the weights here?",
    design=eq.factorial(trial, eq.Factor("network", ("test_resnet.r160_in1k", "test_vit.r160_in1k")), seeds=[0]),
    measures=(eq.WithinCorrelation(eq.Translation(max_pixels=1)),),
)
"""


@pytest.fixture
def no_weights(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("no_weights")
def test_weights_are_looked_for_where_the_option_says(invoke, write, folder, tmp_path) -> None:
    study = write(text=PRETRAINED)
    told = invoke("plan", study, "--results", folder).stdout
    assert "2 trials: 2 impossible" in told
    assert "2 cannot run here: no weights (e.g. network=test_resnet.r160_in1k). Nothing is downloaded" in told
    assert "Cost" not in told
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "test_vit.r160_in1k.safetensors").write_bytes(b"weights")
    record = json.loads(invoke("plan", study, "--weights-dir", tmp_path / "weights", "--json").stdout)
    assert [trial["state"] for trial in record["trials"]] == ["impossible", "missing"]
    assert "2 trials" in invoke("status", study, "--results", folder).stdout
    none = invoke("plan", study, "--weights-dir", tmp_path / "gone")
    assert none.exit_code == ExitCode.USAGE


@pytest.mark.usefixtures("no_weights")
def test_what_cannot_run_is_reported_as_undecided(invoke, write, folder) -> None:
    claim = """measures=(eq.WithinCorrelation(eq.Translation(max_pixels=1)),),
    claims=(eq.Claim("high", eq.Value(eq.WithinCorrelation(eq.Translation(max_pixels=1)), expected="increasing")),),"""
    study = write(("measures=(eq.WithinCorrelation(eq.Translation(max_pixels=1)),),", claim), text=PRETRAINED)
    done = invoke("run", study, "--results", folder)
    assert done.exit_code == ExitCode.DONE
    verdict, report = done.stdout.splitlines()
    assert verdict.startswith("UNDECIDED: high.")
    assert "2 of 2 trials have no result (e.g. network=test_resnet.r160_in1k, seed=0, missing: no weights)" in verdict
    assert Path(report.removeprefix("Report: ")).exists()
    assert "2 cannot run here: no weights" in done.stderr
