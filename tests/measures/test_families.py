"""Architectures of timm without weights: exactly equivariant once what breaks it is taken out, and not before."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.engine import measure_all
from equistudy.measures.geometry import probe
from equistudy.measures.layout import Geometry, Layout
from equistudy.measures.measure import Measurement, Subject
from equistudy.measures.stages import evaluating, modules_of
from equistudy.models.timm_model import TimmModel

EXACT = 1e-9
POSITIONS = ("pos_embed", "relative_position_bias_table")


class CircularPool(nn.Module):
    """A max pool that continues its map on the other side."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.padding = [pool.padding] * 4
        self.pool = nn.MaxPool2d(pool.kernel_size, pool.stride)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.pool(nn.functional.pad(maps, self.padding, mode="circular"))


def in_circles(network: nn.Module) -> None:
    """Convolutions and pools without a border."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "circular"
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d) and child.padding:
                setattr(module, name, CircularPool(child))


def without_positions(network: nn.Module) -> None:
    """Tokens that know neither where they are nor how far from each other."""
    for name, parameter in network.named_parameters():
        if name.endswith(POSITIONS):
            nn.init.zeros_(parameter)
        if name.endswith("gating_param"):  # of ConViT: how much attention goes by distance
            nn.init.constant_(parameter, -1e4)


def without_masks(network: nn.Module) -> None:
    """Shifted windows that continue on the other side."""
    for module in network.modules():
        if hasattr(module, "attn_mask"):
            module.attn_mask = None


def without_token_mixing(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if ".mlp_tokens." in name:
            nn.init.zeros_(parameter)


class Family(NamedTuple):
    """An architecture, the size of its images, the shift in pixels, and what must be taken out of it."""

    name: str
    size: int
    shift: int
    cure: Callable[[nn.Module], None]
    layout: Layout = Layout.NCHW
    prefix: tuple[int, int] = (0, 0)  # tokens before the grid, in the first and the last block
    exact: tuple[str, ...] | None = None  # the stages that are; None: all


FAMILIES = (
    Family("resnet18", 64, 32, in_circles),
    Family("resnet18d", 64, 32, in_circles),
    Family("convnext_atto", 96, 32, in_circles),
    Family("efficientnet_b0", 64, 32, in_circles),
    Family("mobilenetv2_050", 64, 32, in_circles),
    Family("mobilenetv3_small_050", 64, 32, in_circles),
    Family("densenet121", 64, 32, in_circles),
    # its head pools to 7 x 7, which maps of 2 x 2 do not tile
    Family("vgg11", 64, 32, in_circles, exact=tuple(f"features.{number}" for number in (1, 4, 9, 14, 19))),
    Family("convmixer_768_32", 56, 28, in_circles),
    Family("vit_tiny_patch16_224", 64, 16, without_positions, Layout.TOKENS, (1, 1)),
    Family("deit_tiny_distilled_patch16_224", 64, 16, without_positions, Layout.TOKENS, (2, 2)),
    Family("beit_base_patch16_224", 64, 16, without_positions, Layout.TOKENS, (1, 1)),
    Family("convit_tiny", 64, 16, without_positions, Layout.TOKENS, (0, 1)),
    Family("mixer_s32_224", 128, 32, without_token_mixing, Layout.TOKENS),
    # windows of 7 x 7 cells of 4, then of 8 pixels; behind them, cells of 16 pixels do not move by whole cells
    Family("swin_tiny_patch4_window7_224", 112, 56, without_masks, Layout.NHWC, exact=("layers.0", "layers.1")),
)


def built(family: Family) -> Subject:
    """The network with parameters that are alive: timm starts gains at 0 or 1e-6, where a block does nothing."""
    torch.manual_seed(0)
    model = TimmModel(family.name)
    network = model.build((3, family.size, family.size), 10).eval()
    for name, parameter in network.named_parameters():
        if name.endswith(POSITIONS):
            nn.init.normal_(parameter, std=3)
        elif parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    network.double()
    images = torch.rand(4, 3, family.size, family.size, dtype=torch.float64)
    return Subject(network, model.stages(network), images, None, (0.5,) * 3, (0.25,) * 3, None, None, 0)


def measured(family: Family, subject: Subject) -> dict[str, list[Measurement]]:
    group = Translation(family.shift, Border.CIRCULAR, (family.shift,))
    result = measure_all([WithinCorrelation(group), BetweenCorrelation(group)], subject)
    rows: dict[str, list[Measurement]] = {}
    for row in result.rows:
        if row.measure == WithinCorrelation.name or row.stride is None:
            rows.setdefault(row.stage, []).append(row)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_shifts_by_whole_cells_are_exact_where_nothing_breaks_them(family: Family) -> None:
    subject = built(family)
    before = measured(family, subject)
    family.cure(subject.network)
    after = measured(family, subject)
    exact = set(after) if family.exact is None else set(family.exact)
    assert len(exact) >= 2
    for stage, rows in after.items():
        for row in rows:
            assert row.grid_aligned in (None, row.stride is None or family.shift % row.stride == 0)
            if stage in exact:
                assert row.value == pytest.approx(1, abs=EXACT), stage
            assert row.no_motion is None or row.no_motion < 0.9
    for stage in set(after) - exact:
        assert min(row.value for row in after[stage]) < 0.99, stage
    assert min(row.value for rows in before.values() for row in rows) < 0.99


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES if family.layout is not Layout.NCHW], ids=lambda f: f.name
)
def test_tokens_and_channels_last_are_read_as_what_they_are(family: Family) -> None:
    subject = built(family)
    with evaluating(subject.network):
        found: dict[str, Any] = probe(
            subject.network, modules_of(subject.network, subject.stages), subject.images, False
        )
    maps = [geometry for geometry in found.values() if isinstance(geometry, Geometry) and geometry.grid is not None]
    assert {geometry.layout for geometry in maps} == {family.layout}
    assert (maps[0].prefix, maps[-1].prefix) == family.prefix
    assert all(geometry.grid.height * geometry.grid.stride == family.size for geometry in maps if geometry.grid)
