"""Sums in blocks against the same sums written down, for regions of every shape and blocks of every size."""

import pytest
import torch

from equistudy.groups.group import Region
from equistudy.measuring import block_sums
from equistudy.measuring.block_sums import compute_block_sums

REGIONS = [
    Region(slice(0, 6), slice(0, 7)),
    Region(slice(1, 5), slice(2, 7)),
    Region(slice(1, 4), slice(0, 6), ((1, 3), (0, 6), (2, 2))),
]


@pytest.mark.parametrize("cache", [1, 1500, 7000, 2**20])
@pytest.mark.parametrize("region", REGIONS, ids=["all", "rectangle", "rows"])
@pytest.mark.parametrize("mixed", [1, 2, 4])
def test_sums_are_those_of_the_definition(
    region: Region, cache: int, mixed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_sums, "CACHE_BYTES", cache)
    rng = torch.Generator().manual_seed(0)
    moved, still = 3 + torch.randn(2, 5, 4, 6, 7, generator=rng, dtype=torch.float64)
    here = (..., region.rows, region.columns)

    def act(maps: torch.Tensor) -> torch.Tensor:
        fields = torch.roll(maps, (2, 1), (2, 3)).square().unflatten(1, (-1, mixed))
        return fields.flip(2).flatten(1, 2)[here]

    a, b, u = (region.positions(part) for part in (moved[here], act(still), still[here]))
    found = compute_block_sums(moved, still, region, act, mixed)
    means = [side.mean(-1) for side in (a, b, u)]
    centred = [side - mean[..., None] for side, mean in zip((a, b, u), means, strict=True)]
    for number, (side, mean) in enumerate(zip(centred, means, strict=True)):
        torch.testing.assert_close(found[3 * number], mean)
        assert found[3 * number + 1].abs().max() < 1e-12
        torch.testing.assert_close(found[3 * number + 2], side.square().sum(-1))
    a, b, u = centred
    products = ((a * b).sum(-1), (a - b).square().sum(-1), (a * b.roll(-1, 0)).sum(-1), (a * u).sum(-1))
    for one, other in zip(found[9:], products, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_short_numbers_are_added_in_float32(kind: torch.dtype) -> None:
    maps = torch.rand(2, 3, 4, 4).to(kind)
    found = compute_block_sums(maps, maps, Region(slice(0, 4), slice(0, 4)), lambda images: images)
    assert {part.dtype for part in found} == {torch.float32}
    torch.testing.assert_close(found[2], maps.float().flatten(2).var(-1, correction=0) * 16)
    assert found[10].abs().max() == 0
