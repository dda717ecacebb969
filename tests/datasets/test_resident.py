"""Splits on a device: read once, bounded, shared."""

import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.resident import load_resident


def test_read_once(monkeypatch):
    reads = []
    original = Digits.load
    monkeypatch.setattr(Digits, "load", lambda self, split: reads.append(split) or original(self, split))
    first = load_resident(Digits(train_size=170), Split.TRAIN, "cpu")
    second = load_resident(Digits(train_size=170), Split.TRAIN, torch.device("cpu"))
    assert first.inputs.data_ptr() == second.inputs.data_ptr()
    assert reads == [Split.TRAIN]


def test_equal_to_what_is_loaded():
    on_device, loaded = load_resident(Digits(), Split.TEST, "cpu"), Digits().load(Split.TEST)
    assert torch.equal(on_device.inputs, loaded.inputs)
    assert torch.equal(on_device.targets, loaded.targets)


def test_residents_are_bounded():
    first = load_resident(Digits(train_size=10), Split.TRAIN, "cpu")
    for size in range(11, 19):
        load_resident(Digits(train_size=size), Split.TRAIN, "cpu")
    assert load_resident(Digits(train_size=10), Split.TRAIN, "cpu").inputs.data_ptr() != first.inputs.data_ptr()
