"""How a command looks in its help, and what becomes of an error inside it."""

import click
import pytest
from click.testing import CliRunner

from equistudy.cli.errors import ExitCode
from equistudy.cli.group import EPILOG, Command, CommandGroup
from equistudy.models.resnet import ResNet


@click.group(cls=CommandGroup, epilog=EPILOG)
def tool() -> None:
    """Does things."""


@tool.command(examples=("zebra a", "zebra --loud b"))
@click.option("--loud", is_flag=True, help="Be heard.")
def zebra(loud: bool) -> None:
    """Comes first, though its name is last."""
    ResNet(21)


@tool.command(cls=Command)
def ant() -> None:
    """Fails as nobody meant it to."""
    int("x")


def test_commands_are_listed_in_the_order_of_the_file_and_a_command_is_one_of_ours() -> None:
    told = CliRunner().invoke(tool, ["--help"]).stdout
    assert told.index("Examples:") < told.index("Options:") < told.index("zebra  ") < told.index("ant  ")
    assert isinstance(zebra, Command)
    assert "130 interrupted" in " ".join(told.split())


def test_examples_stand_before_the_options_each_on_its_line() -> None:
    lines = CliRunner().invoke(tool, ["zebra", "--help"]).stdout.splitlines()
    first = lines.index("Examples:")
    expected = ["  python -m equistudy zebra a", "  python -m equistudy zebra --loud b"]
    assert lines[first + 1 : first + 3] == expected
    assert first < lines.index("Options:")


def test_what_a_user_can_cause_is_told_in_a_line() -> None:
    done = CliRunner().invoke(tool, ["zebra"])
    assert done.exit_code == ExitCode.USAGE
    assert done.stderr == "Error: ResNet depth must be 6n + 2, got depth=21. Nearest: 20, 26.\n"


def test_a_bug_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        CliRunner().invoke(tool, ["ant"], catch_exceptions=False)
