"""What a pass over the images keeps of one stage: moments of f(g x) and g f(x) per element, channel and image group."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.group import Element, Group, Region
from equistudy.measuring.block_sums import BlockSums, compute_block_sums
from equistudy.measuring.geometry import Geometry
from equistudy.measuring.measure import Skipped
from equistudy.measuring.moments import (
    BlockSide,
    Moments,
    block_moments,
    empty_moments,
    leave_one_out,
    merge_moments,
    paired_moments,
    pool_moments,
    single_pair_moments,
)
from equistudy.recipe import Precision

__all__ = [
    "MIN_CELLS",
    "Comparison",
    "ComparisonPlan",
    "ShardComparison",
    "ShardDifferences",
    "ShardMoments",
    "plan_stage",
]

# It decides which rows there are: with another number here, each moment measure needs a higher REVISION.
MIN_CELLS = 4  # along each axis; fewer say nothing about a correlation over positions
EXACT_ERROR = 4  # bytes of a number that need not be made longer


@dataclass(frozen=True)
class ComparisonPlan:
    """What is compared at a stage: its geometry, and the elements with their regions (None for vectors).

    `views` are the indices of the elements among the group's views, of which the first is x itself. `channel_maps` has,
    for each element, the matrix that g applies to the channels of f(x); None if g only moves cells. `precision` is that
    of the forward passes.
    """

    geometry: Geometry
    group: Group
    elements: tuple[Element, ...]
    views: tuple[int, ...]
    regions: tuple[Region, ...] | None
    channel_maps: Float[Tensor, "K C C"] | None = field(default=None, compare=False)
    precision: Precision = Precision.FLOAT32

    def act_on_reference(self, reference: Float[Tensor, "B C H W"], index: int) -> Float[Tensor, "B C h w"]:
        """The map g f(x) in the region of an element, from f(x)."""
        assert self.regions is not None
        assert self.geometry.grid is not None
        element, region = self.elements[index], self.regions[index]
        moved = self.group.act_on_features(reference, element, self.geometry.grid, region)
        if self.channel_maps is None:
            return moved
        return torch.einsum("dc,bchw->bdhw", self.channel_maps[index].to(moved), moved)

    @property
    def mixed_channels(self) -> int:
        """How many neighbouring channels an element mixes: all of them with channel maps."""
        return self.group.mixed_channels if self.channel_maps is None else self.geometry.channels

    @property
    def cells(self) -> list[int | None]:
        """How many cells of each map are compared at each element."""
        if self.regions is None:
            return [None] * len(self.elements)
        return [region.num_cells for region in self.regions]


class ShardMoments(NamedTuple):
    """The moments of a few images: `matched` for each image, the references for all of them together.

    `shuffled` pairs f(g x) of each image with g f(x) of the next one; None for a single image. `unmoved` compares
    f(g x) with f(x) on the same cells; None for vectors, on which g acts trivially.
    """

    matched: Moments
    shuffled: Moments | None
    unmoved: Moments | None


class ShardComparison:
    """Compares the outputs of one stage for the views of one shard: first that of x, then that of each g x."""

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._reference: Tensor | None = None
        self._seen: list[tuple[Tensor, ...]] = []

    def take(self, view: int, output: Float[Tensor, "B ..."]) -> None:
        """Takes the output for the next view. Only that of x is kept; of the others only sums over cells are."""
        geometry = self.plan.geometry
        features = output.flatten(1) if self.plan.regions is None else geometry.to_maps(output)
        if self._reference is None:
            # the network may go on to change its output in place; maps of short numbers are interpolated in float32
            self._reference = features.clone() if features.itemsize >= EXACT_ERROR else features.float()
        elif view in self.plan.views:
            index = self.plan.views.index(view)
            found = (
                (features.clone(),)
                if self.plan.regions is None
                else _sum_region(self._reference, features, self.plan, index)
            )
            self._seen.append(found)

    def finish(self) -> ShardMoments:
        """The moments of the shard over all elements of the plan."""
        assert self._reference is not None
        columns = [torch.stack(column, dim=1).cpu() for column in zip(*self._seen, strict=True)]
        if self.plan.regions is not None:
            return _compute_map_moments(columns, self.plan)
        a = columns[0]
        b = self._reference[:, None].cpu().expand_as(a)
        shuffled = pool_moments(single_pair_moments(a, b.roll(-1, dims=0))) if len(a) > 1 else None
        return ShardMoments(single_pair_moments(a, b), shuffled, None)


def _sum_region(
    reference: Float[Tensor, "B C H W"], moved: Float[Tensor, "B C H W"], plan: ComparisonPlan, index: int
) -> BlockSums:
    """The sums over the cells of the region of an element."""
    assert plan.regions is not None
    act = partial(plan.act_on_reference, index=index)
    return compute_block_sums(moved, reference, plan.regions[index], act, plan.mixed_channels)


def _compute_map_moments(columns: list[Float[Tensor, "B K C"]], plan: ComparisonPlan) -> ShardMoments:
    a, b, u = (BlockSide(*columns[first : first + 3]) for first in (0, 3, 6))
    with_b, difference, with_next, with_u = columns[9:]
    size = torch.tensor(plan.cells, dtype=torch.float64)[:, None]
    following = BlockSide(*(part.roll(-1, dims=0) for part in b))
    shuffled = pool_moments(block_moments(a, following, size, with_next)) if len(with_b) > 1 else None
    return ShardMoments(
        block_moments(a, b, size, with_b, difference), shuffled, pool_moments(block_moments(a, u, size, with_u))
    )


class Comparison:
    """The moments of a stage over all shards seen so far, with `matched` kept apart for each group of images.

    Shards must be added in the order of their images: then the sums are bit-identical wherever each shard was computed.
    """

    def __init__(self, plan: ComparisonPlan, num_groups: int) -> None:
        self.plan = plan
        shape = (len(plan.elements), plan.geometry.channels)
        self.matched = empty_moments(num_groups, *shape)
        self.shuffled: Moments | None = None
        self.unmoved: Moments | None = None
        self.ceiling: Moments | None = None  # of a perfect layer, where the action interpolates

    def add(self, first_image: int, shard: ShardMoments) -> None:
        """Adds the moments of a shard whose first image has this index; image i belongs to group i mod G."""
        groups = len(self.matched.pairs)
        for start in range(0, len(shard.matched.pairs), groups):
            images = Moments(*(field[start : start + groups] for field in shard.matched))
            into = (first_image + start + torch.arange(len(images.pairs))) % groups
            merged = merge_moments(Moments(*(field[into] for field in self.matched)), images)
            for kept, values in zip(self.matched, merged, strict=True):
                kept[into] = values
        self.shuffled = _merge_optional(self.shuffled, shard.shuffled)
        self.unmoved = _merge_optional(self.unmoved, shard.unmoved)

    def state(self) -> dict[str, Any]:
        """The state so far, as tensors, from which `load` continues in another process."""
        kept = {"matched": self.matched, "shuffled": self.shuffled, "unmoved": self.unmoved}
        return {name: None if moments is None else tuple(moments) for name, moments in kept.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from a state; the sums stay bit-identical."""
        for name, fields in state.items():
            setattr(self, name, None if fields is None else Moments(*fields))

    @cached_property
    def totals(self) -> tuple[Moments, Moments]:
        """The moments of all images, and those without each group of images. Valid once every shard has been added."""
        return leave_one_out(self.matched)


def _merge_optional(first: Moments | None, second: Moments | None) -> Moments | None:
    return merge_moments(first, second) if first is not None and second is not None else first or second


def plan_stage(
    name: str, group: Group, erosion: int, stage: str, geometry: Geometry
) -> tuple[ComparisonPlan | None, list[Skipped]]:
    """The elements with their comparable cells at a stage, and the elements with too few of them."""
    grid, elements = geometry.grid, list(enumerate(group.elements(), start=1))
    if grid is None:
        views, every = zip(*elements, strict=True)
        return ComparisonPlan(geometry, group, every, views, None), []
    obstacle = group.obstacle(grid) or group.channel_obstacle(geometry.channels)
    if obstacle is not None:
        return None, [Skipped(name, stage, None, obstacle)]
    kept, skipped = [], []
    for view, element in elements:
        region = group.region(element, grid, erosion)
        if min(region.shape) >= MIN_CELLS:
            kept.append((element, view, region))
            continue
        left = " x ".join(map(str, region.shape))
        reason = f"{left} of {grid.height} x {grid.width} cells can be compared, fewer than {MIN_CELLS} x {MIN_CELLS}"
        skipped.append(Skipped(name, stage, element.label, reason))
    if not kept:
        return None, skipped
    compared_elements, views, regions = zip(*kept, strict=True)
    return ComparisonPlan(geometry, group, compared_elements, views, regions), skipped


class ShardDifferences:
    """Differences of the outputs of one stage for the views of one shard: first that of x, then that of each g x.

    In each pair of the moments, a is |f(g x) - b|, and b is g f(x); for the references, g f(x) of the next image or
    the unmoved f(x).
    """

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._reference: Tensor | None = None
        self._seen: list[Moments] = []

    def take(self, view: int, output: Float[Tensor, "B ..."]) -> None:
        """Takes the output for the next view. Only that of x is kept; of the others only moments are."""
        vectors = self.plan.regions is None
        features = output.flatten(1) if vectors else self.plan.geometry.to_maps(output)
        if self._reference is None:
            self._reference = features.clone()  # the network may go on to change its output in place
        elif view in self.plan.views:
            self._seen.append(self._compare_with_references(features, self.plan.views.index(view)))

    def _compare_with_references(self, features: Tensor, index: int) -> Moments:
        """The moments of each image and channel at one element, against each of the three references."""
        assert self._reference is not None
        if self.plan.regions is None:
            b = torch.stack([self._reference, self._reference.roll(-1, dims=0), self._reference]).double()
            return _move_to_cpu(single_pair_moments((features.double() - b).abs(), b))
        region, expected = self.plan.regions[index], self.plan.act_on_reference(self._reference, index)
        here = (..., region.rows, region.columns)
        b = region.positions(torch.stack([expected, expected.roll(-1, dims=0), self._reference[here]]))
        return _move_to_cpu(paired_moments((region.positions(features[here]) - b).abs(), b))

    def finish(self) -> ShardMoments:
        """The moments of the shard over all elements of the plan."""
        stacked = Moments(*(torch.stack(fields, dim=2) for fields in zip(*self._seen, strict=True)))
        matched, shuffled, unmoved = (Moments(*(field[which] for field in stacked)) for which in range(3))
        alone, vectors = len(matched.pairs) == 1, self.plan.regions is None
        return ShardMoments(
            matched, None if alone else pool_moments(shuffled), None if vectors else pool_moments(unmoved)
        )


def _move_to_cpu(moments: Moments) -> Moments:
    return Moments(*(field.cpu() for field in moments))
