"""The moments of |f(g x) - g f(x)| and g f(x), for absolute errors."""

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.measuring.comparison import ComparisonPlan, ShardMoments
from equistudy.measuring.moments import Moments, paired_moments, pool_moments, single_pair_moments

__all__ = ["ShardDifferences"]


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
