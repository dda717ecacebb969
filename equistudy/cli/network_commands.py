"""The commands about one network: audit and measure."""

from pathlib import Path
from typing import Any

import click

from equistudy.cli.errors import ExitCode
from equistudy.cli.group import Command
from equistudy.cli.option_types import NUMBER
from equistudy.cli.options import (
    ADDRESS_OPTION,
    GROUP_OPTIONS,
    IMAGE_OPTIONS,
    JSON_OPTION,
    RESULTS_OPTION,
    SCALE_OPTION,
    STUDY_OPTION,
    WEIGHTS_OPTION,
    add_options,
    print_output,
)

__all__ = ["audit", "measure"]


@click.command(
    cls=Command,
    examples=("audit resnet50 --size 224", 'audit "resnet*" --size 225 --json', "audit network.py:build --size 33x97"),
)
@add_options(
    click.argument("model", metavar="MODEL|PATTERN|FILE.py:FUNCTION"),
    click.option("--size", required=True, metavar="PIXELS|HxW", help="Size of the input images."),
    click.option(
        "--group",
        type=click.Choice(["p4m", "p4", "d2", "c2", "d1"]),
        help="Symmetry group. Default: that of the network's group convolutions, otherwise p4m.",
    ),
    click.option("--channels", type=NUMBER, help="Channels of the images. Default: those of the first convolution."),
    JSON_OPTION,
)
def audit(model: str, size: str, group: str | None, channels: int | None, as_json: bool) -> None:
    """Find the layers that break exact equivariance at an input size."""
    from equistudy.cli.audit import format_audit, format_audits, parse_group, parse_size, run_audit

    found = run_audit(model, parse_size(size), parse_group(group), channels, lambda line: click.echo(line, err=True))
    if isinstance(found, dict):
        print_output(found if as_json else format_audit(found))
        return
    print_output({"audits": found} if as_json else format_audits(found))
    if any("error" in record for record in found):
        click.get_current_context().exit(ExitCode.FAILED_TRIALS)


@click.command(
    cls=Command,
    examples=(
        "measure resnet50.a1_in1k --plot layers.svg",
        "measure mine.pt --model nets.py:build --data photos/",
        "measure t_7fcb --measure lie_derivative_error",
    ),
)
@add_options(
    click.argument("target"),
    click.option("--model", metavar="NAME", help="Architecture for a weights file: a timm name or FILE.py:FUNCTION."),
    click.option(
        "--stages", metavar="PATH,PATH", help="Submodules of FILE.py:FUNCTION to measure. Default: its children."
    ),
    *IMAGE_OPTIONS,
    *GROUP_OPTIONS,
    click.option(
        "--measure",
        "measures",
        multiple=True,
        metavar="NAME",
        help="Measure, such as within_correlation. May be repeated.",
    ),
    click.option("--bf16", is_flag=True, help="Run forward passes in bfloat16; correlations change by about 1e-3."),
    click.option(
        "--plot", type=click.Path(path_type=Path), help="Draw the layer profiles to an .svg, .png or .html file."
    ),
    RESULTS_OPTION,
    STUDY_OPTION,
    SCALE_OPTION,
    WEIGHTS_OPTION,
    click.option("--workers", type=NUMBER, help="Number of single-CPU worker processes. Default: one per CPU."),
    ADDRESS_OPTION,
    click.option("--csv", "as_csv", is_flag=True, help="Print all values with all columns as CSV."),
    JSON_OPTION,
)
def measure(target: str, as_csv: bool, as_json: bool, folder: str, **words: Any) -> None:
    """Measure how equivariant a network is, layer by layer."""
    from equistudy.cli.measuring import MeasuringRequest, measure_target
    from equistudy.results.export import write_safe_csv

    if as_csv and as_json:
        raise click.UsageError("Use either --csv or --json, got both.")
    where = {name: words.pop(name) for name in ("workers", "address")}
    found = measure_target(MeasuringRequest(target=target, results=folder, **words), where)
    if as_csv:
        click.echo(write_safe_csv(found.rows), nl=False)
    elif as_json or found.format_lines():
        print_output(found.build_record() if as_json else found.format_lines())
    click.get_current_context().exit(found.code)
