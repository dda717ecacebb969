"""Forward-mode derivatives of the stages of a network along a flow, by hooks."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from equistudy.groups.group import Grid
from equistudy.measuring.flow import Flow
from equistudy.measuring.geometry import Geometry, OutputLayout
from equistudy.measuring.stages import HookPoint, evaluation_mode, observe_outputs

__all__ = [
    "OUTPUT",
    "DifferentiableNetwork",
    "LocatedStage",
    "StageDerivatives",
    "compute_contributions",
    "differentiable_evaluation",
    "differentiate_at_zero",
]

OUTPUT = ""  # the network's own output, beside the named stages


class StageDerivatives(NamedTuple):
    """For one stage and one flow: the features, d/dt f(g(t) x) and, for maps, d/dt g(t) f(x)."""

    features: Float[Tensor, "B ..."]
    moved: Float[Tensor, "B ..."]
    own: Float[Tensor, "B ..."] | None


class LocatedStage(NamedTuple):
    """A stage whose geometry is known."""

    name: str
    point: nn.Module | HookPoint
    geometry: Geometry


class DifferentiableNetwork(NamedTuple):
    """A network that takes prepared images, and its stages of known geometry."""

    network: nn.Module
    stages: list[LocatedStage]
    grid: Grid

    def differentiate_stages(
        self, images: Float[Tensor, "B C H W"], flows: Sequence[Flow]
    ) -> list[dict[str, StageDerivatives]]:
        """The derivatives of every stage for each flow, from one forward-mode pass.

        If the network uses operations that cannot be batched, such as writing into a part of a map, it runs once per
        flow instead.
        """
        motions = torch.stack([flow.motion(images, self.grid) for flow in flows])
        still = torch.zeros((), dtype=images.dtype, device=images.device)

        def outputs(moving: Tensor) -> dict[str, Tensor]:
            return self._run_stages(moving, flows[0], still, None)

        along = partial(_differentiate_along, outputs, images)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
                features, moved = torch.func.vmap(along, out_dims=(None, 0))(motions)  # type: ignore[arg-type]
        except RuntimeError:
            each = [along(motion) for motion in motions]
            features = each[0][0]
            moved = {name: [derivatives[name] for _, derivatives in each] for name in features}
        found: list[dict[str, StageDerivatives]] = [{} for _ in flows]
        for name, _, geometry in self.stages:
            maps = _extract_features(geometry, features[name])
            for number, flow in enumerate(flows):
                own = None if geometry.grid is None else flow.motion(maps, geometry.grid)
                found[number][name] = StageDerivatives(maps, _extract_features(geometry, moved[name][number]), own)
        return found

    def differentiate_output(
        self, images: Float[Tensor, "B C H W"], flow: Flow, stage: str | None
    ) -> tuple[Tensor, Tensor]:
        """The network's output, and its derivative as the map of this stage moves, or the image if `stage` is None."""

        def output(t: Tensor) -> Tensor:
            moving = flow.act(images, t, self.grid) if stage is None else images
            return self._run_stages(moving, flow, t, stage)[OUTPUT]

        return differentiate_at_zero(output, images)

    def _run_stages(self, images: Tensor, flow: Flow, t: Tensor, moving: str | None) -> dict[str, Tensor]:
        """The outputs of all stages and of the network, with the map of one stage transformed during the pass."""
        found: dict[str, Tensor] = {}

        geometries = {stage.name: stage.geometry for stage in self.stages}

        def look(name: str, output: Tensor) -> Tensor | None:
            geometries[name].check_output(name, output, len(images))
            found[name] = output.clone()  # the network may go on to change it in place
            return _move_output(output, geometries[name], flow, t) if name == moving else None

        with observe_outputs(self.network, {stage.name: stage.point for stage in self.stages}, look):
            output = self.network(images)
        return {**found, OUTPUT: output}


def compute_contributions(
    network: DifferentiableNetwork, images: Float[Tensor, "B C H W"], flow: Flow
) -> tuple[Float[Tensor, "B D"], dict[str, Float[Tensor, "B D"]]]:
    """The output, and what each stage adds to its Lie derivative: T_{k-1} - T_k, with T = 0 once it is a vector."""
    output, before = network.differentiate_output(images, flow, None)
    found = {}
    for stage in network.stages:
        after = torch.zeros_like(before)
        if stage.geometry.grid is not None:
            after = network.differentiate_output(images, flow, stage.name)[1]
        found[stage.name] = before - after
        before = after
    return output, found


@cache
def _initialise_forward_mode() -> None:
    """Torch 2.13 calls its own deprecated torch.jit.script when forward mode is first used: no warning for a user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.*deprecated", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))


def differentiate_at_zero(function: Callable[[Tensor], Any], like: Tensor) -> tuple[Any, Any]:
    """The values of a function of t and their derivatives at t = 0, tensors or dicts; t has the device of `like`."""
    _initialise_forward_mode()
    zero = torch.zeros((), dtype=like.dtype, device=like.device)
    found: Any = torch.func.jvp(function, (zero,), (torch.ones_like(zero),))
    return found[0], found[1]


def _differentiate_along(function: Callable[[Tensor], Any], images: Tensor, motion: Tensor) -> tuple[Any, Any]:
    """The values of a function of images and their derivatives along a motion."""
    _initialise_forward_mode()
    found: Any = torch.func.jvp(function, (images,), (motion,))
    return found[0], found[1]


def _extract_features(geometry: Geometry, output: Tensor) -> Tensor:
    return output.flatten(1) if geometry.grid is None else geometry.to_maps(output)


def _move_output(output: Tensor, geometry: Geometry, flow: Flow, t: Tensor) -> Tensor:
    """The output with its map transformed, in its own layout."""
    assert geometry.grid is not None
    moved = flow.act(geometry.to_maps(output), t, geometry.grid)
    if geometry.layout is OutputLayout.NCHW:
        return moved
    if geometry.layout is OutputLayout.NHWC:
        return moved.permute(0, 2, 3, 1)
    return torch.cat([output[:, : geometry.prefix], moved.flatten(2).transpose(1, 2)], dim=1)


class _AffineBatchNorms(TorchFunctionMode):
    """Evaluates batch norms as gain and offset, because torch's own forward-mode derivative is slow."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is not nn.functional.batch_norm or given or len(args) != _NORM_ARGUMENTS or args[5]:
            return func(*args, **given)
        images, mean, variance, weight, bias, _, _, eps = args
        gain = (variance + eps).rsqrt() if weight is None else weight * (variance + eps).rsqrt()
        offset = -mean * gain if bias is None else bias - mean * gain
        shape = (-1, *[1] * (images.ndim - 2))
        return torch.addcmul(offset.view(shape), gain.view(shape), images)


_NORM_ARGUMENTS = 8  # input, mean, variance, weight, bias, training, momentum, eps


@contextmanager
def differentiable_evaluation(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, where forward-mode derivatives work: those of fused attention do not."""
    plain = evaluation_mode(network), torch.inference_mode(mode=False), torch.no_grad()
    with plain[0], plain[1], plain[2], sdpa_kernel(SDPBackend.MATH), _AffineBatchNorms():
        yield
