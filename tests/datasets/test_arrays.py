"""The fixed order behind balanced subsets."""

import torch

from equistudy.datasets.arrays import stratified_order


def test_every_prefix_of_the_stratified_order_is_in_proportion():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    order = stratified_order(labels.tolist())
    assert sorted(order) == list(range(100))
    ordered = labels[order]
    for size in range(1, 101):
        share = torch.tensor([0.5, 0.3, 0.2]) * size
        assert ((ordered[:size].bincount(minlength=3) - share).abs() <= 1).all()
    assert order != sorted(order)


def test_the_order_is_fixed():
    assert stratified_order([0, 1, 0, 1, 0, 1, 0, 1]) == [4, 3, 0, 1, 7, 2, 6, 5]
