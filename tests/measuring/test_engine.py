"""The engine against networks whose equivariance is known, and its promises: same bits, same network afterwards."""

import io
from typing import Any

import pytest
import torch
from torch import nn

from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.agreement import AbsoluteError
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measures.correlation import BetweenCorrelation, TotalCorrelation, WithinCorrelation
from equistudy.measures.lie_derivative import LieDerivative
from equistudy.measures.selectivity import NormalisedVariance
from equistudy.measuring import engine, geometry
from equistudy.measuring.engine import (
    PairedPass,
    build_family_rows,
    create_empty_sums,
    measure_all,
    plan_measures,
    split_into_shards,
)
from equistudy.measuring.moments import cosine_similarity, normalised_error, total_correlation
from equistudy.recipe import Precision

CIRCLE = Border.CIRCULAR
FAMILY = (WithinCorrelation, TotalCorrelation, BetweenCorrelation)


def test_a_circular_network_is_exactly_equivariant(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    group = Translation(max_pixels=5, pixels=(5, 3), border=CIRCLE)
    measured = subject(convolutions((1, 1, 1), "circular"), smooth_images[:6])
    result = measure_all([measure(group) for measure in FAMILY], measured)
    assert result.skipped == []
    assert len(result.rows) == 12
    for row in result.rows:
        assert row.value == pytest.approx(1, abs=1e-12)
        assert (row.stride, row.cells, row.grid_aligned, row.channels) == (1, 48 * 48, True, 6)
        assert row.no_motion is not None
        assert row.measure == BetweenCorrelation.name or row.no_motion < 0.9


def test_errors_and_cosine_follow_from_the_same_moments(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    group = Translation(max_pixels=5, pixels=(5, 3), border=CIRCLE)
    measured = subject(convolutions((1, 1, 1), "circular"), smooth_images[:6])
    plans, _ = plan_measures([WithinCorrelation(group)], measured)
    (comparison,) = PairedPass(measured.network, measured, plans).sum_statistics().values()
    total, _ = comparison.totals
    live = total.within_aa > 0
    assert (1 - total_correlation(total)[live]).abs().max() < 1e-12
    assert (1 - cosine_similarity(total)[live]).abs().max() < 1e-12
    assert normalised_error(total)[live].max() < 1e-20


def test_strides_are_equivariant_to_their_multiples_alone(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((2, 2, 1), "circular"), smooth_images[:6])
    rows = measure_all([WithinCorrelation(Translation(max_pixels=8, border=CIRCLE))], measured).rows
    assert len(rows) == 16
    for row in rows:
        assert row.stride == 4
        assert row.grid_aligned == (row.magnitude in (4, 8))
        assert row.value == pytest.approx(1, abs=1e-12) if row.grid_aligned else row.value < 0.95


def test_fractions_of_a_pixel_show_aliasing_and_nothing_else(
    convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    group, images = SubpixelTranslation((0.5, 1.7)), smooth_images[:6, :, :45, :45]
    linear = nn.Sequential(*list(convolutions((1, 1), "circular"))[::2])
    for row in measure_all([WithinCorrelation(group)], subject(linear, images)).rows:
        assert row.value == pytest.approx(1, abs=1e-12)
        assert row.grid_aligned is False
    rectified = measure_all([WithinCorrelation(group)], subject(convolutions((1, 1), "circular"), images)).rows
    strided = convolutions((2, 2, 1), "circular")
    pixels = SubpixelTranslation((1.0, 2.0, 3.0))
    coarse = measure_all([WithinCorrelation(pixels)], subject(strided, smooth_images[:6])).rows
    assert len(rectified) == 4
    assert len(coarse) == 6
    for row in rectified:
        assert 0.9 < row.value < 1 - 1e-6
    for row in coarse:
        assert row.value < 0.95


@pytest.mark.parametrize(
    ("strides", "pixels", "broken", "radius"), [((1, 1, 1), 6, 0, 3), ((2, 2, 1), 8, 1, 2)], ids=["dense", "strided"]
)
def test_windows_less_the_reach_of_zeros_are_exact(
    strides: tuple[int, ...], pixels: int, broken: int, radius: int, convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    group = Translation(max_pixels=pixels, pixels=(pixels,))
    measures = [WithinCorrelation(group, erosion=erosion) for erosion in (broken, radius)]
    rows = measure_all(measures, subject(convolutions(strides, "zeros"), smooth_images[::8])).rows
    assert len(rows) == 4
    for row in rows:
        assert row.value < 0.9 if row.measure_id == measures[0].id else row.value == pytest.approx(1, abs=1e-12)


def test_a_global_mean_of_a_circular_network_is_invariant(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(*convolutions((1, 1), "circular"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    measured = subject(network, smooth_images, pooled="4", output="")
    rows = measure_all([BetweenCorrelation(Translation(max_pixels=2, border=CIRCLE))], measured).rows
    assert {row.stage for row in rows} == {"pooled", "output"}
    for row in rows:
        assert row.value == pytest.approx(1, abs=1e-12)
        assert (row.stride, row.cells, row.no_motion, row.grid_aligned) == (None, None, None, None)
        assert row.floor is not None
        assert abs(row.floor) < 0.99
        assert row.low == pytest.approx(1, abs=1.1e-6)


class Mask(nn.Module):
    """Weighs every position of a 12 x 12 map by its own random number."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.mask


@pytest.mark.parametrize("measure", FAMILY)
def test_no_measure_is_perfect_on_a_network_that_treats_positions_apart(
    measure: Any, subject: Any, smooth_images: Any
) -> None:
    torch.manual_seed(0)
    images = smooth_images[:32, :, :16, :16]
    network = nn.Sequential(Mask(), nn.Conv2d(1, 4, 1).double(), nn.Flatten(), nn.Linear(576, 5).double())
    measured = subject(network, images - images.mean((2, 3), True), map="1", output="")
    rows = measure_all([measure(Translation(max_pixels=4))], measured).rows
    assert {row.stage for row in rows} == ({"map", "output"} if measure is BetweenCorrelation else {"map"})
    assert len(rows) == (16 if measure is BetweenCorrelation else 8)
    for row in rows:
        assert row.value < 0.9


def test_float32_agrees_with_float64(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    group = Translation(max_pixels=3)
    measures = [measure(group) for measure in FAMILY]
    exact = measure_all(measures, subject(convolutions((1, 2), "zeros"), smooth_images)).rows
    single = measure_all(measures, subject(convolutions((1, 2), "zeros").float(), smooth_images.float())).rows
    assert len(exact) == len(single) == 18
    for double_row, single_row in zip(exact, single, strict=True):
        for name in ("value", "low", "high", "floor", "no_motion"):
            assert getattr(single_row, name) == pytest.approx(getattr(double_row, name), abs=1e-5)


def test_short_numbers_move_correlations_by_little(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    group, measured = Translation(max_pixels=3), subject(convolutions((1, 2), "zeros").float(), smooth_images.float())
    seen: set[torch.dtype] = set()
    measured.network[-1].register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    plain, short = (WithinCorrelation(group, precision=precision) for precision in Precision)
    assert plain == WithinCorrelation(group)
    assert plain.id == WithinCorrelation(group).id != short.id
    rows = measure_all([plain, short], measured).rows
    assert seen == {torch.float32, torch.bfloat16}
    exact, rounded = ([row for row in rows if row.measure_id == measure.id] for measure in (plain, short))
    assert len(exact) == len(rounded) == 6
    for one, other in zip(exact, rounded, strict=True):
        assert other.value == pytest.approx(one.value, abs=2e-3)
        assert other.no_motion != one.no_motion
        assert other.low == pytest.approx(one.low, abs=5e-3)


def test_the_shard_size_changes_neither_values_nor_intervals(
    convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    measures = [measure(Translation(max_pixels=3)) for measure in FAMILY]
    measured = subject(convolutions((1, 2), "zeros").float(), smooth_images.float())
    usual, small = measure_all(measures, measured).rows, measure_all(measures, measured, shard_size=7).rows
    for one, other in zip(usual, small, strict=True):
        assert (one.value, one.low) == pytest.approx((other.value, other.low), abs=1e-5)


def test_views_go_forward_together_or_apart(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((1, 2), "zeros"), smooth_images[:40])
    plans, _ = plan_measures([WithinCorrelation(Translation(max_pixels=3))], measured)
    apart, together = (PairedPass(measured.network, measured, plans) for _ in range(2))
    assert apart.views_together == 1
    together.views_together = 4
    for one, other in zip(apart.sum_statistics().values(), together.sum_statistics().values(), strict=True):
        for field, same in zip(one.totals[0], other.totals[0], strict=True):
            torch.testing.assert_close(field, same, rtol=1e-9, atol=1e-9)


def test_shards_cover_the_images_and_none_is_alone() -> None:
    assert split_into_shards(70) == [range(32), range(32, 64), range(64, 70)]
    assert split_into_shards(65) == [range(32), range(32, 65)]
    assert split_into_shards(1) == [range(1)]


def test_too_few_cells_are_named_and_not_measured(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((2, 2, 1), "zeros"), smooth_images[:4, :, :32, :32])
    result = measure_all([WithinCorrelation(Translation(max_pixels=8, pixels=(1, 8)))], measured)
    assert result.rows == []
    assert [(skipped.element, skipped.reason) for skipped in result.skipped] == [
        ("dx=1", "4 x 3 of 6 x 6 cells can be compared, fewer than 4 x 4"),
        ("dy=1", "3 x 4 of 6 x 6 cells can be compared, fewer than 4 x 4"),
        ("dx=8", "4 x 2 of 6 x 6 cells can be compared, fewer than 4 x 4"),
        ("dy=8", "2 x 4 of 6 x 6 cells can be compared, fewer than 4 x 4"),
    ]


def test_the_network_is_as_it_was(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    network = nn.Sequential(*convolutions((1,), "zeros"), nn.BatchNorm2d(6).double(), nn.Dropout()).train()
    network[3].eval()
    untrained = nn.Sequential(*convolutions((1,), "zeros"), nn.BatchNorm2d(6).double(), nn.Dropout()).train()
    before = [value.clone() for net in (network, untrained) for value in net.state_dict().values()]
    measured = subject(network, smooth_images[:4])._replace(untrained=untrained)
    first = measure_all([WithinCorrelation(Translation(max_pixels=1)), Accuracy()], measured._replace(targets=None))
    again = measure_all([WithinCorrelation(Translation(max_pixels=1)), Accuracy()], measured._replace(targets=None))
    assert first == again
    assert [module.training for module in network] == [True, True, True, False]
    assert all(module.training for module in untrained)
    assert not any(module._forward_hooks for module in [*network.modules(), *untrained.modules()])
    after = [value for net in (network, untrained) for value in net.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_untrained_network_stands_beside_the_trained(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    trained = nn.Sequential(*convolutions((1, 1), "circular"), nn.BatchNorm2d(6).double())
    untrained = nn.Sequential(*convolutions((1, 1), "zeros"), nn.BatchNorm2d(6).double())
    measured = subject(trained, smooth_images[:8])._replace(untrained=untrained)
    measure = WithinCorrelation(Translation(max_pixels=2, border=CIRCLE))
    for row in measure_all([measure], measured).rows:
        assert row.value == pytest.approx(1)
        assert row.untrained is not None
        assert row.untrained < 0.99


class Fickle(nn.Module):
    """Leaves out a row of its maps where more than two images come together."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps if len(maps) <= 2 else maps[:, :, 1:]


@pytest.mark.parametrize("kind", [WithinCorrelation, AbsoluteError, NormalisedVariance, LieDerivative])
def test_a_stage_that_changes_its_shape_is_named(
    kind: Any, convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    measured = subject(nn.Sequential(*convolutions((2,), "zeros"), Fickle()), smooth_images[:4], fickle="2")
    with pytest.raises(ValueError, match=r"got \[4, 6, 23, 24\] from stage 'fickle' where .* \[4, 6, 24, 24\]"):
        measure_all([kind(Translation(max_pixels=1, border=CIRCLE))], measured)


def test_what_is_no_image_is_refused(convolutions: Any, subject: Any, smooth_images: Any) -> None:
    measured = subject(convolutions((1,), "zeros"), smooth_images[:1])
    with pytest.raises(ValueError, match="at least 2 images"):
        measure_all([Accuracy()], measured)
    with pytest.raises(ValueError, match="Divide 8-bit images by 255"):
        measure_all([Accuracy()], measured._replace(images=torch.zeros(4, 1, 8, 8, dtype=torch.uint8)))


def test_groups_with_views_of_one_size_probe_the_network_once(
    convolutions: Any, subject: Any, smooth_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []

    def counting(network: nn.Module, modules: Any, images: torch.Tensor, offsets: bool) -> Any:
        assert not offsets  # translations do not ask where the cells lie
        probed.append(tuple(images.shape[2:]))
        return geometry.probe_geometries(network, modules, images, offsets)

    monkeypatch.setattr(engine, "probe_geometries", counting)
    measured = subject(convolutions((1,), "circular"), smooth_images[:4])
    groups = [Translation(max_pixels=size, border=CIRCLE) for size in (1, 2)] + [Translation(max_pixels=1)]
    assert len(measure_all([WithinCorrelation(group) for group in groups], measured).rows) == 2 + 4 + 2
    assert probed == [(48, 48), (47, 47)]


def test_a_pass_goes_on_from_a_saved_state_to_the_same_bits(
    convolutions: Any, subject: Any, smooth_images: Any
) -> None:
    network = nn.Sequential(*convolutions((1, 2), "zeros"), nn.AdaptiveAvgPool2d(1), nn.Flatten()).float()
    measured = subject(network, smooth_images[:50].float(), map="3", output="")
    measures = [WithinCorrelation(Translation(max_pixels=2)), ShiftConsistency(Translation(max_pixels=2))]
    plans, _ = plan_measures(measures, measured)
    walk = PairedPass(network, measured, plans)
    first, second = create_empty_sums(plans, 50), create_empty_sums(plans, 50)
    for key, part in walk.process_shard(range(32)).items():
        first[key].add(0, part)
    saved = io.BytesIO()
    torch.save([sums.state() for sums in first.values()], saved)
    saved.seek(0)
    for sums, state in zip(second.values(), torch.load(saved, weights_only=True), strict=True):
        sums.load(state)
    for key, part in walk.process_shard(range(32, 50)).items():
        second[key].add(32, part)
    rows = build_family_rows(measures, second, {}, measured).rows
    assert {row.measure for row in rows} == {"within_correlation", "shift_consistency"}
    assert rows == measure_all(measures, measured).rows
