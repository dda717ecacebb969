"""Penalties on features: collects the features that a step compares, and computes their dissimilarity."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.groups.group import Element
from equistudy.measuring.geometry import probe_geometries
from equistudy.measuring.layout import Geometry
from equistudy.measuring.stages import evaluation_mode, find_hook_points, observe_outputs
from equistudy.study.trial import RandomStream, Trial, derive_seed
from equistudy.tasks.penalised import Depth, Dissimilarity, Penalised, Penalty
from equistudy.training.preparation import prepare_inputs, undo_preparation

__all__ = ["Penalties", "compute_dissimilarity"]


class Penalties:
    """The penalties of a trial's task, on the stages of `network`."""

    def __init__(self, trial: Trial, network: nn.Module) -> None:
        assert isinstance(trial.task, Penalised)
        self._trial, self._network = trial, network
        self._penalties = trial.task.penalties
        stages = dict(trial.model.stages(network))
        maps = [name for name in stages if name not in ("pooled", "logits")]
        named = {Depth.EARLY: maps[:1], Depth.MIDDLE: maps[len(maps) // 2 :][:1], Depth.LATE: maps[-1:]}
        self._stages = [named[p.depth][0] if p.depth is not Depth.LOGITS else "logits" for p in self._penalties]
        self._modules = find_hook_points(network, {name: stages[name] for name in self._stages if name != "logits"})
        self._geometry: dict[str, Geometry] = {}
        self._seen: dict[str, Tensor] = {}
        self._elements: list[Element] = []

    def build_views(self, inputs: Float[Tensor, "B C H W"], step: int) -> Float[Tensor, "N C H W"]:
        """The inputs, followed by the inputs moved by each penalty's element of this step."""
        if self._modules and not self._geometry:
            self._geometry = self._probe_stages(inputs)
        drawn = derive_seed(self._trial.seed, RandomStream.AUGMENTATION, step)
        self._elements = [
            elements[drawn % len(elements)] for elements in (penalty.group.elements() for penalty in self._penalties)
        ]
        images, views = undo_preparation(inputs, self._trial), [inputs]
        for penalty, element in zip(self._penalties, self._elements, strict=True):
            parameters = torch.tensor([element.parameters], device=inputs.device).expand(len(inputs), -1)
            views.append(prepare_inputs(penalty.group.act(images, parameters), self._trial))
        return torch.cat(views)

    @contextmanager
    def record_stages(self) -> Iterator[None]:
        """Records the outputs of the stages during a forward pass."""
        self._seen.clear()
        with observe_outputs(self._network, self._modules, self._seen.__setitem__):
            yield

    def compute_penalty(self, outputs: Float[Tensor, "N K"], count: int) -> Float[Tensor, ""]:
        """The weighted sum of the penalties, from the outputs for the views of `count` inputs and recorded stages."""
        total = torch.zeros((), device=outputs.device)
        for place, (penalty, stage) in enumerate(zip(self._penalties, self._stages, strict=True), 1):
            features = self._seen.get(stage, outputs).float()
            moved, still = features[place * count : (place + 1) * count], features[:count]
            if penalty.depth is not Depth.LOGITS:
                moved, still = self._compare_features(penalty, stage, self._elements[place - 1], moved, still)
            total = total + penalty.weight * compute_dissimilarity(moved, still, penalty.dissimilarity)
        self._seen.clear()
        return total

    def _compare_features(
        self, penalty: Penalty, stage: str, element: Element, moved: Tensor, still: Tensor
    ) -> tuple[Float[Tensor, "B C P"], Float[Tensor, "B C P"]]:
        """f(g x) and g f(x) at the cells that both maps show."""
        geometry = self._geometry[stage]
        assert geometry.grid is not None
        region = penalty.group.region(element, geometry.grid, penalty.erosion)
        if not region.num_cells:
            raise ValueError(
                f"A penalty needs cells that both maps show, got none of {geometry.grid.height} x "
                f"{geometry.grid.width} at stage {stage!r} for {element.label} of {penalty}. Use smaller motions, an "
                "earlier stage or erosion=0."
            )
        expected = penalty.group.act_on_features(geometry.to_maps(still), element, geometry.grid, region)
        cut = geometry.to_maps(moved)[..., region.rows, region.columns]
        return region.positions(cut), region.positions(expected)

    def _probe_stages(self, inputs: Float[Tensor, "B C H W"]) -> dict[str, Geometry]:
        """The geometry of each stage. Raises ValueError if a group cannot act on it."""
        with evaluation_mode(self._network):
            found = probe_geometries(self._network, self._modules, inputs[:2])
        for penalty, stage in zip(self._penalties, self._stages, strict=True):
            if stage == "logits":
                continue
            geometry = found[stage]
            reason = geometry if isinstance(geometry, str) else _find_obstacle(penalty, geometry)
            if reason is not None:
                raise ValueError(
                    f"A penalty needs maps on which {penalty.group} acts, got stage {stage!r} of {self._trial.model}: "
                    f"{reason}. Use Depth.LOGITS or another group."
                )
        return {name: geometry for name, geometry in found.items() if isinstance(geometry, Geometry)}


def _find_obstacle(penalty: Penalty, geometry: Geometry) -> str | None:
    if geometry.grid is None:
        return "it is a vector"
    return penalty.group.obstacle(geometry.grid) or penalty.group.channel_obstacle(geometry.channels)


def compute_dissimilarity(
    a: Float[Tensor, "B C *P"], b: Float[Tensor, "B C *P"], kind: Dissimilarity
) -> Float[Tensor, ""]:
    """The mean over channels of the dissimilarity of a and b; differentiable in both."""
    axes: Any = (0, 2) if a.ndim == 3 else 0
    # Like the measures: a correlation is within each image for maps, an error over all values of a channel.
    inner = 2 if a.ndim == 3 and kind is Dissimilarity.CORRELATION else axes
    centred_a, centred_b = a - a.mean(dim=inner, keepdim=True), b - b.mean(dim=inner, keepdim=True)
    spread_a, spread_b = centred_a.square().sum(dim=axes), centred_b.square().sum(dim=axes)
    varies = (spread_a > 0) & (spread_b > 0)
    if not varies.any():
        return (a - b).sum() * 0
    spread_a, spread_b = spread_a[varies], spread_b[varies]
    if kind is Dissimilarity.NORMALISED_ERROR:
        return ((a - b).square().sum(dim=axes)[varies] / spread_b).mean()
    product = (centred_a * centred_b).sum(dim=axes)[varies]
    return 1 - (product / (spread_a * spread_b).sqrt()).mean()
