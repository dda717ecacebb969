"""Forward-mode derivatives of the stages of a network along a flow, by hooks."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from equistudy.groups.group import Grid
from equistudy.measures.flow import Flow
from equistudy.measures.geometry import Geometry, Layout
from equistudy.measures.stages import evaluating

__all__ = ["OUTPUT", "Derivatives", "Flowing", "Stage", "contributions", "differentiating", "forward_mode"]

OUTPUT = ""  # the network's own output, beside the named stages


class Derivatives(NamedTuple):
    """Of one stage and one flow: the features, d/dt f(g(t) x) and, for maps, d/dt g(t) f(x)."""

    features: Float[Tensor, "B ..."]
    moved: Float[Tensor, "B ..."]
    own: Float[Tensor, "B ..."] | None


class Stage(NamedTuple):
    """A stage whose geometry is known."""

    name: str
    module: nn.Module
    geometry: Geometry


class Flowing(NamedTuple):
    """A network that takes prepared images, and its stages of known geometry."""

    network: nn.Module
    stages: list[Stage]
    grid: Grid

    def derivatives(self, images: Float[Tensor, "B C H W"], flow: Flow) -> dict[str, Derivatives]:
        """Those of every stage, from one forward-mode pass."""

        def outputs(t: Tensor) -> dict[str, Tensor]:
            return self._run(flow.act(images, t, self.grid), flow, t, None)

        features, moved = forward_mode(outputs, images)
        found = {}
        for name, _, geometry in self.stages:
            maps = [_features(geometry, each[name]) for each in (features, moved)]
            own = None
            if geometry.grid is not None:
                _, own = forward_mode(partial(_acting, flow, maps[0], geometry.grid), images)
            found[name] = Derivatives(maps[0], maps[1], own)
        return found

    def carried(self, images: Float[Tensor, "B C H W"], flow: Flow, stage: str | None) -> tuple[Tensor, Tensor]:
        """The network's output, and its derivative when the map of this stage moves; the image's, where it is None."""

        def output(t: Tensor) -> Tensor:
            moving = flow.act(images, t, self.grid) if stage is None else images
            return self._run(moving, flow, t, stage)[OUTPUT]

        return forward_mode(output, images)

    def _run(self, images: Tensor, flow: Flow, t: Tensor, moving: str | None) -> dict[str, Tensor]:
        """The outputs of all stages and of the network, with one of the maps moved on its way."""
        found: dict[str, Tensor] = {}

        def look(stage: Stage, output: Tensor) -> Tensor | None:
            stage.geometry.check(stage.name, output, len(images))
            found[stage.name] = output.clone()  # the network may go on to change it in place
            return _moved_output(output, stage.geometry, flow, t) if stage.name == moving else None

        handles = [
            stage.module.register_forward_hook(lambda module, inputs, output, stage=stage: look(stage, output))
            for stage in self.stages
        ]
        try:
            output = self.network(images)
        finally:
            for handle in handles:
                handle.remove()
        return {**found, OUTPUT: output}


def contributions(
    network: Flowing, images: Float[Tensor, "B C H W"], flow: Flow
) -> tuple[Float[Tensor, "B D"], dict[str, Float[Tensor, "B D"]]]:
    """The output, and what each stage adds to its Lie derivative: T_{k-1} - T_k, with T = 0 once it is a vector."""
    output, before = network.carried(images, flow, None)
    found = {}
    for stage in network.stages:
        after = torch.zeros_like(before)
        if stage.geometry.grid is not None:
            after = network.carried(images, flow, stage.name)[1]
        found[stage.name] = before - after
        before = after
    return output, found


@cache
def _first_use() -> None:
    """Torch 2.13 calls its own deprecated torch.jit.script when forward mode is first used: no warning for a user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.*deprecated", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))


def forward_mode(function: Callable[[Tensor], Any], like: Tensor) -> tuple[Any, Any]:
    """The values of a function of t and their derivatives at t = 0, tensors or dicts; t has the device of `like`."""
    _first_use()
    zero = torch.zeros((), dtype=like.dtype, device=like.device)
    found: Any = torch.func.jvp(function, (zero,), (torch.ones_like(zero),))
    return found[0], found[1]


def _acting(flow: Flow, maps: Tensor, grid: Grid, t: Tensor) -> Tensor:
    return flow.act(maps, t, grid)


def _features(geometry: Geometry, output: Tensor) -> Tensor:
    return output.flatten(1) if geometry.grid is None else geometry.maps(output)


def _moved_output(output: Tensor, geometry: Geometry, flow: Flow, t: Tensor) -> Tensor:
    """The output with its map moved, in its own layout."""
    assert geometry.grid is not None
    moved = flow.act(geometry.maps(output), t, geometry.grid)
    if geometry.layout is Layout.NCHW:
        return moved
    if geometry.layout is Layout.NHWC:
        return moved.permute(0, 2, 3, 1)
    return torch.cat([output[:, : geometry.prefix], moved.flatten(2).transpose(1, 2)], dim=1)


@contextmanager
def differentiating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, where forward-mode derivatives work: those of fused attention do not."""
    with evaluating(network), torch.inference_mode(mode=False), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        yield
