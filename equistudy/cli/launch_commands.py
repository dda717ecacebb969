"""The commands about a cluster: launch, attach, jobs, down."""

from pathlib import Path

import click

from equistudy.cli.group import Command
from equistudy.cli.options import RESULTS_OPTION, SCALE_OPTION, add_options, print_output

__all__ = ["attach", "down", "jobs", "launch"]

CLUSTER_ARGUMENT = click.argument("cluster", type=click.Path(path_type=Path))
KEEP_OPTION = click.option("--keep", is_flag=True, help="Keep the cluster running afterwards.")


def _print_progress(line: str) -> None:
    """What happens on the way, on stderr."""
    click.echo(line, err=True)


@click.command(
    cls=Command,
    examples=(
        "launch cluster/local.yaml studies/smoke.py --dry-run",
        "launch cluster/aws.yaml question.py --results s3://bucket",
        "launch cluster/local.yaml question.py -- --keep-going",
    ),
)
@add_options(
    CLUSTER_ARGUMENT,
    click.argument("study", type=click.Path(path_type=Path)),
    click.argument("words", nargs=-1, metavar="[-- OPTIONS OF run]"),
    SCALE_OPTION,
    RESULTS_OPTION,
    click.option("--dry-run", is_flag=True, help="Print every command and check the files without running anything."),
    click.option("--detach", is_flag=True, help="Return after submitting; use attach to follow the study."),
    click.option(
        "--include",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Also send this file or folder that git does not track. May be repeated.",
    ),
    KEEP_OPTION,
)
def launch(
    cluster: Path,
    study: Path,
    words: tuple[str, ...],
    scale: str | None,
    folder: str,
    include: tuple[Path, ...],
    **how: bool,
) -> None:
    """Start a cluster, run the study on it, and shut it down."""
    from equistudy.cli.launching import LaunchRequest, describe_launch, launch_study

    _check_run_options(study, words)
    wanted = LaunchRequest(cluster, study, folder, scale, words, include)
    if how["dry_run"]:
        print_output(describe_launch(wanted))
        return
    lines, code = launch_study(wanted, how["keep"], how["detach"], _print_progress)
    print_output(lines)
    click.get_current_context().exit(code)


def _check_run_options(study: Path, words: tuple[str, ...]) -> None:
    """Refuses what `run` would refuse on the cluster, and what a launch gives it already."""
    for name in ("--address", "--cluster", "--results", "--scale"):
        if any(word == name or word.startswith(f"{name}=") for word in words):
            raise click.UsageError(f"launch passes {name} to run itself, got {name} behind --. Leave it out there.")
    context = click.get_current_context().find_root()
    run = context.command.get_command(context, "run") if isinstance(context.command, click.Group) else None
    if run is not None and "--weights-dir" not in words:  # that folder is the nodes'
        run.make_context("run", [str(study), *words])


@click.command(cls=Command, examples=("attach cluster/aws.yaml", "attach cluster/aws.yaml --keep"))
@add_options(
    CLUSTER_ARGUMENT, click.option("--job", metavar="NAME", help="The job to follow. Default: the latest."), KEEP_OPTION
)
def attach(cluster: Path, job: str | None, keep: bool) -> None:
    """Follow a study on a cluster, then shut the cluster down."""
    from equistudy.cli.launching import attach_to_job

    lines, code = attach_to_job(cluster, job, keep, _print_progress)
    print_output(lines)
    click.get_current_context().exit(code)


@click.command(cls=Command, examples=("jobs cluster/aws.yaml",))
@add_options(CLUSTER_ARGUMENT)
def jobs(cluster: Path) -> None:
    """List the jobs of a cluster and their status."""
    from equistudy.cli.launching import format_jobs

    print_output(format_jobs(cluster, _print_progress))


@click.command(cls=Command, examples=("down cluster/aws.yaml",))
@add_options(CLUSTER_ARGUMENT)
def down(cluster: Path) -> None:
    """Shut a cluster down, even if jobs are running on it."""
    from equistudy.cli.launching import take_cluster_down

    take_cluster_down(cluster, _print_progress)
