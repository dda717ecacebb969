"""The commands about a cluster: launch, attach, jobs, down."""

from pathlib import Path

import click

from equistudy.cli.group import Command
from equistudy.cli.options import RESULTS, SCALE, options, say

__all__ = ["attach", "down", "jobs", "launch"]

CLUSTER = click.argument("cluster", type=click.Path(path_type=Path))
KEEP = click.option("--keep", is_flag=True, help="Leave the cluster up at the end.")


def _tell(line: str) -> None:
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
@options(
    CLUSTER,
    click.argument("study", type=click.Path(path_type=Path)),
    click.argument("words", nargs=-1, metavar="[-- OPTIONS OF run]"),
    SCALE,
    RESULTS,
    click.option("--dry-run", is_flag=True, help="Print every command and check the files; touch nothing."),
    click.option("--detach", is_flag=True, help="Do not follow the study; attach does."),
    KEEP,
)
def launch(
    cluster: Path,
    study: Path,
    words: tuple[str, ...],
    scale: str | None,
    folder: str,
    **how: bool,
) -> None:
    """Bring a cluster up, run the study there, take it down."""
    from equistudy.cli.launching import Wanted, dry_lines, launched

    wanted = Wanted(cluster, study, folder, scale, words)
    if how["dry_run"]:
        say(dry_lines(wanted))
        return
    lines, code = launched(wanted, how["keep"], how["detach"], _tell)
    say(lines)
    click.get_current_context().exit(code)


@click.command(cls=Command, examples=("attach cluster/aws.yaml", "attach cluster/aws.yaml --keep"))
@options(CLUSTER, click.option("--job", metavar="NAME", help="Default: the latest."), KEEP)
def attach(cluster: Path, job: str | None, keep: bool) -> None:
    """Follow a study on a cluster, and take it down at the end."""
    from equistudy.cli.launching import attached

    lines, code = attached(cluster, job, keep, _tell)
    say(lines)
    click.get_current_context().exit(code)


@click.command(cls=Command, examples=("jobs cluster/aws.yaml",))
@options(CLUSTER)
def jobs(cluster: Path) -> None:
    """Print the studies of a cluster, and how they stand."""
    from equistudy.cli.launching import job_lines

    say(job_lines(cluster, _tell))


@click.command(cls=Command, examples=("down cluster/aws.yaml",))
@options(CLUSTER)
def down(cluster: Path) -> None:
    """Take a cluster down, whatever runs on it."""
    from equistudy.cli.launching import taken_down

    taken_down(cluster, _tell)
