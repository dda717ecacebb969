"""Commands that tell others what was found."""

from pathlib import Path

import click

from equistudy.cli.group import Command
from equistudy.cli.options import RESULTS, SCALE, WEIGHTS, options, say

__all__ = ["compare", "export"]

FORMS = ("findings", "appendix", "bibtex", "tensorboard", "mlflow", "wandb")


@click.command(
    cls=Command,
    examples=(
        "export findings studies/capacity.py --into studies",
        "export appendix studies/capacity.py",
        "export wandb --into wandb-runs",
    ),
)
@options(
    click.argument("form", type=click.Choice(FORMS), metavar="|".join(FORMS)),
    click.argument("studies", type=click.Path(path_type=Path), nargs=-1, metavar="[STUDY]..."),
    SCALE,
    RESULTS,
    WEIGHTS,
    click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder to write to. Default: here."),
)
def export(form: str, studies: tuple[Path, ...], scale: str | None, folder: str, into: Path) -> None:
    """Write what was found in another form.

    findings: FINDINGS.md, and the rows behind it. appendix: compute, seeds, versions, licences. bibtex: the studies and
    the papers they name. The others: trials as runs of that tracker, without a network; of all results if no study is
    named.
    """
    from equistudy.cli import exporting

    forms = {
        "findings": exporting.export_findings,
        "appendix": exporting.export_appendix,
        "bibtex": exporting.export_bibtex,
    }
    if form in forms:
        say(forms[form](studies, scale, folder, into))
    else:
        say(exporting.export_runs(form, studies, scale, folder, into))


@click.command(cls=Command, examples=("compare studies/capacity.py studies/augmentation.py",))
@options(
    click.argument("studies", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="STUDY STUDY..."),
    RESULTS,
    WEIGHTS,
)
def compare(studies: tuple[Path, ...], folder: str) -> None:
    """Write one page about several studies.

    Networks that they share count once; values of other revisions of a measure are left out, and the page says so.
    """
    from equistudy.cli.exporting import compared

    say(compared(studies, folder))
