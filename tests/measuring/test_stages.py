"""Looking into a network: stages by path, and batch norms of an untrained copy."""

import pytest
import torch
from torch import nn

from equistudy.measuring.stages import calibrate_batch_norms, find_modules


def test_stages_are_submodules_by_path() -> None:
    network = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Flatten())
    assert find_modules(network, {"inner": "0.0", "output": ""}) == {"inner": network[0][0], "output": network}
    with pytest.raises(ValueError, match=r"must name a submodule.*stem -> conv1"):
        find_modules(network, {"stem": "conv1"})


def test_calibration_gives_the_statistics_of_the_images_to_a_copy() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
    images = 3 * torch.randn(8, 1, 5, 5, generator=torch.Generator().manual_seed(0)) + 7
    copy = calibrate_batch_norms(network, images)
    assert not any(module.training for module in copy.modules())
    assert network[0].running_mean.item() == 0
    assert copy[0].running_mean.item() == pytest.approx(images.mean().item())
    assert copy[0].running_var.item() == pytest.approx(images.var().item())
    assert copy(images).std().item() == pytest.approx(1, abs=0.01)


def test_nothing_to_calibrate() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    assert calibrate_batch_norms(network, torch.rand(2, 1, 4, 4)) is network
