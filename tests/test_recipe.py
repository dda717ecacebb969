import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equistudy.recipe import SGD, AdamW, Constant, Cosine, OneCycle, Optimiser, RateScaling, Recipe, Schedule
from equistudy.spec import to_canonical_json


@pytest.mark.parametrize("schedule", [Constant(), Cosine(), Cosine(warmup=0.1), OneCycle(), OneCycle(peak=0.5)])
@given(progress=st.floats(0, 1, exclude_max=True))
def test_schedules_stay_in_the_unit_interval(schedule: Schedule, progress: float) -> None:
    assert 0 <= schedule.factor(progress) <= 1


def test_schedules_have_their_closed_forms() -> None:
    assert OneCycle(peak=0.25).factor(0.25) == 1
    assert OneCycle(peak=0.25).factor(0.625) == pytest.approx(0.5)
    assert OneCycle().factor(0.0) == pytest.approx(0.04)
    assert Cosine().factor(0.0) == 1
    assert Cosine().factor(0.5) == pytest.approx(0.5)
    assert Cosine(warmup=0.2).factor(0.1) == pytest.approx(0.5)
    assert Cosine(warmup=0.2).factor(0.6) == pytest.approx(0.5)


@pytest.mark.parametrize("optimiser", [SGD(), SGD(momentum=0.0), AdamW()])
def test_weight_decay_spares_biases_and_norms(optimiser: Optimiser) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    decayed, spared = optimiser.build(network.parameters()).param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]
    assert decayed["weight_decay"] == optimiser.weight_decay
    assert spared["weight_decay"] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recipe(epochs=-1), "epochs must not be negative, got epochs=-1. Use 0 for no training"),
        (lambda: Recipe(batch_size=0), "batch_size must be at least 1, got batch_size=0"),
        (lambda: Recipe(label_smoothing=1.0), r"label_smoothing must lie in \[0, 1\), got label_smoothing=1.0"),
        (lambda: Recipe(clip_norm=0.0), "clip_norm must be positive or None, got clip_norm=0.0"),
        (lambda: SGD(learning_rate=0.0), "learning_rate must be positive and finite, got learning_rate=0.0"),
        (lambda: SGD(learning_rate=float("inf")), "learning_rate must be positive and finite, got learning_rate=inf"),
        (lambda: AdamW(weight_decay=-1.0), "weight_decay must not be negative, got weight_decay=-1.0"),
        (lambda: Cosine(warmup=1.0), r"warmup is a share of the training in \[0, 1\), got warmup=1.0"),
        (lambda: OneCycle(peak=0.0), r"peak is a share of the training in \(0, 1\), got peak=0.0"),
    ],
)
def test_impossible_recipes_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_what_came_later_is_checked_and_leaves_identities_as_they_were():
    for name, bad, message in (
        ("micro_batch", 0, r"micro_batch must be at least 1 or None, got micro_batch=0"),
        ("base_batch", -1, r"base_batch must be at least 1, got base_batch=-1"),
        ("stop_loss", 0.0, r"stop_loss is a positive loss or None, got stop_loss=0\.0"),
        ("average", 1.0, r"average is a decay in \(0, 1\) or None, got average=1\.0\. The usual is 0\.999"),
    ):
        with pytest.raises(ValueError, match=message):
            Recipe(**{name: bad})
    later = {"micro_batch", "scaling", "base_batch", "average", "compiled", "deterministic", "stop_loss"}
    assert not any(f'"{name}"' in to_canonical_json(Recipe()) for name in later)


def test_the_learning_rate_is_scaled_by_an_explicit_choice():
    assert Recipe(batch_size=1024).rate_factor == 1
    assert Recipe(batch_size=1024, scaling=RateScaling.LINEAR).rate_factor == 4
    assert Recipe(batch_size=64, scaling=RateScaling.SQUARE_ROOT, base_batch=256).rate_factor == 0.5


@pytest.mark.parametrize("field", ["precision", "scaling"])
def test_a_text_is_no_choice(field: str) -> None:
    with pytest.raises(TypeError, match=f"got {field}='float16'. Use one of "):
        Recipe(**{field: "float16"})
