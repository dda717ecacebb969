import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from equistudy.datasets.camvid import CamVid
from equistudy.datasets.digits import Digits
from equistudy.datasets.shapes import Shapes
from equistudy.tasks.classification import VOID_LABEL, Classification, Segmentation

TASK = Classification()


def test_one_logit_for_each_class() -> None:
    assert TASK.num_outputs(Digits()) == 10


def test_loss_is_the_summed_cross_entropy() -> None:
    assert TASK.loss(torch.zeros(3, 10), torch.tensor([0, 4, 9])) == pytest.approx(3 * math.log(10))
    sure = torch.tensor([[100.0, 0.0]])
    assert TASK.loss(sure, torch.tensor([0])) == pytest.approx(0)
    # half of the smoothing lies on the wrong one of two classes
    assert TASK.loss(sure, torch.tensor([0]), label_smoothing=0.2) == pytest.approx(0.1 * 100)


def test_accuracy_counts_the_largest_logits_at_the_target() -> None:
    outputs = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert TASK.score(outputs, torch.tensor([1, 1, 1])) == {"accuracy": 2.0}


def test_sums_over_parts_are_the_sum_over_the_whole() -> None:
    rng = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(12, 5, generator=rng, dtype=torch.float64), torch.arange(12) % 5
    whole = TASK.loss(outputs, targets)
    parts = sum(TASK.loss(outputs[rank::3], targets[rank::3]) for rank in range(3))
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=0)


PIXEL_TASK = Segmentation()
LOGITS = torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = (torch.arange(72).reshape(3, 4, 6) % 5).to(torch.uint8)


def test_the_dataset_s_void_becomes_one_number() -> None:
    labels = torch.tensor([[[0, 11], [5, 10]]], dtype=torch.uint8)
    assert PIXEL_TASK.prepare_targets(labels, CamVid()).tolist() == [[[0, VOID_LABEL], [5, 10]]]
    assert PIXEL_TASK.prepare_targets(labels, Shapes()).tolist() == [[[0, 11], [VOID_LABEL, 10]]]
    assert PIXEL_TASK.num_outputs(CamVid()) == 11


def test_void_pixels_count_in_no_loss() -> None:
    """Each image is the mean over its labelled pixels; one without any has none, and its gradient is 0."""
    labels = LABELS.clone()
    labels[0, 0] = VOID_LABEL
    labels[2] = VOID_LABEL
    logits = LOGITS.clone().requires_grad_()
    loss = PIXEL_TASK.loss(logits, labels)
    first = cross_entropy(LOGITS[:1, :, 1:], LABELS[:1, 1:].long())
    torch.testing.assert_close(loss.detach(), first + cross_entropy(LOGITS[1:2], LABELS[1:2].long()))
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[0, :, 0].any()
    assert not logits.grad[2].any()
    assert logits.grad[0, :, 1:].any()


def test_scores_are_those_of_all_labelled_pixels() -> None:
    """Against counting pixel by pixel."""
    labels = LABELS.clone()
    labels[0, 0] = VOID_LABEL
    parts = [PIXEL_TASK.score(LOGITS[part], labels[part])["confusion"] for part in (slice(0, 2), slice(2, 3))]
    scores = PIXEL_TASK.scores({"confusion": parts[0] + parts[1]}, 3, Shapes())
    answers, valid = LOGITS.argmax(1), labels != VOID_LABEL
    assert scores["pixel_accuracy"] == pytest.approx(float((answers == labels)[valid].double().mean()))
    ratios = []
    for k in range(5):
        mine, its = (answers == k) & valid, labels == k
        ratios.append(float((mine & its).sum() / (mine | its).sum()))
    assert scores["mean_iou"] == pytest.approx(sum(ratios) / 5)


def test_a_class_that_nobody_names_takes_no_part() -> None:
    labels = torch.zeros(1, 2, 2, dtype=torch.uint8)
    logits = torch.zeros(1, 5, 2, 2)
    logits[0, 0] = 1
    logits[0, 3, 0, 0] = 2
    scores = PIXEL_TASK.scores(PIXEL_TASK.score(logits, labels), 1, Shapes())
    assert scores == pytest.approx({"pixel_accuracy": 0.75, "mean_iou": (0.75 + 0.0) / 2})
    assert not math.isnan(scores["mean_iou"])


def test_images_with_a_class_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Segmentation needs a label for each pixel .* got Digits, which has a class"):
        PIXEL_TASK.check(Digits())
