"""Sources give what is asked for at the places of a batch, and streams only their own share."""

from pathlib import Path

import pytest
import torch

from equistudy.datasets.dataset import Examples, Split
from equistudy.datasets.digits import Digits
from equistudy.training.sources import SINGLE_WORKER, ResidentSource, Share, Source, StreamedSource, build_source
from tests.datasets.shards import COUNT, shards

CPU = torch.device("cpu")


def test_the_dataset_says_how_it_is_read(tmp_path: Path) -> None:
    dataset = shards(tmp_path)
    assert isinstance(build_source(Digits(), CPU), ResidentSource)
    assert isinstance(build_source(dataset, CPU), StreamedSource)
    for source, count in ((build_source(Digits(), CPU), 1200), (build_source(dataset, CPU), COUNT)):
        assert isinstance(source, Source)
        assert len(source) == count
        assert source.device == CPU


def test_a_resident_split_is_permuted_by_the_seed() -> None:
    split = Digits().load(Split.TEST)
    source = ResidentSource(Examples(split.inputs[:50], torch.arange(50)))
    everything = torch.arange(25)
    batches = [take(everything)[1] for take in source.batches(4, [25, 25], 0, SINGLE_WORKER)]
    assert sorted(torch.cat(batches).tolist()) == list(range(50))
    (later,) = source.batches(4, [25, 25], 1, Share(1, 2))
    inputs, targets = later(torch.tensor([3, 0]))
    assert targets.tolist() == batches[1][[3, 0]].tolist()
    assert torch.equal(inputs, split.inputs[targets])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_stream_gives_each_worker_its_places(tmp_path: Path, workers: int) -> None:
    source, sizes = build_source(shards(tmp_path), CPU), [20, 20, 20]
    whole = [take(torch.arange(20)) for take in source.batches(1, sizes, 0, SINGLE_WORKER)]
    for rank in range(workers):
        mine = torch.arange(rank, 20, workers).flip(0)
        for take, (inputs, targets) in zip(source.batches(1, sizes, 0, Share(rank, workers)), whole, strict=True):
            own_inputs, own_targets = take(mine)
            assert torch.equal(own_inputs, inputs[mine])
            assert torch.equal(own_targets, targets[mine])
