"""What a pass over the images keeps of one stage: moments of f(g x) against g f(x), by element, channel and group."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.group import Element, Group, Region
from equistudy.measures.geometry import Geometry
from equistudy.measures.moments import Moments, Side, block, centred, empty, leave_one_out, merge, pooled, singles

__all__ = ["Comparison", "Plan", "ShardMoments", "compared"]


@dataclass(frozen=True)
class Plan:
    """What is compared at a stage: its geometry, and the elements with their regions (None for vectors)."""

    geometry: Geometry
    group: Group
    elements: tuple[Element, ...]
    regions: tuple[Region, ...] | None

    @property
    def cells(self) -> list[int | None]:
        """How many cells of each map are compared at each element."""
        if self.regions is None:
            return [None] * len(self.elements)
        return [rows * columns for rows, columns in (region.shape for region in self.regions)]


class ShardMoments(NamedTuple):
    """The moments of a few images: `matched` for each image, the references for all of them together.

    `shuffled` pairs f(g x) of each image with g f(x) of the next one; None for a single image. `unmoved` compares
    f(g x) with f(x) on the same cells; None for vectors, on which g acts trivially.
    """

    matched: Moments
    shuffled: Moments | None
    unmoved: Moments | None


def compared(output: Float[Tensor, "N ..."], views: int, indices: tuple[int, ...], plan: Plan) -> ShardMoments:
    """The moments of a stage's output for all views of a shard: x of every image, then each g x of every image.

    `indices` are the plan's elements among the group's.
    """
    if plan.regions is None:
        vectors = output.flatten(1).unflatten(0, (views, -1))
        return _vectors(vectors[0], vectors[[1 + index for index in indices]])
    features = plan.geometry.maps(output).unflatten(0, (views, -1))
    return _maps(features[0], [features[1 + index] for index in indices], plan)


def _vectors(reference: Float[Tensor, "B C"], moved: Float[Tensor, "K B C"]) -> ShardMoments:
    a, b = moved.transpose(0, 1).cpu(), reference[:, None].expand(-1, len(moved), -1).cpu()
    shuffled = pooled(singles(a, b.roll(-1, dims=0))) if len(a) > 1 else None
    return ShardMoments(singles(a, b), shuffled, None)


def _maps(reference: Float[Tensor, "B C H W"], moved: list[Float[Tensor, "B C H W"]], plan: Plan) -> ShardMoments:
    assert plan.regions is not None
    assert plan.geometry.grid is not None
    sums = []
    for element, region, features in zip(plan.elements, plan.regions, moved, strict=True):
        here = (..., region.rows, region.columns)
        expected = plan.group.act_on_features(reference, element, plan.geometry.grid, region)
        a, side_a = centred(features[here].flatten(2))
        b, side_b = centred(expected.flatten(2))
        u, side_u = centred(reference[here].flatten(2))
        crossed = (a * b, (a - b).square(), a * b.roll(-1, dims=0), a * u)
        sums.append((*side_a, *side_b, *side_u, *(values.sum(dim=-1) for values in crossed)))
    stacked = [torch.stack(column, dim=1).cpu() for column in zip(*sums, strict=True)]
    left, right, still = (Side(*stacked[first : first + 3]) for first in (0, 3, 6))
    size = torch.tensor(plan.cells, dtype=torch.float64)[:, None]
    product, difference, shuffled_product, unmoved_product = stacked[9:]
    following = Side(*(part.roll(-1, dims=0) for part in right))
    shuffled = pooled(block(left, following, size, shuffled_product)) if len(product) > 1 else None
    return ShardMoments(
        block(left, right, size, product, difference), shuffled, pooled(block(left, still, size, unmoved_product))
    )


class Comparison:
    """The moments of a stage over all shards seen so far, with `matched` kept apart for each group of images.

    Shards must be added in the order of their images: then the sums are the same to the last bit, wherever each shard
    was computed.
    """

    def __init__(self, plan: Plan, num_groups: int) -> None:
        self.plan = plan
        shape = (len(plan.elements), plan.geometry.channels)
        self.matched = empty(num_groups, *shape)
        self.shuffled: Moments | None = None
        self.unmoved: Moments | None = None

    def add(self, first_image: int, shard: ShardMoments) -> None:
        """Adds the moments of a shard whose first image has this index; image i belongs to group i mod G."""
        groups = len(self.matched.pairs)
        for start in range(0, len(shard.matched.pairs), groups):
            images = Moments(*(field[start : start + groups] for field in shard.matched))
            into = (first_image + start + torch.arange(len(images.pairs))) % groups
            merged = merge(Moments(*(field[into] for field in self.matched)), images)
            for field, values in zip(self.matched, merged, strict=True):
                field[into] = values
        self.shuffled = _both(self.shuffled, shard.shuffled)
        self.unmoved = _both(self.unmoved, shard.unmoved)

    @cached_property
    def totals(self) -> tuple[Moments, Moments]:
        """The moments of all images, and those of all but each group. Read it when every shard has been added."""
        return leave_one_out(self.matched)


def _both(first: Moments | None, second: Moments | None) -> Moments | None:
    return merge(first, second) if first is not None and second is not None else first or second
