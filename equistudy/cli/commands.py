"""The commands: what to do with a study, and where; never what the study is."""

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from equistudy.cli.errors import Exit
from equistudy.cli.group import EPILOG, Group
from equistudy.cli.launch_commands import attach, down, jobs, launch
from equistudy.cli.network_commands import audit, measure
from equistudy.cli.options import (
    CLUSTER,
    JSON,
    OF_STUDY,
    RESULTS,
    SCALE,
    SHARE,
    STUDY,
    WEIGHTS,
    WHERE,
    options,
    say,
)
from equistudy.cli.report_commands import compare, export
from equistudy.cli.study_reference import DEFAULT_RESULTS, PROGRAM, Asked

__all__ = ["cli", "main"]


def _print_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    """Prints the versions that matter and ends."""
    if not asked:
        return
    from equistudy.cli.doctor import version

    own = version("equistudy") or "from a checkout that is not installed"
    click.echo(f"equistudy {own} (python {platform.python_version()}, torch {version('torch')}, ray {version('ray')})")
    ctx.exit()


@click.group(cls=Group, name="equistudy", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print versions."
)
def cli() -> None:
    """Studies of learned equivariance: one Python file asks one question."""


@cli.command(
    examples=(
        "plan studies/capacity.py",
        "plan studies/capacity.py --scale paper --pilot",
        "plan studies/capacity.py --cluster cluster/aws.yaml",
    )
)
@options(
    *STUDY,
    JSON,
    click.option("--pilot", is_flag=True, help="Train a few steps of each cell to learn its cost."),
    CLUSTER,
    click.option("--prices", type=click.Path(path_type=Path), help="Price table. Default: prices.yaml beside FILE."),
    *SHARE,
)
def plan(study: Path, scale: str | None, folder: str, as_json: bool, pilot: bool, **where: Any) -> None:
    """Print the trials, which are done, and the cost of the rest."""
    from equistudy.cli.costs import costs_of
    from equistudy.cli.status import planned, read, samples_of, with_pilot
    from equistudy.cli.tables import plan_lines, plan_record

    known, made = planned(read(Asked(study, scale, folder)), folder)
    if pilot:
        made = with_pilot(made, lambda line: click.echo(line, err=True))
    costs = costs_of(where)
    if as_json:
        say(plan_record(made) | ({"cluster": costs.record(made)} if costs else {}))
    else:
        say([*plan_lines(made, samples_of(known)), *(costs.lines(made) if costs else [])])


@cli.command(
    examples=(
        "run studies/capacity.py",
        "run studies/capacity.py --scale paper --address auto",
        "run studies/capacity.py --results s3://bucket/results",
        "run studies/capacity.py --gpus-per-trial 0.25",
    )
)
@options(*STUDY, *WHERE, JSON)
def run(study: Path, scale: str | None, folder: str, as_json: bool, **where: Any) -> None:
    """Train and measure what is missing, then test and report."""
    _run(study, scale, folder, as_json, None, where)


@cli.command(examples=("status studies/capacity.py", "status studies/capacity.py --json"))
@options(*STUDY, JSON)
def status(study: Path, scale: str | None, folder: str, as_json: bool) -> None:
    """Print what is done, running, failed and missing."""
    from equistudy.cli.status import failures, planned, read, running
    from equistudy.cli.tables import status_lines, status_record

    asked = Asked(study, scale, folder)
    _, made = planned(read(asked), folder)
    record = status_record(made, running(folder, made), failures(folder, made))
    say(record if as_json else status_lines(record, asked.command("retry")))


@cli.command(examples=("retry studies/capacity.py", 'retry studies/capacity.py --reason "out of memory"'))
@options(
    *STUDY,
    *WHERE,
    JSON,
    click.option("--reason", "reasons", multiple=True, metavar="REASON", help="Only failures of this reason; repeat."),
)
def retry(study: Path, scale: str | None, folder: str, as_json: bool, reasons: tuple[str, ...], **where: Any) -> None:
    """Run failed trials again, and what is missing."""
    from equistudy.study.design import nearest
    from equistudy.training.failures import Reason

    known = [reason.value for reason in Reason]
    for reason in reasons:
        if reason not in known:
            raise ValueError(f"A trial fails for one of the known reasons, got {reason!r}. {nearest(reason, known)}")
    _run(study, scale, folder, as_json, reasons, where)


def _run(
    study: Path, scale: str | None, folder: str, as_json: bool, retry: tuple[str, ...] | None, where: dict[str, Any]
) -> None:
    """Both commands that train."""
    from equistudy.cli.run import run_and_report

    resume = f"{PROGRAM} {shlex.join(sys.argv[1:])}"
    ended = run_and_report(Asked(study, scale, folder), retry, where, resume)
    if as_json or ended.lines:
        say(ended.record if as_json else ended.lines)
    click.get_current_context().exit(ended.code)


@cli.command(examples=("results", "results --table measurements --csv > rows.csv"))
@options(
    click.argument("place", default=DEFAULT_RESULTS),
    click.option(
        "--table", type=click.Choice(["trials", "curves", "measurements"]), default="trials", show_default=True
    ),
    click.option("--csv", "as_csv", is_flag=True, help="Print all rows and columns as CSV."),
    click.option("--json", "as_json", is_flag=True, help="Print all rows and columns as JSON."),
    click.option("--compact", is_flag=True, help="First rewrite the many small files into few."),
)
def results(place: str, table: str, as_csv: bool, as_json: bool, compact: bool) -> None:
    """Print a table of results, of one study or several."""
    from equistudy.cli.tables import frame_lines
    from equistudy.results.results import results as read_results

    if as_csv and as_json:
        raise click.UsageError("A table is printed in one form, got --csv and --json. Choose one.")
    if compact:
        from equistudy.cli.run import compacted

        click.echo(compacted(place), err=True)
    rows = getattr(read_results(place), table).collect()
    if as_csv:
        click.echo(rows.write_csv(), nl=False)
    elif as_json:
        click.echo(rows.write_json())
    else:
        click.echo("\n".join(frame_lines(rows)))


@cli.command(examples=("report studies/capacity.py", "report studies/capacity.py --results s3://bucket/results"))
@options(*STUDY, JSON)
def report(study: Path, scale: str | None, folder: str, as_json: bool) -> None:
    """Write the report from the results as they are."""
    from equistudy.cli.run import reported

    page, verdicts = reported(Asked(study, scale, folder))
    say({"report": page, "verdicts": verdicts} if as_json else [*verdicts, f"Report: {page}"])


@cli.command(examples=("explain t_7fcb", "explain t_7fcb --study studies/capacity.py"))
@options(click.argument("trial"), RESULTS, OF_STUDY, SCALE, WEIGHTS, JSON)
def explain(trial: str, folder: str, study: Path | None, scale: str | None, as_json: bool) -> None:
    """Print everything that went into a trial's id."""
    from equistudy.cli.status import identity
    from equistudy.cli.tables import column_lines

    columns = identity(trial, Asked(study, scale, folder) if study else None, folder)
    say(columns if as_json else column_lines(columns))


@cli.command(examples=("diff t_7fcb t_d64b", "diff t_7fcb t_d64b --study studies/capacity.py"))
@options(click.argument("a"), click.argument("b"), RESULTS, OF_STUDY, SCALE, WEIGHTS, JSON)
def diff(a: str, b: str, folder: str, study: Path | None, scale: str | None, as_json: bool) -> None:
    """Print in what two trials differ."""
    from equistudy.cli.status import identity
    from equistudy.cli.tables import difference, difference_lines

    asked = Asked(study, scale, folder) if study else None
    differs = difference(identity(a, asked, folder), identity(b, asked, folder))
    say(differs if as_json else difference_lines(differs))


for command in (audit, measure, export, compare, launch, attach, jobs, down):
    cli.add_command(command)


@cli.command(examples=("doctor", "doctor --results s3://bucket/results"))
@options(RESULTS, JSON)
def doctor(folder: str, as_json: bool) -> None:
    """Check this installation, and say how to mend it."""
    from equistudy.cli.doctor import checks

    found = []
    for check in checks(folder):
        found.append(check)
        if not as_json:
            click.echo(str(check))
    if as_json:
        say({"checks": [check._asdict() for check in found]})
    if not all(check.ok for check in found):
        click.get_current_context().exit(Exit.UNEXPECTED)


def main() -> None:
    """Runs the command line; Ctrl-C ends with 130 wherever it comes, and a reader of stdout may leave early."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:  # whoever reads stdout has seen enough
        # what Python still has to flush at its end goes nowhere as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(Exit.DONE) from None
    raise SystemExit(code)
