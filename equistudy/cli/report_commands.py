"""Commands that tell others what was found."""

from pathlib import Path

import click

from equistudy.cli.group import Command
from equistudy.cli.options import RESULTS_OPTION, SCALE_OPTION, WEIGHTS_OPTION, add_options, print_output

__all__ = ["compare", "export"]

EXPORT_FORMS = ("findings", "appendix", "bibtex", "tensorboard", "mlflow", "wandb")


@click.command(
    cls=Command,
    examples=(
        "export findings studies/capacity.py --into studies",
        "export appendix studies/capacity.py",
        "export wandb --into wandb-runs",
    ),
)
@add_options(
    click.argument("form", type=click.Choice(EXPORT_FORMS), metavar="|".join(EXPORT_FORMS)),
    click.argument("studies", type=click.Path(path_type=Path), nargs=-1, metavar="[STUDY]..."),
    SCALE_OPTION,
    RESULTS_OPTION,
    WEIGHTS_OPTION,
    click.option(
        "--into",
        type=click.Path(path_type=Path),
        default=Path(),
        help="Folder to write to. Default: the current folder.",
    ),
)
def export(form: str, studies: tuple[Path, ...], scale: str | None, folder: str, into: Path) -> None:
    """Export findings or results to another format.

    findings: FINDINGS.md and the rows behind it. appendix: compute, seeds, versions, licences. bibtex: the studies and
    the papers that they cite. tensorboard, mlflow, wandb: trials as runs of that tracker, written offline; without a
    study, all trials of the results.
    """
    from equistudy.cli import exporting

    forms = {
        "findings": exporting.export_findings,
        "appendix": exporting.export_appendix,
        "bibtex": exporting.export_bibtex,
    }
    if form in forms:
        print_output(forms[form](studies, scale, folder, into))
    else:
        print_output(exporting.export_runs(form, studies, scale, folder, into))


@click.command(cls=Command, examples=("compare studies/capacity.py studies/augmentation.py",))
@add_options(
    click.argument("studies", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="STUDY STUDY..."),
    RESULTS_OPTION,
    WEIGHTS_OPTION,
)
def compare(studies: tuple[Path, ...], folder: str) -> None:
    """Write one page that compares several studies.

    A network that several studies share counts once. Values from other revisions of a measure are left out, and the
    page says so.
    """
    from equistudy.cli.exporting import plan_comparison

    print_output(plan_comparison(studies, folder))
