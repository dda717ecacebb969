"""Measures any network in one call, without a study."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn

from equistudy.measuring.engine import measure_all
from equistudy.measuring.measure import Measure, MeasuringResult, Subject
from equistudy.measuring.stages import evaluation_mode, find_modules, observe_outputs

__all__ = ["find_stages", "measure"]

OUTPUT = "output"  # what the network itself is called among its layers


def measure(
    network: nn.Module,
    images: Float[Tensor, "N C H W"],
    measures: Measure | Iterable[Measure],
    stages: Mapping[str, str] | Iterable[str] | None = None,
    targets: Int64[Tensor, " N"] | None = None,
    background: float | None = None,
    untrained: nn.Module | None = None,
) -> MeasuringResult:
    """How equivariant a network is: the rows of every measure at every stage, and what could not be measured, and why.

    The network takes batches of `images`, which come as it wants them, normalised, and of one size; one that takes or
    gives anything else is wrapped in a module that translates. `stages` are the paths of its submodules, or a name for
    each path; None: every layer that gives one tensor. Layouts and strides are found out. `targets` are the classes,
    for measures of accuracy. `background` continues the images beyond their border, where its value is known; without
    it, shifts compare windows that are smaller than the images. `untrained` is the same network before its training.

    The network is evaluated on its own device, in evaluation mode, and comes back as it was.
    """
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"Measures look into a torch.nn.Module, got a {type(network).__name__}. Call it in the forward of one."
        )
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        shape = f"shape {list(images.shape)}, {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"Images are floating-point numbers with the axes (N, C, H, W), got {shape}.")
    wanted = (measures,) if isinstance(measures, Measure) else tuple(measures)
    if not wanted or not all(isinstance(each, Measure) for each in wanted):
        raise TypeError(
            f"Measures must be specs, at least one, got {wanted}. For example WithinCorrelation(Translation())."
        )
    if stages is None:
        stages = find_stages(network, images)
    paths = stages if isinstance(stages, Mapping) else {path: path for path in stages}
    channels = images.shape[1]
    subject = Subject(
        network, paths, images, targets, (0.0,) * channels, (1.0,) * channels, background, untrained, seed=0
    )
    return measure_all(wanted, subject)


def find_stages(network: nn.Module, images: Float[Tensor, "N C H W"]) -> dict[str, str]:
    """The path of every layer that gives one tensor with an entry for each image, in the order in which they run.

    Blocks that give what their last layer gave are left out, and so is what runs more than once.
    """
    paths = [path for path, _ in network.named_modules()]
    seen: dict[str, Any] = {}
    again: set[str] = set()

    def look(path: str, output: Any) -> None:
        if path in seen:
            again.add(path)
        seen[path] = output

    like = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), images)
    with evaluation_mode(network), observe_outputs(find_modules(network, {path: path for path in paths}), look):
        network(images[:2].to(like))
    found: dict[str, str] = {}
    known: set[int] = set()
    for path, output in seen.items():
        whole = isinstance(output, Tensor) and output.ndim > 1 and len(output) == min(2, len(images))
        if whole and id(output) not in known and path not in again:
            known.add(id(output))
            found[path or OUTPUT] = path
    return found
