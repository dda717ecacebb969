"""Architectures of timm without weights: exactly equivariant once what breaks it is taken out, and not before."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from equistudy.groups.group import Grid
from equistudy.groups.translation import Border, Translation
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measuring.engine import PairedPass, build_family_rows, measure_all, plan_measures
from equistudy.measuring.geometry import probe_geometries
from equistudy.measuring.layout import Geometry, OutputLayout
from equistudy.measuring.measure import Measurement, Subject
from equistudy.measuring.stages import evaluation_mode, find_hook_points
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
    layout: OutputLayout = OutputLayout.NCHW
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
    Family("vit_tiny_patch16_224", 64, 16, without_positions, OutputLayout.TOKENS, (1, 1)),
    Family("deit_tiny_distilled_patch16_224", 64, 16, without_positions, OutputLayout.TOKENS, (2, 2)),
    Family("beit_base_patch16_224", 64, 16, without_positions, OutputLayout.TOKENS, (1, 1)),
    Family("convit_tiny", 64, 16, without_positions, OutputLayout.TOKENS, (0, 1)),
    Family("mixer_s32_224", 128, 32, without_token_mixing, OutputLayout.TOKENS),
    # windows of 7 x 7 cells of 4, then of 8 pixels; behind them, cells of 16 pixels do not move by whole cells
    Family("swin_tiny_patch4_window7_224", 112, 56, without_masks, OutputLayout.NHWC, exact=("layers.0", "layers.1")),
)


SEVERAL = ("densenet121", "efficientnet_b0", "vgg11", "beit_base_patch16_224", "resnet18", "mobilenetv2_050")
CHOSEN = [
    pytest.param(family, marks=pytest.mark.long if family.name in SEVERAL else (), id=family.name)
    for family in FAMILIES
]


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
@pytest.mark.parametrize("family", CHOSEN)
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


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in CHOSEN if family.values[0].layout is not OutputLayout.NCHW])
def test_tokens_and_channels_last_are_read_as_what_they_are(family: Family) -> None:
    subject = built(family)
    with evaluation_mode(subject.network):
        found: dict[str, Any] = probe_geometries(
            subject.network, find_hook_points(subject.network, subject.stages), subject.images, False
        )
    maps = [geometry for geometry in found.values() if isinstance(geometry, Geometry) and geometry.grid is not None]
    assert {geometry.layout for geometry in maps} == {family.layout}
    assert (maps[0].prefix, maps[-1].prefix) == family.prefix
    assert all(geometry.grid.height == ceil(family.size / geometry.grid.stride) for geometry in maps if geometry.grid)


def random_subject(name: str, size: int, image_size: int, *stages: str) -> Subject:
    """A network as timm initialises it, in float32, and four images of blurred noise; all its stages unless named."""
    torch.manual_seed(0)
    model = TimmModel(name)
    network = model.build((3, size, size), 10).eval()
    images = nn.functional.avg_pool2d(torch.rand(4, 3, image_size + 4, image_size + 4), 5, 1)
    paths = {stage: path for stage, path in model.stages(network).items() if stage in stages or not stages}
    return Subject(network, paths, images, None, (0.5,) * 3, (0.25,) * 3, None, None, 0)


def test_a_vision_transformer_is_equivariant_to_shifts_by_patches_but_for_its_positions() -> None:
    subject = random_subject("vit_tiny_patch16_224", 64, 64)
    for name, parameter in subject.network.named_parameters():
        if parameter.ndim > 1 and not name.endswith(POSITIONS):
            nn.init.normal_(parameter, std=0.08)  # blocks that do something; positions as timm begins with them
    measure = WithinCorrelation(Translation(16, Border.CIRCULAR, (16,)))
    x = (subject.images - 0.5) / 0.25
    found = []
    for change in (lambda network: None, without_positions):
        change(subject.network)
        rows = measure_all([measure], subject).rows
        assert len(rows) == 2 * 12
        with torch.inference_mode():
            logits, token = (
                (of(x) - of(x.roll(16, 3))).abs().max().item()
                for of in (subject.network, lambda images: subject.network.forward_features(images)[:, 0])
            )
        found.append(([row.value for row in rows], token, logits))
    (placed, *moved), (free, token, logits) = found
    assert 0.98 < min(placed) <= max(placed) < 0.9999
    assert min(moved) > 1e-3
    assert free == pytest.approx([1] * 24, abs=1e-5)
    assert token < 1e-5
    assert logits < 1e-4


@pytest.mark.slow
def test_channels_last_maps_correlate_with_nothing_when_they_are_read_channels_first() -> None:
    subject = random_subject("swin_tiny_patch4_window7_224", 112, 144, "layers.0")
    measure = WithinCorrelation(Translation(32, pixels=(32,)))  # windows of 112 pixels in images of 144
    plans, _ = plan_measures([measure], subject)
    ((key, plan),) = plans.items()
    assert (plan.geometry.layout, plan.geometry.channels, plan.geometry.grid.stride) == (OutputLayout.NHWC, 96, 4)
    grid = Grid(28, 96, 4, 112, 4 * 96)
    regions = tuple(measure.group.region(element, grid, 1) for element in plan.elements)
    misread = replace(plan, geometry=Geometry(OutputLayout.NCHW, 28, grid), regions=regions)
    right, wrong = (
        build_family_rows(
            [measure], PairedPass(subject.network, subject, {key: plan}).sum_statistics(), {}, subject
        ).rows
        for plan in (plan, misread)
    )
    assert min(row.value for row in right) > 0.999
    along_x, along_y = wrong
    assert abs(along_x.value) < 0.05
    # channels that differ in their means correlate along the other axis, in different images as much as in one
    assert abs(along_y.value - along_y.floor) < 0.05
