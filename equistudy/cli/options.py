"""Options that several commands share, and how a command prints its data."""

import functools
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equistudy.cli.errors import escape_controls
from equistudy.cli.option_types import CPUS, GPUS, MAX_PIXELS, MINUTES, NUMBER, PIXELS, RayAddress
from equistudy.cli.study_reference import DEFAULT_RESULTS, StudyReference
from equistudy.models.weights import WEIGHTS_VARIABLE

if TYPE_CHECKING:
    from equistudy.execution.cluster import Resources

__all__ = [
    "ADDRESS_OPTION",
    "CLUSTER_OPTION",
    "GROUP_OPTIONS",
    "IDENTITY_OPTIONS",
    "IMAGE_OPTIONS",
    "JSON_OPTION",
    "RESOURCE_OPTIONS",
    "RESULTS_OPTION",
    "SCALE_OPTION",
    "SET_OPTION",
    "SITE_OPTIONS",
    "STUDY_OPTION",
    "STUDY_OPTIONS",
    "WEIGHTS_OPTION",
    "ResourceOptions",
    "RunOptions",
    "add_options",
    "collect_options",
    "print_output",
]


def add_options(*several: Callable[..., Any]) -> Callable[..., Any]:
    """Several options in the order in which the help shows them."""
    return lambda function: functools.reduce(lambda inner, option: option(inner), reversed(several), function)


def collect_options(kind: type[Any], argument: str) -> Callable[..., Any]:
    """Hands a command the options that are fields of `kind` as one value, under the name of `argument`."""
    names = list(inspect.signature(kind).parameters)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(**given: Any) -> Any:
            chosen = kind(**{name: given.pop(name) for name in names})
            return function(**given, **{argument: chosen})

        return command

    return decorate


RESULTS_OPTION = click.option(
    "--results",
    "folder",
    default=DEFAULT_RESULTS,
    show_default=True,
    metavar="PLACE",
    help="Folder or URL of the results.",
)
SCALE_OPTION = click.option(
    "--scale", metavar="NAME", help="Use another size that the study file defines, such as 'paper'."
)


def _set_weights_folder(ctx: click.Context, option: click.Parameter, folder: Path | None) -> None:
    """Names the folder of pretrained weights in the environment, where this process and its children look."""
    if folder is not None:
        os.environ[WEIGHTS_VARIABLE] = str(folder.absolute())


WEIGHTS_OPTION = click.option(
    "--weights-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar=WEIGHTS_VARIABLE,
    expose_value=False,
    callback=_set_weights_folder,
    help="Folder with pretrained weights (NAME.TAG.safetensors or .pth). Default: the Hugging Face cache.",
)
SET_OPTION = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace the levels of a factor (width=4,8), the seeds (seeds=0-4) or a field of every trial "
    "(recipe.epochs=2). May be repeated.",
)
STUDY_OPTIONS = (
    click.argument("study", type=click.Path(path_type=Path)),
    SCALE_OPTION,
    SET_OPTION,
    RESULTS_OPTION,
    WEIGHTS_OPTION,
    collect_options(StudyReference, "asked"),
)
STUDY_OPTION = click.option(
    "--study", type=click.Path(path_type=Path), help="Look up the trial in this study, even if it has not run yet."
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
IDENTITY_OPTIONS = (RESULTS_OPTION, STUDY_OPTION, SCALE_OPTION, SET_OPTION, WEIGHTS_OPTION, JSON_OPTION)
ADDRESS_OPTION = click.option(
    "--address",
    type=RayAddress(),
    metavar="HOST:PORT",
    help="Join this Ray cluster; 'auto' finds the one on this node.",
)
CLUSTER_OPTION = click.option(
    "--cluster", type=click.Path(path_type=Path), metavar="FILE", help="Configuration file of an autoscaling cluster."
)
RESOURCE_OPTIONS = (
    click.option(
        "--cpus-per-trial", type=CPUS, default=1.0, show_default=True, help="CPUs for each worker of a trial."
    ),
    click.option(
        "--gpus-per-trial", type=GPUS, help="GPUs for each worker; may be a fraction. Default: 1 if available."
    ),
    click.option("--pack", type=NUMBER, help="Number of trials per GPU; useful for small networks."),
    click.option(
        "--workers-per-trial", type=NUMBER, default=1, show_default=True, help="Data-parallel processes per trial."
    ),
    click.option("--max-concurrent", type=NUMBER, help="Maximum number of concurrent trials. Default: as many as fit."),
)


@dataclass(frozen=True)
class ResourceOptions:
    """What RESOURCE_OPTIONS say: the share of a machine that a trial gets."""

    cpus_per_trial: float
    gpus_per_trial: float | None
    pack: int | None
    workers_per_trial: int
    max_concurrent: int | None

    def build_resources(self, **more: float) -> "Resources":
        """The resources as a run takes them, with `more` of its fields. Raises ValueError for a wrong number."""
        from equistudy.execution.cluster import Resources

        return Resources(
            self.cpus_per_trial,
            self.gpus_per_trial,
            self.workers_per_trial,
            self.max_concurrent,
            pack=self.pack,
            **more,
        )


@dataclass(frozen=True)
class RunOptions(ResourceOptions):
    """What SITE_OPTIONS say: where the trials run, and what ends them."""

    address: str | None
    cluster: Path | None
    num_cpus: int | None
    hang_minutes: float
    keep_going: bool
    in_process: bool

    def __post_init__(self) -> None:
        if not self.in_process:
            return
        given = {
            "--address": self.address,
            "--cluster": self.cluster,
            "--num-cpus": self.num_cpus,
            "--gpus-per-trial": self.gpus_per_trial,
            "--pack": self.pack,
            "--max-concurrent": self.max_concurrent,
            "--workers-per-trial": None if self.workers_per_trial == 1 else self.workers_per_trial,
        }
        named = [f"{option} {value}" for option, value in given.items() if value is not None]
        if named:
            raise ValueError(
                f"--in-process trains one trial after another without Ray, got {' and '.join(named)} as well. "
                "Leave out --in-process, or the others."
            )


SITE_OPTIONS = (
    ADDRESS_OPTION,
    CLUSTER_OPTION,
    click.option("--num-cpus", type=NUMBER, help="CPUs of the local Ray instance. Default: all."),
    *RESOURCE_OPTIONS,
    click.option(
        "--hang-minutes",
        type=MINUTES,
        default=60.0,
        show_default=True,
        help="Kill a trial that completes no step within this many minutes.",
    ),
    click.option("--keep-going", is_flag=True, help="Continue even if the first trials all fail in the same way."),
    click.option(
        "--in-process",
        is_flag=True,
        help="Train one trial after another in this process, without Ray: for small studies and for debugging.",
    ),
    collect_options(RunOptions, "options"),
)


IMAGE_OPTIONS = (
    click.option(
        "--data",
        metavar="PLACE",
        help="Image folder, Parquet file or folder, or folder of CIFAR, MNIST, PatchCamelyon or Flowers-102. Default: "
        "generated dead leaves.",
    ),
    click.option("--images", type=click.IntRange(2, 100_000_000), help="Number of images. Default: 128."),
    click.option("--size", type=PIXELS, help="Input size in pixels. Default: the model's own."),
    click.option(
        "--room",
        type=click.IntRange(0, MAX_PIXELS),
        help="Extra pixels kept on each side of the input, so that shifted images are filled with real content. "
        "Default: what timm crops away (timm networks), a sixteenth of the size (dead leaves), otherwise none.",
    ),
    click.option(
        "--mean", metavar="R,G,B", help="Mean to normalise images in [0, 1] with: one number, or one per channel."
    ),
    click.option("--std", metavar="R,G,B", help="Standard deviation to normalise images in [0, 1] with."),
    click.option(
        "--classes",
        metavar="FILE|NAME",
        help="Needed if the images show only some of the network's classes: all its classes, in the order of its "
        "outputs, as a file with one class per line or a list such as imagenet-1k. Default if folders are named by "
        "WordNet ids: the matching ImageNet list.",
    ),
    click.option(
        "--ema/--no-ema",
        default=None,
        help="Measure the moving average of a checkpoint's weights. Default: use it if there is one.",
    ),
)
GROUP_OPTIONS = (
    click.option(
        "--group",
        "groups",
        multiple=True,
        metavar="NAME:SIZES",
        help="Group and sizes to measure, such as translation:1,4 or rotation:90; 1-4 means 1,2,3,4. "
        "May be repeated. Default: shifts up to an eighth of the image, and quarter turns.",
    ),
    click.option(
        "--border",
        type=click.Choice(["window", "zero", "circular"]),
        help="What fills the border when images shift: the image's margin (window), black (zero), or the opposite "
        "edge (circular). Default: window if the margin is wide enough, otherwise zero.",
    ),
)


def print_output(told: dict[str, Any] | list[str]) -> None:
    """The data of a command on stdout: a record as JSON, lines as they are."""
    click.echo(escape_controls("\n".join(told)) if isinstance(told, list) else json.dumps(told, allow_nan=False))
