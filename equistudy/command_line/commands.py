"""The commands: what to do with a study, and where; never what the study is."""

import functools
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["EXIT_FAILED_TRIALS", "EXIT_INTERRUPTED", "EXIT_USAGE", "cli", "main"]

EXIT_USAGE, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED = 2, 3, 130
DEFAULT_RESULTS = "results"
EPILOG = """Exit codes: 0 done, 1 unexpected error, 2 wrong usage or invalid study, 3 done with failed trials,
130 interrupted."""


class UsageProblem(click.ClickException):
    """What a user can cause: told without a traceback, exit code 2."""

    exit_code = EXIT_USAGE


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """ValueError and OSError carry messages written for the user; everything else is a bug and keeps its traceback."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except (ValueError, OSError) as error:
            raise UsageProblem(str(error)) from error

    return wrapped


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.reduce(lambda inner, option: option(inner), reversed(options), _told(function))

    return decorate


STUDY = click.argument("study", type=click.Path(path_type=Path))
SCALE = click.option("--scale", metavar="NAME", help="Another size of the same study, such as paper.")
RESULTS = click.option(
    "--results", "folder", default=DEFAULT_RESULTS, show_default=True, metavar="PATH", help="Folder or URL of results."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
WHERE = (
    click.option("--address", metavar="HOST:PORT", help="Join a Ray cluster (auto: the one on this node)."),
    click.option("--num-cpus", type=click.IntRange(1), help="CPUs of a Ray started here. Default: all."),
    click.option("--cpus-per-trial", default=1.0, show_default=True, help="CPUs of each worker of a trial."),
    click.option(
        "--gpus-per-trial", type=float, help="GPUs of each worker, also fractions. Default: 1 where there are."
    ),
    click.option(
        "--workers-per-trial", default=1, show_default=True, help="Processes that share each batch of a trial."
    ),
    click.option("--max-concurrent", type=int, help="At most so many trials at once. Default: what fits."),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="equistudy")
def cli() -> None:
    r"""Studies of learned equivariance: one Python file asks one question.

    \b
    equistudy plan studies/capacity.py     what will be trained, and what it costs
    equistudy run studies/capacity.py      train, measure, test the claims, write the report
    """


@cli.command()
@_options(
    STUDY, SCALE, RESULTS, JSON, click.option("--pilot", is_flag=True, help="Train a few steps to learn the cost.")
)
def plan(study: Path, scale: str | None, folder: str, as_json: bool, pilot: bool) -> None:
    """Print the trials, which of them are done, and the cost of the rest."""
    from equistudy.command_line.tables import plan_lines, plan_record
    from equistudy.command_line.work import planned, with_pilot

    _, made = planned(study, scale, folder)
    if pilot:
        made = with_pilot(made)
    click.echo(json.dumps(plan_record(made)) if as_json else "\n".join(plan_lines(made)))


@cli.command()
@_options(STUDY, SCALE, RESULTS, *WHERE, JSON)
def run(study: Path, scale: str | None, folder: str, as_json: bool, **where: Any) -> None:
    """Train and measure what is missing, test the claims and write the report."""
    _run(study, scale, folder, as_json, None, where)


@cli.command()
@_options(
    STUDY,
    SCALE,
    RESULTS,
    *WHERE,
    JSON,
    click.option(
        "--reason", "reasons", multiple=True, metavar="REASON", help="Only failures of this reason. Repeatable."
    ),
)
def retry(study: Path, scale: str | None, folder: str, as_json: bool, reasons: tuple[str, ...], **where: Any) -> None:
    """Run failed trials again: all of them, or those of one reason."""
    from equistudy.study.design import nearest
    from equistudy.training.failures import Reason

    known = [reason.value for reason in Reason]
    for reason in reasons:
        if reason not in known:
            raise ValueError(f"A trial fails for one of: {', '.join(known)}; got {reason!r}. {nearest(reason, known)}")
    _run(study, scale, folder, as_json, reasons, where)


def _run(
    study: Path, scale: str | None, folder: str, as_json: bool, retry: tuple[str, ...] | None, where: dict[str, Any]
) -> None:
    from equistudy.command_line.work import run_and_report

    resume = "python -m equistudy " + " ".join(shlex.quote(argument) for argument in sys.argv[1:])
    ended = run_and_report(study, scale, folder, retry, where, resume)
    click.echo(json.dumps(ended.record) if as_json else "\n".join(ended.lines))
    if ended.interrupted:
        raise SystemExit(EXIT_INTERRUPTED)
    if ended.failed:
        raise SystemExit(EXIT_FAILED_TRIALS)


@cli.command()
@_options(STUDY, SCALE, RESULTS, JSON)
def status(study: Path, scale: str | None, folder: str, as_json: bool) -> None:
    """Count done, running, failed and missing trials, also from another shell while a run goes on."""
    from equistudy.command_line.tables import status_lines, status_record
    from equistudy.command_line.work import planned, running

    _, made = planned(study, scale, folder)
    alive = running(folder, made)
    click.echo(json.dumps(status_record(made, alive)) if as_json else "\n".join(status_lines(made, alive)))


@cli.command()
@_options(
    click.argument("folder", default=DEFAULT_RESULTS),
    click.option(
        "--table", type=click.Choice(["trials", "curves", "measurements"]), default="trials", show_default=True
    ),
    click.option("--csv", "as_csv", is_flag=True, help="All rows and columns as CSV."),
    JSON,
    click.option("--compact", is_flag=True, help="First rewrite the many small files into few."),
)
def results(folder: str, table: str, as_csv: bool, as_json: bool, compact: bool) -> None:
    """Print a table of results."""
    from equistudy.command_line.tables import results_text
    from equistudy.command_line.work import compacted

    if compact:
        click.echo(compacted(folder), err=True)
    click.echo(results_text(folder, table, as_csv, as_json))


@cli.command()
@_options(STUDY, SCALE, RESULTS, JSON)
def report(study: Path, scale: str | None, folder: str, as_json: bool) -> None:
    """Write the report from the results as they are."""
    from equistudy.command_line.work import reported

    page, lines = reported(study, scale, folder)
    click.echo(
        json.dumps({"report": str(page), "verdicts": lines}) if as_json else "\n".join([*lines, f"Report: {page}"])
    )


@cli.command()
@_options(click.argument("trial"), RESULTS, click.option("--study", type=click.Path(path_type=Path)), SCALE, JSON)
def explain(trial: str, folder: str, study: Path | None, scale: str | None, as_json: bool) -> None:
    """Show everything that went into a trial's id (or the beginning of one)."""
    from equistudy.command_line.tables import column_lines
    from equistudy.command_line.work import identity

    columns = identity(trial, folder, study, scale)
    click.echo(json.dumps(columns) if as_json else "\n".join(column_lines(columns)))


@cli.command()
@_options(
    click.argument("a"),
    click.argument("b"),
    RESULTS,
    click.option("--study", type=click.Path(path_type=Path)),
    SCALE,
    JSON,
)
def diff(a: str, b: str, folder: str, study: Path | None, scale: str | None, as_json: bool) -> None:
    """Show in what two trials differ."""
    from equistudy.command_line.tables import difference, difference_lines
    from equistudy.command_line.work import identity

    differs = difference(identity(a, folder, study, scale), identity(b, folder, study, scale))
    click.echo(json.dumps(differs) if as_json else "\n".join(difference_lines(differs)))


@cli.command()
@_options(RESULTS, JSON)
def doctor(folder: str, as_json: bool) -> None:
    """Check this installation: packages, processor, Ray, results folder."""
    from equistudy.command_line.doctor import checks

    found = checks(folder)
    lines = [f"{'ok  ' if check.ok else 'BAD '} {check.name}: {check.found}" for check in found]
    click.echo(json.dumps([check._asdict() for check in found]) if as_json else "\n".join(lines))
    if not all(check.ok for check in found):
        raise SystemExit(1)


def main() -> None:
    """Runs the command line; Ctrl-C before a run has begun ends with 130 as well."""
    try:
        cli.main(prog_name="equistudy", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(EXIT_INTERRUPTED) from None
