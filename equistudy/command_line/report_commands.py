"""Commands that tell others what was found."""

from pathlib import Path

import click

from equistudy.command_line.group import Command
from equistudy.command_line.options import RESULTS, SCALE, WEIGHTS, options, say

__all__ = ["export"]


@click.command(
    cls=Command,
    examples=("export findings studies/capacity.py --into studies",),
)
@options(
    click.argument("form", type=click.Choice(["findings"]), metavar="FORM"),
    click.argument("studies", type=click.Path(path_type=Path), nargs=-1, metavar="[STUDY]..."),
    SCALE,
    RESULTS,
    WEIGHTS,
    click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder to write to. Default: here."),
)
def export(form: str, studies: tuple[Path, ...], scale: str | None, folder: str, into: Path) -> None:
    """Write results in another form: findings."""
    from equistudy.command_line.exporting import export_findings

    say(export_findings(studies, scale, folder, into))
