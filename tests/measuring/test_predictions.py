"""Answers: whole numbers, the same in any order of shards, and none where an output is not finite."""

import torch

from equistudy.groups.translation import Translation
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measuring.comparison import ComparisonPlan
from equistudy.measuring.geometry import Geometry, OutputLayout
from equistudy.measuring.predictions import NO_PREDICTION, Predictions, ShardPredictions


def plan() -> ComparisonPlan:
    found, skipped = ShiftConsistency(Translation(max_pixels=1)).plan_stage("", Geometry(OutputLayout.VECTOR, 3))
    assert found is not None
    assert skipped == []
    return found


def test_the_largest_output_is_the_answer_and_of_equal_ones_the_first() -> None:
    shard = ShardPredictions(plan())
    shard.take(0, torch.tensor([[0.0, 2.0, 1.0], [1.0, 1.0, 0.0]]))
    shard.take(1, torch.tensor([[0.0, torch.nan, 1.0], [torch.inf, 0.0, 0.0]]))
    assert shard.finish().tolist() == [[1, NO_PREDICTION], [0, NO_PREDICTION]]


def test_shards_in_any_order_give_one_table() -> None:
    parts = {0: torch.tensor([[0, 1], [2, 2]]), 2: torch.tensor([[1, 1]]), 3: torch.tensor([[0, 2]])}
    tables = []
    for order in ((0, 2, 3), (3, 0, 2)):
        answers = Predictions(plan())
        for first in order:
            answers.add(first, parts[first])
        tables.append(answers.table)
    assert torch.equal(*tables)
    assert tables[0].tolist() == [[0, 1], [2, 2], [1, 1], [0, 2]]
