import shlex
from pathlib import Path

from equistudy.cli.study_reference import StudyReference


def test_a_command_can_be_pasted_into_a_shell() -> None:
    plain = StudyReference(Path("studies/capacity.py"), None, "results")
    assert plain.format_command("status") == "python -m equistudy status studies/capacity.py"
    odd = StudyReference(Path("my studies/it's.py"), "paper", "s3://bucket/all results")
    words = ["python", "-m", "equistudy", "run", "my studies/it's.py", "--scale", "paper"]
    assert shlex.split(odd.format_command("run")) == [*words, "--results", "s3://bucket/all results"]


def test_a_command_names_the_folder_of_weights_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    command = StudyReference(Path("studies/zoo.py"), None, "results").format_command("report")
    assert command == f"python -m equistudy report studies/zoo.py --weights-dir {tmp_path}"


def test_each_scale_has_a_page_of_its_own() -> None:
    names = {StudyReference(Path("studies/capacity.py"), scale, "results").name for scale in (None, "local", "paper")}
    assert names == {"capacity", "capacity-local", "capacity-paper"}


def test_settings_are_part_of_the_page_and_of_every_command() -> None:
    asked = StudyReference(Path("studies/capacity.py"), None, "results", ("width=2", "recipe.epochs=1"))
    assert asked.name == "capacity-width=2-recipe.epochs=1"
    assert asked.format_command("retry") == (
        "python -m equistudy retry studies/capacity.py --set width=2 --set recipe.epochs=1"
    )
