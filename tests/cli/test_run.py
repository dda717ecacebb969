"""What `run` does around the training, which a stand-in does here; and the whole of it, in processes of their own."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equistudy.cli.errors import ExitCode
from equistudy.cli.run import report_study
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.execution.runner import RunOutcome
from equistudy.results import results
from equistudy.running.job import TrialPhase, TrialProgress

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trains(finish, monkeypatch: pytest.MonkeyPatch):
    """Puts a stand-in in Ray's place. It ends `ending` of the jobs and says which; `reason` makes one fail."""

    def trains(ending: int | None = None, reason: str | None = None, interrupted: bool = False) -> list[str]:
        ran: list[str] = []

        def run_study(loaded, source, store, resources, reporter, site, breaker) -> RunOutcome:
            reporter.report_start(source.total, 2)
            for number, job in enumerate(source.jobs[:ending]):
                fails = reason if number == 0 else None
                finish(
                    job.trial, dict(job.levels), reason=fails, message=fails and "Wrong.\nVery.", attempt=job.attempt
                )
                phase = TrialPhase.FAILED if fails else TrialPhase.DONE
                reporter.report_progress(
                    TrialProgress(job.trial.id, phase, 2, 2, str(job), "Wrong.\nVery." if fails else None)
                )
                ran.append(job.trial.id)
            if interrupted:
                reporter.report_stopping()
            return RunOutcome(len(ran), 0, interrupted, 1.0)

        monkeypatch.setattr("equistudy.execution.runner.run_study", run_study)
        return ran

    return trains


def test_what_is_missing_runs_and_the_report_is_written(asked, invoke, trains) -> None:
    ran = trains()
    done = invoke("run", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.DONE
    assert len(ran) == 4
    page = f"{asked.folder}/reports/question/index.html"
    assert done.stdout == f"Report: {page}\n"
    assert asked.format_command("run") in Path(page).read_text()
    question, standing, ray, start, *events, end = done.stderr.splitlines()
    assert (question, standing, ray) == ("Does it run?", "4 trials: 4 missing", "Starting Ray on this machine")
    assert start == "4 to run, 2 at once"
    assert [re.sub(r"t_\w+ |\(.*", "", event) for event in events[:1]] == ["[1/4] done     width=2, seed=0  "]
    assert re.fullmatch(r"4 trials: 4 done in .* s", end)

    again = invoke("run", asked.study, "--results", asked.folder, "--json")
    assert len(ran) == 4
    assert json.loads(again.stdout)["trials"]["done"] == 4
    assert "Ray" not in again.stderr


@pytest.mark.parametrize(("variable", "colored"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_a_log_may_be_coloured_and_is_never_a_screen(variable, colored, asked, invoke, trains, monkeypatch) -> None:
    monkeypatch.setenv(variable, "1")
    trains()
    done = invoke("run", asked.study, "--results", asked.folder)
    assert set(re.findall(r"\x1b\[[^m]*?[A-Za-z]", done.stderr)) == ({"\x1b[32m", "\x1b[0m"} if colored else set())
    assert len(done.stderr.splitlines()) == 9
    assert "\x1b" not in done.stdout


def test_a_failed_trial_ends_with_3_and_the_commands_that_go_on(asked, invoke, trains) -> None:
    trains(reason="not a number")
    done = invoke("run", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.FAILED_TRIALS
    assert re.search(r"\[1/4\] failed  t_\w+  width=2, seed=0  .*\n    Wrong\.\n\[2/4\]", done.stderr)
    assert "4 trials: 3 done, 1 failed" in done.stderr
    why, again = done.stderr.splitlines()[-2:]
    assert why == f"Why trials failed: {asked.format_command('status')}"
    assert again == f"Run them again: {asked.format_command('retry')}"
    assert invoke("run", asked.study, "--results", asked.folder).exit_code == ExitCode.FAILED_TRIALS


def test_retry_repeats_the_failures_of_one_reason(asked, invoke, trains) -> None:
    trains(reason="not a number")
    invoke("run", asked.study, "--results", asked.folder)
    ran = trains()
    other = invoke("retry", asked.study, "--results", asked.folder, "--reason", "bug")
    assert (other.exit_code, ran) == (ExitCode.FAILED_TRIALS, [])
    done = invoke("retry", asked.study, "--results", asked.folder, "--reason", "not a number")
    assert done.exit_code == ExitCode.DONE
    assert ran == [plan_study(load_requested_study(asked), asked.folder)[1].trials[0].id]


def test_a_run_that_stopped_itself_says_why_and_writes_no_report(asked, invoke, finish, monkeypatch) -> None:
    def run_study(loaded, source, store, resources, reporter, site, breaker) -> RunOutcome:
        for job in source.jobs[:2]:
            finish(job.trial, dict(job.levels), reason="bug", message="Wrong.")
        return RunOutcome(0, 2, False, 1.0, "The first 2 trials failed in the same way: Wrong.")

    monkeypatch.setattr("equistudy.execution.runner.run_study", run_study)
    done = invoke("run", asked.study, "--results", asked.folder, "--json")
    assert done.exit_code == ExitCode.FAILED_TRIALS
    assert json.loads(done.stdout)["stopped"] == "The first 2 trials failed in the same way: Wrong."
    told = done.stderr.splitlines()[-4:]
    assert told[0] == "The first 2 trials failed in the same way: Wrong."
    assert told[1].startswith("4 trials: 2 failed, 2 missing")
    assert told[3] == f"Once that is fixed: {asked.format_command('retry')}"
    assert not (Path(asked.folder) / "reports").exists()


def test_what_could_not_be_stored_is_no_success(asked, invoke, trains) -> None:
    trains(ending=3)
    done = invoke("run", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.FAILED_TRIALS
    assert "4 trials: 3 done, 1 missing" in done.stderr
    assert done.stderr.endswith(f"What is missing could not be stored. Run it again: {asked.format_command('run')}\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_run_prints_the_command_that_goes_on(as_json, asked, invoke, trains, monkeypatch) -> None:
    trains(ending=1, interrupted=True)
    words = ["run", str(asked.study), "--results", asked.folder, "--max-concurrent", "2"]
    monkeypatch.setattr(sys, "argv", ["equistudy", *words])
    done = invoke(*words, *(["--json"] if as_json else []))
    assert done.exit_code == ExitCode.INTERRUPTED
    resume = f"python -m equistudy {' '.join(words)}"
    assert f"To resume:\n    {resume}\n" in done.stderr
    assert re.search(r"Stopped after .* s\. 4 trials: 1 done, 3 missing", done.stderr)
    if as_json:
        counts = {"done": 1, "failed": 0, "missing": 3, "unmeasured": 0, "stopped": 0, "impossible": 0}
        assert json.loads(done.stdout) == {"interrupted": True, "resume": resume, "trials": counts}
    else:
        assert done.stdout == ""


def test_a_report_on_a_full_disk_is_told(asked, invoke, trains, monkeypatch: pytest.MonkeyPatch) -> None:
    trains()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("equistudy.report.page.write_report", full)
    done = invoke("run", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.USAGE
    assert "files: No space left on device. Free some space" in done.stderr
    assert len(results(asked.folder).list_finished()) == 4


def test_the_report_can_be_written_while_trials_are_missing(asked, invoke, trains) -> None:
    trains(ending=1)
    invoke("run", asked.study, "--results", asked.folder)
    page, verdicts = report_study(asked)
    assert Path(page).is_file()
    assert any("3 of 4 trials have no result" in line for line in verdicts)
    done = invoke("report", asked.study, "--results", asked.folder, "--json")
    assert json.loads(done.stdout) == {"report": page, "verdicts": verdicts}


def test_a_disk_that_fills_up_during_a_run_is_told(asked, invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_study(loaded, source, store, *others) -> RunOutcome:
        def full(*arguments: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        store.write_bytes("checkpoints/t_1.pt", b"state")
        raise AssertionError("not reached")

    monkeypatch.setattr("equistudy.execution.runner.run_study", run_study)
    done = invoke("run", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.USAGE
    assert "checkpoints/t_1.pt: No space left on device. Free some space and run the same command again" in done.stderr


POISONED = """
import equistudy as eq

def trial(rate: float, seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=2, batch_size=32, optimiser=eq.SGD(learning_rate=rate), schedule=eq.Constant())
    digits = eq.Digits(canvas=16, digit=8, train_size=64)
    return eq.Trial(eq.ResNet(8, 2), digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)

study = eq.Study("Is one bad cell one bad cell?", eq.factorial(trial, eq.Factor("rate", (0.01, 1e30)), seeds=[0]),
                 measures=(eq.Accuracy(),))
"""


def command(verb: str, study: Path, folder: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "equistudy", verb, str(study), "--results", folder, *options]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment, check=False)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_a_poisoned_cell_leaves_the_others_alone(write, folder, invoke) -> None:
    study = write(text=POISONED)
    done = invoke("run", study, "--results", folder, "--max-concurrent", "1")
    assert done.exit_code == ExitCode.FAILED_TRIALS, done.stderr
    assert "failed  t_" in done.stderr
    rows = {row["rate"]: row for row in results(folder).trials.collect().to_dicts()}
    assert rows[0.01]["status"] == "done"
    assert rows[1e30]["reason"] == "not a number"
    assert "NotANumberError" in rows[1e30]["traceback"]
    assert "1 failed: not a number" in invoke("status", study, "--results", folder).stdout
    again = invoke("retry", study, "--results", folder, "--reason", "not a number")
    assert "1 to run" in again.stderr
    assert again.exit_code == ExitCode.FAILED_TRIALS
    assert {row["rate"]: row["attempt"] for row in results(folder).trials.collect().to_dicts()} == {0.01: 0, 1e30: 1}


@pytest.mark.usefixtures("ray_capacity")
def test_a_request_that_no_node_satisfies_is_refused(asked, invoke) -> None:
    done = invoke("run", asked.study, "--results", asked.folder, "--cpus-per-trial", "64")
    assert done.exit_code == ExitCode.USAGE
    rule = "Each worker of a trial must fit on one node"
    assert f"{rule}, got a request for 64 CPUs and a largest node with 2. Lower --cpus-per-trial" in done.stderr
    assert "Traceback" not in done.stderr


# two trials of about 5 s on a core
LONG = (
    ("train_size=64", "train_size=240"),
    ("epochs=2, batch_size=32", "epochs=40, batch_size=8"),
    ("(2, 4)), seeds=range(2)", "(2, 4)), seeds=[0]"),
)


def started(study: Path, folder: str, *files: str) -> subprocess.Popen[str]:
    """A run in a group of its own, as a terminal makes one, whose results have come to hold such files."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen(command("run", study, folder, "--num-cpus", "1"), cwd=ROOT, env=environment, **pipes)  # type: ignore[call-overload]
    deadline = time.monotonic() + 120
    while not all(list(Path(folder).glob(file)) for file in files):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def interrupt(process: subprocess.Popen[str]) -> None:
    """What Ctrl-C does: a signal to every process of the terminal's group."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_stops_gently_and_the_same_command_goes_on(write, folder) -> None:
    study = write(*LONG)
    process = started(study, folder, "trials/*.parquet", "running/*.json")
    looked = run("status", study, folder, "--json")
    (sign,) = json.loads(looked.stdout)["running"]
    assert sign["levels"] == "width=4, seed=0"
    interrupt(process)
    asked_at = time.monotonic()
    out, err = process.communicate(timeout=120)
    assert process.returncode == ExitCode.INTERRUPTED
    assert time.monotonic() - asked_at < 60
    assert "Traceback" not in err
    assert out == ""
    resume = re.search(r"To resume:\n    python -m equistudy (.*)\n", err)
    assert resume is not None
    assert list(Path(folder).glob("checkpoints/*.pt"))
    assert not list(Path(folder).glob("running/*.json"))
    before = {row["trial"]: row["finished"] for row in results(folder).trials.collect().to_dicts()}

    again = subprocess.run([sys.executable, "-m", "equistudy", *resume[1].split()], cwd=ROOT, check=False)
    assert again.returncode == ExitCode.DONE
    rows = {row["trial"]: row for row in results(folder).trials.collect().to_dicts()}
    assert {row["width"]: row["resumed"] for row in rows.values()} == {2: 0, 4: 1}
    assert {name: rows[name]["finished"] for name in before} == before
    assert len(before) == 1


@pytest.mark.slow
def test_the_second_ctrl_c_ends_at_once(write, folder) -> None:
    process = started(write(*LONG), folder, "running/*.json")
    interrupt(process)
    time.sleep(0.2)
    interrupt(process)
    asked_at = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert time.monotonic() - asked_at < 10
    assert "Traceback" not in err


UNHELD = '''"""Does it hold?"""

import equistudy as eq


def trial(weight, seed):
    rotation = eq.LearnedAugmentation((eq.RotationGenerator(start=9.0),), eq.NormRegulariser(weight))
    sprites = eq.Sprites(2, 45.0, 16, 64, 64)
    return eq.Trial(eq.ResNet(8, 2), sprites, eq.Classification(), rotation, eq.Recipe(epochs=2), seed)


study = eq.Study(
    question="Does it hold?",
    design=eq.factorial(trial, eq.Factor("weight", (0.05, 0.3)), seeds=range(2)),
    measures=(eq.Accuracy(),),
)
'''


def test_what_cannot_end_well_is_told_before_training_once(write, folder, invoke, trains) -> None:
    trains()
    done = invoke("run", str(write(text=UNHELD)), "--results", folder)
    assert done.exit_code == ExitCode.DONE
    told = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert len(told) == 1
    assert re.search(r"weight=0.3 and start=9 it grows to 180 degrees, but the labels allow 45.*weight=0.244", told[0])


@pytest.mark.slow
def test_a_study_runs_in_this_process_without_ray(asked, invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equistudy.execution.runner.run_study", None)  # nothing calls it
    done = invoke("run", asked.study, "--results", asked.folder, "--in-process")
    assert done.exit_code == ExitCode.DONE, done.output
    assert "Starting Ray" not in done.stderr
    assert re.search(r"^\[4/4\] done t_\w+  width=", done.stderr, re.MULTILINE)
    assert "Report: " in done.stdout
    again = invoke("run", asked.study, "--results", asked.folder, "--in-process")
    assert "[1/" not in again.stderr


def test_settings_run_report_and_are_explained(asked, invoke, trains) -> None:
    ran = trains()
    settings = ("--set", "width=2", "--set", "recipe.epochs=5")
    done = invoke("run", asked.study, "--results", asked.folder, *settings)
    assert done.exit_code == ExitCode.DONE
    assert len(ran) == 2
    assert done.stdout.splitlines()[-1] == f"Report: {asked.folder}/reports/question-width=2-recipe.epochs=5/index.html"
    columns = json.loads(invoke("explain", ran[0], "--study", asked.study, *settings, "--json").stdout)
    assert columns["recipe.epochs"] == 5
    assert "4 missing" in invoke("status", asked.study, "--results", asked.folder).stdout
    assert "2 done" in invoke("status", asked.study, "--results", asked.folder, *settings).stdout


def test_a_retry_that_finds_nothing_to_retry_says_so(asked, invoke, trains) -> None:
    trains(ending=4)
    assert "Nothing to retry" not in invoke("run", asked.study, "--results", asked.folder).stderr
    done = invoke("retry", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.DONE
    assert "Nothing to retry: no trial has failed." in done.stderr.splitlines()


def test_a_retry_of_another_reason_names_the_reasons_there_are(asked, invoke, trains) -> None:
    trains(reason="bug")
    invoke("run", asked.study, "--results", asked.folder)
    done = invoke("retry", asked.study, "--results", asked.folder, "--reason", "data")
    wanted = "Nothing to retry: no trial failed for the reason data. Reasons of failures: bug (1)."
    assert wanted in done.stderr.splitlines()
    assert "Nothing to retry" not in invoke("retry", asked.study, "--results", asked.folder, "--reason", "bug").stderr
