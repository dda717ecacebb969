"""Options that several commands share: their order, their defaults, and what is printed."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from equistudy.cli.options import JSON_OPTION, SITE_OPTIONS, STUDY_OPTIONS, RunOptions, add_options, print_output
from equistudy.cli.study_reference import StudyReference
from equistudy.models import weights


def given(*words: str, of: tuple[Any, ...]) -> tuple[Result, dict[str, Any]]:
    """What a command with these options gets for these words."""
    got: dict[str, Any] = {}

    @click.command()
    @add_options(*of)
    def command(**values: Any) -> None:
        got.update(values)

    return CliRunner().invoke(command, words), got


def test_the_help_shows_options_in_the_order_in_which_they_are_given() -> None:
    told = given("--help", of=(*SITE_OPTIONS, JSON_OPTION))[0].stdout
    names = ("--address", "--cluster", "--num-cpus", "--cpus-per-trial", "--hang-minutes", "--keep-going", "--json")
    places = [told.index(f"  {name}") for name in names]
    assert places == sorted(places)


def test_without_options_a_trial_gets_a_cpu_and_results_go_to_their_folder() -> None:
    _, got = given("question.py", of=(*STUDY_OPTIONS, *SITE_OPTIONS, JSON_OPTION))
    assert got == {
        "asked": StudyReference(Path("question.py"), None, "results"),
        "options": RunOptions(
            cpus_per_trial=1.0,
            gpus_per_trial=None,
            pack=None,
            workers_per_trial=1,
            max_concurrent=None,
            address=None,
            cluster=None,
            num_cpus=None,
            hang_minutes=60.0,
            keep_going=False,
            in_process=False,
        ),
        "as_json": False,
    }


def test_resources_are_those_of_the_options() -> None:
    _, got = given("--cpus-per-trial", "2", "--max-concurrent", "3", of=SITE_OPTIONS)
    made = got["options"].build_resources(hang_seconds=60.0)
    assert (made.cpus, made.gpus, made.workers, made.max_concurrent, made.pack) == (2.0, None, 1, 3, None)
    assert made.hang_seconds == 60.0


def test_a_run_in_this_process_takes_no_option_of_ray() -> None:
    done, got = given("--in-process", "--pack", "2", "--address", "auto", of=SITE_OPTIONS)
    assert got == {}
    assert "got --address auto and --pack 2 as well. Leave out --in-process, or the others." in str(done.exception)
    assert given("--in-process", "--cpus-per-trial", "2", "--keep-going", of=SITE_OPTIONS)[1]["options"].in_process


def test_no_cpu_at_all_is_wrong_usage() -> None:
    done, got = given("--num-cpus", "0", of=SITE_OPTIONS)
    assert (done.exit_code, got) == (2, {})
    assert "0 is not in the range 1<=x<=1000000" in done.stderr


def test_a_folder_of_weights_is_searched_from_the_option_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, got = given("question.py", "--weights-dir", str(tmp_path), of=STUDY_OPTIONS)
    assert weights.get_weights_folder() == tmp_path
    assert "weights_dir" not in got
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    given("question.py", of=STUDY_OPTIONS)
    assert weights.get_weights_folder() == tmp_path
    assert given("question.py", "--weights-dir", str(tmp_path / "gone"), of=STUDY_OPTIONS)[0].exit_code == 2


def test_a_record_is_one_line_of_json_and_lines_are_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    print_output({"a": None, "b": [1.5]})
    print_output(["one", "two"])
    record, *lines = capsys.readouterr().out.splitlines()
    assert json.loads(record) == {"a": None, "b": [1.5]}
    assert lines == ["one", "two"]


def test_a_number_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_output({"a": float("nan")})
