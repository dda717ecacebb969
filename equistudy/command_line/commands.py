"""The commands: what to do with a study, and where; never what the study is."""

import functools
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from equistudy.command_line.asked import DEFAULT_RESULTS, PROGRAM, Asked
from equistudy.command_line.errors import Exit, message_of

__all__ = ["cli", "main"]

EPILOG = (
    f"Exit codes: {Exit.DONE} done, {Exit.UNEXPECTED} unexpected error, {Exit.USAGE} wrong usage or invalid study, "
    f"{Exit.FAILED_TRIALS} done with failed trials, {Exit.INTERRUPTED} interrupted. Data goes to stdout, everything "
    "else to stderr."
)


class _Told(click.ClickException):
    """What a user can cause: told without a traceback."""

    exit_code = Exit.USAGE


class _Command(click.Command):
    """A command whose help shows examples before the options, and whose errors are told if a user can cause them."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, then the options."""
        _write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = message_of(error)
            if message is None:
                raise
            raise _Told(message) from error


class _Group(click.Group):
    """The commands in the order in which they are used."""

    command_class = _Command
    examples = (
        "plan studies/capacity.py     what will be trained, and what it costs",
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


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options in the order in which the help shows them."""
    return lambda function: functools.reduce(lambda inner, option: option(inner), reversed(options), function)


RESULTS = click.option(
    "--results", "folder", default=DEFAULT_RESULTS, show_default=True, metavar="PLACE", help="Folder or URL of results."
)
SCALE = click.option("--scale", metavar="NAME", help="Another size of the same study, such as paper.")


def _search_weights(ctx: click.Context, option: click.Parameter, folder: Path | None) -> None:
    """Where pretrained weights lie, for everything that this process does."""
    if folder is not None:
        from equistudy.models.weights import search_in

        search_in(folder)


WEIGHTS = click.option(
    "--weights-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="EQUISTUDY_WEIGHTS",
    expose_value=False,
    callback=_search_weights,
    help="Folder of pretrained weights, NAME.TAG.safetensors or .pth; else the Hugging Face cache.",
)
STUDY = (click.argument("study", type=click.Path(path_type=Path)), SCALE, RESULTS, WEIGHTS)
OF_STUDY = click.option(
    "--study", type=click.Path(path_type=Path), help="Look into this study instead, also for trials not yet run."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ADDRESS = click.option("--address", metavar="HOST:PORT", help="Join a Ray cluster; auto: the one on this node.")
WHERE = (
    ADDRESS,
    click.option(
        "--cluster", type=click.Path(path_type=Path), metavar="FILE", help="The file of an autoscaling cluster."
    ),
    click.option("--num-cpus", type=click.IntRange(1), help="CPUs of a Ray started here. Default: all."),
    click.option("--cpus-per-trial", default=1.0, show_default=True, help="CPUs of each worker of a trial."),
    click.option("--gpus-per-trial", type=float, help="GPUs of each worker, also fractions. Default: 1 if there are."),
    click.option("--workers-per-trial", default=1, show_default=True, help="Processes that share each batch."),
    click.option("--max-concurrent", type=int, help="At most so many trials at once. Default: what fits."),
)


def _say(told: dict[str, Any] | list[str]) -> None:
    """The data of a command on stdout: a record as JSON, lines as they are."""
    click.echo("\n".join(told) if isinstance(told, list) else json.dumps(told, allow_nan=False))


def _print_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    """Prints the versions that matter and ends."""
    if not asked:
        return
    from equistudy.command_line.doctor import version

    own = version("equistudy") or "from a checkout that is not installed"
    click.echo(f"equistudy {own} (python {platform.python_version()}, torch {version('torch')}, ray {version('ray')})")
    ctx.exit()


@click.group(cls=_Group, name="equistudy", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print versions."
)
def cli() -> None:
    """Studies of learned equivariance: one Python file asks one question."""


@cli.command(examples=("plan studies/capacity.py", "plan studies/capacity.py --scale paper --pilot"))
@_options(*STUDY, JSON, click.option("--pilot", is_flag=True, help="Train a few steps of each cell to learn its cost."))
def plan(study: Path, scale: str | None, folder: str, as_json: bool, pilot: bool) -> None:
    """Print the trials, which are done, and the cost of the rest."""
    from equistudy.command_line.standing import planned, read, samples_of, with_pilot
    from equistudy.command_line.tables import plan_lines, plan_record

    known, made = planned(read(Asked(study, scale, folder)), folder)
    if pilot:
        made = with_pilot(made, lambda line: click.echo(line, err=True))
    _say(plan_record(made) if as_json else plan_lines(made, samples_of(known)))


@cli.command(
    examples=(
        "run studies/capacity.py",
        "run studies/capacity.py --scale paper --address auto",
        "run studies/capacity.py --results s3://bucket/results",
        "run studies/capacity.py --gpus-per-trial 0.25",
    )
)
@_options(*STUDY, *WHERE, JSON)
def run(study: Path, scale: str | None, folder: str, as_json: bool, **where: Any) -> None:
    """Train and measure what is missing, then test and report."""
    _run(study, scale, folder, as_json, None, where)


@cli.command(examples=("status studies/capacity.py", "status studies/capacity.py --json"))
@_options(*STUDY, JSON)
def status(study: Path, scale: str | None, folder: str, as_json: bool) -> None:
    """Print what is done, running, failed and missing."""
    from equistudy.command_line.standing import failures, planned, read, running
    from equistudy.command_line.tables import status_lines, status_record

    asked = Asked(study, scale, folder)
    _, made = planned(read(asked), folder)
    record = status_record(made, running(folder, made), failures(folder, made))
    _say(record if as_json else status_lines(record, asked.command("retry")))


@cli.command(examples=("retry studies/capacity.py", 'retry studies/capacity.py --reason "out of memory"'))
@_options(
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
    from equistudy.command_line.work import run_and_report

    resume = f"{PROGRAM} {shlex.join(sys.argv[1:])}"
    ended = run_and_report(Asked(study, scale, folder), retry, where, resume)
    if as_json or ended.lines:
        _say(ended.record if as_json else ended.lines)
    click.get_current_context().exit(ended.code)


@cli.command(examples=("results", "results --table measurements --csv > rows.csv"))
@_options(
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
    from equistudy.command_line.tables import frame_lines
    from equistudy.results.results import results as read_results

    if as_csv and as_json:
        raise click.UsageError("A table is printed in one form, got --csv and --json. Choose one.")
    if compact:
        from equistudy.command_line.work import compacted

        click.echo(compacted(place), err=True)
    rows = getattr(read_results(place), table).collect()
    if as_csv:
        click.echo(rows.write_csv(), nl=False)
    elif as_json:
        click.echo(rows.write_json())
    else:
        click.echo("\n".join(frame_lines(rows)))


@cli.command(examples=("report studies/capacity.py", "report studies/capacity.py --results s3://bucket/results"))
@_options(*STUDY, JSON)
def report(study: Path, scale: str | None, folder: str, as_json: bool) -> None:
    """Write the report from the results as they are."""
    from equistudy.command_line.work import reported

    page, verdicts = reported(Asked(study, scale, folder))
    _say({"report": page, "verdicts": verdicts} if as_json else [*verdicts, f"Report: {page}"])


@cli.command(examples=("explain t_7fcb", "explain t_7fcb --study studies/capacity.py"))
@_options(click.argument("trial"), RESULTS, OF_STUDY, SCALE, WEIGHTS, JSON)
def explain(trial: str, folder: str, study: Path | None, scale: str | None, as_json: bool) -> None:
    """Print everything that went into a trial's id."""
    from equistudy.command_line.standing import identity
    from equistudy.command_line.tables import column_lines

    columns = identity(trial, Asked(study, scale, folder) if study else None, folder)
    _say(columns if as_json else column_lines(columns))


@cli.command(examples=("diff t_7fcb t_d64b", "diff t_7fcb t_d64b --study studies/capacity.py"))
@_options(click.argument("a"), click.argument("b"), RESULTS, OF_STUDY, SCALE, WEIGHTS, JSON)
def diff(a: str, b: str, folder: str, study: Path | None, scale: str | None, as_json: bool) -> None:
    """Print in what two trials differ."""
    from equistudy.command_line.standing import identity
    from equistudy.command_line.tables import difference, difference_lines

    asked = Asked(study, scale, folder) if study else None
    differs = difference(identity(a, asked, folder), identity(b, asked, folder))
    _say(differs if as_json else difference_lines(differs))


@cli.command(
    examples=("audit resnet50 --size 224", 'audit "resnet*" --size 225 --json', "audit network.py:build --size 33x97")
)
@_options(
    click.argument("model", metavar="MODEL|PATTERN|FILE.py:FUNCTION"),
    click.option("--size", required=True, metavar="PIXELS|HxW", help="The size of the images."),
    click.option(
        "--group",
        type=click.Choice(["p4m", "p4", "d2", "c2", "d1"]),
        help="Symmetries of the square. Default: those of the network's group convolutions, else all: p4m.",
    ),
    JSON,
)
def audit(model: str, size: str, group: str | None, as_json: bool) -> None:
    """Print which layers break exact equivariance at an input size."""
    from equistudy.command_line.audit import audit_lines, audited, audits_lines, group_of, size_of

    found = audited(model, size_of(size), group_of(group), lambda line: click.echo(line, err=True))
    if isinstance(found, dict):
        _say(found if as_json else audit_lines(found))
        return
    _say({"audits": found} if as_json else audits_lines(found))
    if any("error" in record for record in found):
        click.get_current_context().exit(Exit.FAILED_TRIALS)


@cli.command(
    examples=(
        "measure resnet50.a1_in1k --plot layers.svg",
        "measure mine.pt --model nets.py:build --data photos/",
        "measure t_7fcb --measure lie_derivative_error",
    )
)
@_options(
    click.argument("target"),
    click.option("--model", metavar="NAME", help="Architecture of a file of weights: timm's name or FILE.py:FUNCTION."),
    click.option("--stages", metavar="PATH,PATH", help="Submodules of FILE.py:FUNCTION. Default: its children."),
    click.option("--data", metavar="PLACE", help="Folder of images, Parquet file or folder. Default: dead-leaves."),
    click.option("--images", type=click.IntRange(2), help="How many images. Default: 128."),
    click.option("--size", type=click.IntRange(8), help="Pixels of the network's input. Default: the model's own."),
    click.option("--group", "groups", multiple=True, metavar="NAME:SIZES", help="translation:4, rotation:90; repeat."),
    click.option("--measure", "measures", multiple=True, metavar="NAME", help="such as within_correlation; repeat."),
    click.option("--plot", type=click.Path(path_type=Path), help="Draw the layer profiles: .svg, .png or .html."),
    RESULTS,
    OF_STUDY,
    SCALE,
    WEIGHTS,
    click.option("--workers", type=click.IntRange(1), help="Processes of one CPU each. Default: as many as CPUs."),
    ADDRESS,
    click.option("--csv", "as_csv", is_flag=True, help="Print all values with all columns as CSV."),
    JSON,
)
def measure(target: str, as_csv: bool, as_json: bool, folder: str, **words: Any) -> None:
    """Measure how equivariant a network is, layer by layer."""
    from equistudy.command_line.measuring import Wanted, measured

    if as_csv and as_json:
        raise click.UsageError("Rows are printed in one form, got --csv and --json. Choose one.")
    where = {name: words.pop(name) for name in ("workers", "address")}
    found = measured(Wanted(target=target, results=folder, **words), where)
    if as_csv:
        click.echo(found.rows.write_csv(), nl=False)
    elif as_json or found.lines():
        _say(found.record() if as_json else found.lines())
    click.get_current_context().exit(found.code)


@cli.command(examples=("doctor", "doctor --results s3://bucket/results"))
@_options(RESULTS, JSON)
def doctor(folder: str, as_json: bool) -> None:
    """Check this installation, and say how to mend it."""
    from equistudy.command_line.doctor import checks

    found = []
    for check in checks(folder):
        found.append(check)
        if not as_json:
            click.echo(str(check))
    if as_json:
        _say({"checks": [check._asdict() for check in found]})
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
