"""A GPU that is not there is named, and one that is shared is shared out."""

from dataclasses import dataclass

import pytest
import torch

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.device import check_device, claim_memory
from equistudy.training.trainer import Trainer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NO_GPU = r"on a GPU need torch to see one, got torch \S+ on \S+ without\. .*use --gpus-per-trial 0"


def test_a_gpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    trial = Trial(ResNet(8, 2), Digits(), Classification(), NoAugmentation(), Recipe(), seed=0)
    check_device(CPU)
    for asked in (lambda: check_device(CUDA), lambda: claim_memory(CUDA, 1.0), lambda: Trainer(trial, CUDA)):
        with pytest.raises(ValueError, match=NO_GPU):
            asked()


@dataclass
class Properties:
    total_memory: int


@pytest.mark.parametrize(
    ("share", "gibibytes", "expected"),
    [(1.0, 80, []), (0.25, 80, [0.25 - 0.5 / 80]), (0.25, 8, [0.1875]), (0.1, 4, [0.05])],
)
def test_a_process_keeps_to_its_share_less_what_cuda_takes(
    share: float, gibibytes: int, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least half of it, however small the GPU."""
    limits: list[float] = []

    def limit(share: float, device: object) -> None:
        assert device == 0  # torch refuses a device without its index
        limits.append(share)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties(gibibytes * 2**30))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limit)
    claim_memory(CUDA, share)
    claim_memory(torch.device("cuda", 0), share)
    claim_memory(CPU, share)
    assert limits == pytest.approx(2 * expected)
