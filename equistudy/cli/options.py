"""Options that several commands share, and how a command prints its data."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from equistudy.cli.study_reference import DEFAULT_RESULTS

__all__ = [
    "ADDRESS_OPTION",
    "CLUSTER_OPTION",
    "JSON_OPTION",
    "RESOURCE_OPTIONS",
    "RESULTS_OPTION",
    "SCALE_OPTION",
    "SITE_OPTIONS",
    "STUDY_OPTION",
    "STUDY_OPTIONS",
    "WEIGHTS_OPTION",
    "add_options",
    "print_output",
]


def add_options(*several: Callable[..., Any]) -> Callable[..., Any]:
    """Several options in the order in which the help shows them."""
    return lambda function: functools.reduce(lambda inner, option: option(inner), reversed(several), function)


RESULTS_OPTION = click.option(
    "--results", "folder", default=DEFAULT_RESULTS, show_default=True, metavar="PLACE", help="Folder or URL of results."
)
SCALE_OPTION = click.option("--scale", metavar="NAME", help="Another size of the same study, such as paper.")


def _set_weights_folder(ctx: click.Context, option: click.Parameter, folder: Path | None) -> None:
    """Where pretrained weights lie, for everything that this process does."""
    if folder is not None:
        from equistudy.models.weights import set_weights_folder

        set_weights_folder(folder)


WEIGHTS_OPTION = click.option(
    "--weights-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="EQUISTUDY_WEIGHTS",
    expose_value=False,
    callback=_set_weights_folder,
    help="Folder of pretrained weights, NAME.TAG.safetensors or .pth; else the Hugging Face cache.",
)
STUDY_OPTIONS = (click.argument("study", type=click.Path(path_type=Path)), SCALE_OPTION, RESULTS_OPTION, WEIGHTS_OPTION)
STUDY_OPTION = click.option(
    "--study", type=click.Path(path_type=Path), help="Look into this study instead, also for trials not yet run."
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ADDRESS_OPTION = click.option("--address", metavar="HOST:PORT", help="Join a Ray cluster; auto: the one on this node.")
CLUSTER_OPTION = click.option(
    "--cluster", type=click.Path(path_type=Path), metavar="FILE", help="The file of an autoscaling cluster."
)
RESOURCE_OPTIONS = (
    click.option("--cpus-per-trial", default=1.0, show_default=True, help="CPUs of each worker of a trial."),
    click.option("--gpus-per-trial", type=float, help="GPUs of each worker, also fractions. Default: 1 if there are."),
    click.option("--pack", type=int, help="So many trials share each GPU: small networks leave most of it idle."),
    click.option("--workers-per-trial", default=1, show_default=True, help="Processes that share each batch."),
    click.option("--max-concurrent", type=int, help="At most so many trials at once. Default: what fits."),
)
SITE_OPTIONS = (
    ADDRESS_OPTION,
    CLUSTER_OPTION,
    click.option("--num-cpus", type=click.IntRange(1), help="CPUs of a Ray started here. Default: all."),
    *RESOURCE_OPTIONS,
    click.option(
        "--hang-minutes",
        default=60.0,
        show_default=True,
        help="A trial that ends no step for so long is taken to hang.",
    ),
    click.option("--keep-going", is_flag=True, help="Also where the first trials all fail in the same way."),
)


def print_output(told: dict[str, Any] | list[str]) -> None:
    """The data of a command on stdout: a record as JSON, lines as they are."""
    click.echo("\n".join(told) if isinstance(told, list) else json.dumps(told, allow_nan=False))
