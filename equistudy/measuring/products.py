"""Products of all channels of f(g x) with all channels of g f(x), and the channel maps fitted from them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.measuring.comparison import ComparisonPlan

__all__ = ["ChannelProducts", "ShardProducts", "fit_linear_maps", "fit_permutation_maps"]

RIDGE = 1e-6  # of the mean variance of the channels: what least squares must pay for large weights


class ChannelProducts(NamedTuple):
    """Sums over images and cells of products of values less the mean of their image, in float64, for each element.

    `aa` of each channel of a = f(g x) with itself, `ab` of each of a with each of b = g f(x), `bb` of those of b.
    """

    aa: Float[Tensor, "K C"]
    ab: Float[Tensor, "K C C"]
    bb: Float[Tensor, "K C C"]


class ShardProducts:
    """The products of the outputs of one stage for the views of one shard: first that of x, then that of each g x."""

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._reference: Tensor | None = None
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def take(self, view: int, output: Float[Tensor, "B ..."]) -> None:
        """Takes the output for the next view."""
        features = self.plan.geometry.to_maps(output)
        if self._reference is None:
            self._reference = features.clone()  # the network may go on to change its output in place
        elif view in self.plan.views:
            assert self.plan.regions is not None
            index = self.plan.views.index(view)
            region = self.plan.regions[index]
            a = _centre_channels(region.positions(features[..., region.rows, region.columns]))
            b = _centre_channels(region.positions(self.plan.act_on_reference(self._reference, index)))
            self._seen.append((a.square().sum(dim=1), a @ b.T, b @ b.T))

    def finish(self) -> ChannelProducts:
        """The products of the shard over all elements of the plan."""
        return ChannelProducts(*(torch.stack(each).cpu() for each in zip(*self._seen, strict=True)))


def _centre_channels(values: Float[Tensor, "B C P"]) -> Float[Tensor, "C N"]:
    """A row for each channel: its values less the mean of their image."""
    exact = values.double()
    return (exact - exact.mean(dim=-1, keepdim=True)).transpose(0, 1).flatten(1)


def fit_permutation_maps(products: ChannelProducts) -> Float[Tensor, "K C C"]:
    """The permutation matrices under which the sum of the correlations of a and b is largest."""
    from scipy.optimize import linear_sum_assignment  # here: every process that trains imports this module

    spread_b = products.bb.diagonal(dim1=1, dim2=2)
    correlations = products.ab / (products.aa.sqrt()[:, :, None] * spread_b.sqrt()[:, None, :])
    maps = torch.zeros_like(products.ab)
    for matrix, correlation in zip(maps, correlations.nan_to_num(), strict=True):
        matrix[linear_sum_assignment(correlation.numpy(), maximize=True)] = 1
    return maps


def fit_linear_maps(products: ChannelProducts) -> Float[Tensor, "K C C"]:
    """The matrices M with the least squared a - M b."""
    spread = products.bb.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
    # no division by 0 for a layer that is constant: its products are 0, and so is its map
    ridge = (RIDGE * spread).clamp(min=torch.finfo(torch.float64).tiny) * torch.eye(products.ab.shape[1]).double()
    return torch.linalg.solve(products.bb + ridge, products.ab.transpose(1, 2)).transpose(1, 2)
