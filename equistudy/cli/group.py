"""How commands look: examples before options, errors told in a line, exit codes in the help."""

from collections.abc import Sequence
from typing import Any

import click

from equistudy.cli.errors import ExitCode, escape_controls, get_user_message
from equistudy.cli.option_types import check_text
from equistudy.cli.plain_warnings import print_warnings_plainly
from equistudy.cli.study_reference import PROGRAM

__all__ = ["EPILOG", "Command", "CommandGroup"]

EPILOG = (
    f"Exit codes: {ExitCode.DONE} done, {ExitCode.UNEXPECTED} unexpected error, {ExitCode.USAGE} wrong usage or "
    "invalid study, "
    f"{ExitCode.FAILED_TRIALS} done with failed trials, {ExitCode.CLUSTER_LOST} Ray's head process lost (run again to "
    f"resume), {ExitCode.INTERRUPTED} interrupted. Data goes to stdout, "
    "everything "
    "else to stderr."
)


class _UserError(click.ClickException):
    """What a user can cause: told without a traceback."""

    exit_code = ExitCode.USAGE


class Command(click.Command):
    """A command whose help shows examples before the options, and whose errors are told if a user can cause them."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, then the options."""
        _write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuses what no option can take before any of them looks at it."""
        check_text(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            with print_warnings_plainly():
                return super().invoke(ctx)
        except Exception as error:
            message = get_user_message(error)
            if message is None:
                raise
            raise _UserError(escape_controls(message)) from error


class CommandGroup(click.Group):
    """The commands in the order in which they are used."""

    command_class = Command
    examples = (
        "plan studies/capacity.py     what will be trained, and at what cost",
        "run studies/capacity.py      train, measure, test the claims, write the report",
        "status studies/capacity.py   from another shell, while it runs",
    )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of this file."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, then options and commands."""
        _write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"  {PROGRAM} {example}\n")
