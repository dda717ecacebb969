"""The commands: what to do with a study, and where; never what the study is."""

import platform
import shlex
import sys
from functools import partial
from pathlib import Path

import click

from equistudy.cli.errors import ExitCode
from equistudy.cli.group import EPILOG, CommandGroup
from equistudy.cli.launch_commands import attach, down, jobs, launch
from equistudy.cli.network_commands import audit, measure
from equistudy.cli.options import (
    CLUSTER_OPTION,
    IDENTITY_OPTIONS,
    JSON_OPTION,
    RESOURCE_OPTIONS,
    RESULTS_OPTION,
    SCALE_OPTION,
    SITE_OPTIONS,
    STUDY_OPTIONS,
    WEIGHTS_OPTION,
    ResourceOptions,
    RunOptions,
    add_options,
    collect_options,
    print_output,
)
from equistudy.cli.report_commands import compare, export
from equistudy.cli.study_reference import DEFAULT_RESULTS, PROGRAM, StudyReference
from equistudy.cli.watch import LivePage, watch

__all__ = ["cli", "main"]


def _print_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    """Prints the versions that matter and ends."""
    if not asked:
        return
    from equistudy.cli.doctor import get_version

    own = get_version("equistudy") or "from a checkout that is not installed"
    click.echo(
        f"equistudy {own} (python {platform.python_version()}, torch {get_version('torch')}, ray {get_version('ray')})"
    )
    ctx.exit()


@click.group(
    cls=CommandGroup, name="equistudy", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
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
@add_options(
    *STUDY_OPTIONS,
    JSON_OPTION,
    click.option(
        "--check",
        is_flag=True,
        help="Train one step of each cell, and try the claims and figures on sample rows.",
    ),
    click.option("--pilot", is_flag=True, help="Train a few steps of each cell to estimate its cost."),
    CLUSTER_OPTION,
    click.option(
        "--prices",
        type=click.Path(path_type=Path),
        help="Prices for --cluster. Default: prices.yaml next to it.",
    ),
    *RESOURCE_OPTIONS,
    collect_options(ResourceOptions, "options"),
)
def plan(
    asked: StudyReference,
    as_json: bool,
    check: bool,
    pilot: bool,
    cluster: Path | None,
    prices: Path | None,
    options: ResourceOptions,
) -> None:
    """List the trials, their state, and the cost of the rest."""
    from equistudy.cli.costs import parse_costs
    from equistudy.cli.status import add_pilot_costs, load_requested_study, plan_study
    from equistudy.cli.tables import build_plan_record, format_plan

    known, made = plan_study(load_requested_study(asked), asked.folder)
    if check:
        from equistudy.cli.checking import check_study

        for line in check_study(known, made, lambda line: click.echo(line, err=True)):
            click.echo(line, err=True)
    if pilot:
        made = add_pilot_costs(made, lambda line: click.echo(line, err=True))
    costs = parse_costs(cluster, prices, options)
    if as_json:
        print_output(build_plan_record(made) | ({"cluster": costs.build_record(made)} if costs else {}))
    else:
        print_output(
            [*format_plan(made, known.study.design.count_draws()), *(costs.format_lines(made) if costs else [])]
        )


@cli.command(
    examples=(
        "run studies/capacity.py",
        "run studies/capacity.py --scale paper --address auto",
        "run studies/capacity.py --results s3://bucket/results",
        "run studies/capacity.py --gpus-per-trial 0.25",
        "run studies/capacity.py --set recipe.epochs=2",
    )
)
@add_options(
    *STUDY_OPTIONS,
    *SITE_OPTIONS,
    click.option(
        "--fetch", "fetch_first", is_flag=True, help="First download the datasets and weights that the study lacks."
    ),
    click.option("--watch", "with_page", is_flag=True, help="Show the run on a page in the browser; see `watch`."),
    JSON_OPTION,
)
def run(asked: StudyReference, options: RunOptions, as_json: bool, fetch_first: bool, with_page: bool) -> None:
    """Train and measure what is missing, then write the report."""
    if fetch_first:
        from equistudy.cli.fetching import fetch_for_study

        fetch_for_study(asked.study, asked.scale)
    page = LivePage(asked) if with_page else None  # it ends with the reference to it
    if page is not None:
        page.announce(partial(click.echo, err=True))
    _run_command(asked, None, options, as_json)


@cli.command(examples=("status studies/capacity.py", "status studies/capacity.py --json"))
@add_options(*STUDY_OPTIONS, JSON_OPTION)
def status(asked: StudyReference, as_json: bool) -> None:
    """Show which trials are done, running, failed or missing."""
    from equistudy.cli.status import (
        list_failures,
        list_mixed_architectures,
        list_running,
        load_requested_study,
        plan_study,
    )
    from equistudy.cli.tables import build_status_record, format_status

    _, made = plan_study(load_requested_study(asked), asked.folder)
    mixed = list_mixed_architectures(asked.folder, made)
    record = build_status_record(made, list_running(asked.folder, made), list_failures(asked.folder, made), mixed)
    print_output(record if as_json else format_status(record, asked.format_command("retry")))


cli.add_command(watch)


@cli.command(examples=("retry studies/capacity.py", 'retry studies/capacity.py --reason "out of memory"'))
@add_options(
    *STUDY_OPTIONS,
    *SITE_OPTIONS,
    JSON_OPTION,
    click.option(
        "--reason",
        "reasons",
        multiple=True,
        metavar="REASON",
        help="Retry only failures with this reason; may be repeated.",
    ),
)
def retry(asked: StudyReference, options: RunOptions, as_json: bool, reasons: tuple[str, ...]) -> None:
    """Rerun failed trials, and run those that are missing."""
    from equistudy.study.design import suggest_names
    from equistudy.training.failures import FailureReason

    known = [reason.value for reason in FailureReason]
    for reason in reasons:
        if reason not in known:
            raise ValueError(f"Unknown failure reason, got {reason!r}. {suggest_names(reason, known)}")
    _run_command(asked, reasons, options, as_json)


def _run_command(asked: StudyReference, retry: tuple[str, ...] | None, options: RunOptions, as_json: bool) -> None:
    """Both commands that train."""
    from equistudy.cli.run import RunRequest, run_and_report

    resume = f"{PROGRAM} {shlex.join(sys.argv[1:])}"
    ended = run_and_report(RunRequest(asked, retry, options, resume))
    if as_json or ended.lines:
        print_output(ended.record if as_json else ended.lines)
    click.get_current_context().exit(ended.code)


@cli.command(examples=("results", "results --table measurements --csv > rows.csv"))
@add_options(
    click.argument("place", default=DEFAULT_RESULTS),
    click.option(
        "--table", type=click.Choice(["trials", "curves", "measurements"]), default="trials", show_default=True
    ),
    click.option("--csv", "as_csv", is_flag=True, help="Print all rows and columns as CSV."),
    click.option("--json", "as_json", is_flag=True, help="Print all rows and columns as JSON."),
    click.option("--compact", is_flag=True, help="First merge the many small files into a few."),
)
def results(place: str, table: str, as_csv: bool, as_json: bool, compact: bool) -> None:
    """Print a table of results, of one study or several."""
    from equistudy.cli.tables import format_frame
    from equistudy.results import results as read_results
    from equistudy.results.export import write_safe_csv

    if as_csv and as_json:
        raise click.UsageError("Use either --csv or --json, got both.")
    if compact:
        from equistudy.cli.run import compact_results

        click.echo(compact_results(place), err=True)
    rows = getattr(read_results(place), table).collect()
    if as_csv:
        click.echo(write_safe_csv(rows), nl=False)
    elif as_json:
        click.echo(rows.write_json())
    else:
        click.echo("\n".join(format_frame(rows)))


@cli.command(examples=("report studies/capacity.py", "report studies/capacity.py --results s3://bucket/results"))
@add_options(*STUDY_OPTIONS, JSON_OPTION)
def report(asked: StudyReference, as_json: bool) -> None:
    """Write the report from the current results."""
    from equistudy.cli.run import report_study

    page, verdicts = report_study(asked)
    print_output({"report": page, "verdicts": verdicts} if as_json else [*verdicts, f"Report: {page}"])


@cli.command(examples=("explain t_7fcb", "explain t_7fcb --study studies/capacity.py"))
@add_options(click.argument("trial"), *IDENTITY_OPTIONS)
def explain(
    trial: str, folder: str, study: Path | None, scale: str | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Show everything that determines a trial's id."""
    from equistudy.cli.status import find_identity
    from equistudy.cli.tables import format_columns

    columns = find_identity(trial, StudyReference(study, scale, folder, settings) if study else None, folder)
    print_output(columns if as_json else format_columns(columns))


@cli.command(examples=("diff t_7fcb t_d64b", "diff t_7fcb t_d64b --study studies/capacity.py"))
@add_options(click.argument("a"), click.argument("b"), *IDENTITY_OPTIONS)
def diff(
    a: str, b: str, folder: str, study: Path | None, scale: str | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Show how two trials differ."""
    from equistudy.cli.status import find_identity
    from equistudy.cli.tables import compare_columns, format_differences

    asked = StudyReference(study, scale, folder, settings) if study else None
    differs = compare_columns(find_identity(a, asked, folder), find_identity(b, asked, folder))
    print_output(differs if as_json else format_differences(differs))


for command in (audit, measure, export, compare, launch, attach, jobs, down):
    cli.add_command(command)


@cli.command(examples=("new my_question.py",))
@add_options(click.argument("path", type=click.Path(dir_okay=False, path_type=Path)))
def new(path: Path) -> None:
    """Write a small study that runs as it is."""
    from equistudy.cli.new_study import write_study

    print_output(write_study(path))


@cli.command(
    examples=(
        "fetch mnist cifar10",
        "fetch resnet50.a1_in1k",
        "fetch studies/capacity.py --scale paper --dry-run",
        "fetch --list",
    )
)
@add_options(
    click.argument("words", nargs=-1, metavar="[DATASET|STUDY.py|NAME.TAG]..."),
    SCALE_OPTION,
    click.option(
        "--into",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the datasets. Default: where the study reads them, or EQUISTUDY_DATA, or data.",
    ),
    click.option(
        "--list", "as_list", is_flag=True, help="List the datasets with size and licence, and say which are present."
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be downloaded, its source and its size."),
    WEIGHTS_OPTION,
    JSON_OPTION,
)
def fetch(
    words: tuple[str, ...], scale: str | None, into: Path | None, as_list: bool, dry_run: bool, as_json: bool
) -> None:
    """Download datasets and pretrained weights, and check them."""
    from equistudy.cli.fetching import build_list, build_plan, fetch_all, find_requested, format_list, format_plan

    if as_list == bool(words):
        raise click.UsageError("Name what to fetch, such as mnist, or use --list alone.")
    if as_list:
        rows = build_list(into)
        print_output({"datasets": rows} if as_json else format_list(rows))
        return
    asked = find_requested(words, scale, into)
    if dry_run:
        made = build_plan(asked)
        print_output(made if as_json else format_plan(made))
        return
    found = fetch_all(asked, into)
    print_output(found if as_json else [f"{name}: {place}" for name, place in found.items()])


@cli.command(examples=("doctor", "doctor --results s3://bucket/results"))
@add_options(RESULTS_OPTION, JSON_OPTION)
def doctor(folder: str, as_json: bool) -> None:
    """Check this installation and suggest fixes."""
    from equistudy.cli.doctor import run_checks

    found = []
    for check in run_checks(folder):
        found.append(check)
        if not as_json:
            click.echo(str(check))
    if as_json:
        print_output({"checks": [check._asdict() for check in found]})
    if not all(check.ok for check in found):
        click.get_current_context().exit(ExitCode.UNEXPECTED)


def main() -> None:
    """Runs the command line; Ctrl-C ends with 130 wherever it comes, and a reader of stdout may leave early."""
    stdout = sys.stdout
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except SystemExit:
        # click ends with 1 where whoever reads stdout has seen enough, and wraps stdout so that no flush fails any more
        if sys.stdout is not stdout:
            raise SystemExit(ExitCode.DONE) from None
        raise
    raise SystemExit(code)
