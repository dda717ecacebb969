"""Looking into a network: stages by path, and batch norms of an untrained copy."""

import pytest
import torch
from torch import nn

from equistudy.measuring.stages import HookPoint, calibrate_batch_norms, find_hook_points, observe_outputs


def test_stages_are_submodules_by_path() -> None:
    network = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Flatten())
    found = find_hook_points(network, {"inner": "0.0", "output": ""})
    assert found == {"inner": HookPoint(network[0][0]), "output": HookPoint(network)}
    with pytest.raises(ValueError, match=r"must name a submodule.*stem -> conv1"):
        find_hook_points(network, {"stem": "conv1"})


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


class Several(nn.Module):
    """Runs one module three times and gives nested outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.pair = Double(), Pair()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pair(self.twice(self.twice(self.twice(images))))["both"][1]


class Double(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * images


class Pair(nn.Module):
    def forward(self, images: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {"both": (images, images + 1)}


def test_calls_and_entries_have_their_own_paths() -> None:
    network, images = Several(), torch.ones(1, 1, 2, 2)
    paths = {"first": "twice#1", "third": "twice#3", "second": "pair[both][1]", "none": "pair[both][7]"}
    seen: dict[str, list[float]] = {}
    points = find_hook_points(network, paths)
    with observe_outputs(network, points, lambda name, output: seen.setdefault(name, []).append(output.max().item())):
        network(images)
        network(10 * images)
    assert seen == {"first": [2, 20], "third": [8, 80], "second": [9, 81]}


def test_an_output_can_be_replaced_on_its_way() -> None:
    network, images = Several(), torch.ones(1, 1, 2, 2)
    for path, expected in (("twice#2", 0 * 2 + 1), ("pair[both][1]", 0), ("pair[both][0]", 9)):
        with observe_outputs(network, find_hook_points(network, {"x": path}), lambda name, output: 0 * output):
            assert network(images).max().item() == expected
    assert network(images).max().item() == 9
