"""The chain of group convolutions commutes with every element at even sizes."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.unet import UNet
from equistudy.networks.choices import Factorisation
from tests.models.regular_features import deviations, unsettled


@pytest.mark.parametrize("factorisation", Factorisation)
@pytest.mark.parametrize("group", [CyclicGroup(4), DihedralGroup(4)], ids=["P4", "P4M"])
def test_one_pixel_decides(group: FiniteGroup, factorisation: Factorisation):
    for size, exact in ((27, False), (28, True), (29, False)):
        torch.manual_seed(0)
        model = GroupCNN(2, group, factorisation=factorisation)
        network = unsettled(model.build((1, size, size), 5))
        found = deviations(network, model.stages(network), group, torch.randn(2, 1, size, size, dtype=torch.float64))
        assert max(found["layer1"]) < 1e-12
        if exact:
            assert max(map(max, found.values())) < 1e-12
            continue
        if group.order == 8:
            assert found["layer7"].pop(4) < 1e-12
        assert min(found["layer7"]) > 1e-2


def test_dropout_and_pool_stand_where_the_paper_has_them():
    network = GroupCNN(2, dropout=0.3).build((1, 28, 28), 10)
    kinds = {nn.Dropout: [], nn.MaxPool2d: []}
    for number in range(1, 8):
        for part in network.get_submodule(f"layer{number}"):
            kinds.get(type(part), []).append(number)
    assert kinds == {nn.Dropout: [1, 3, 4, 5], nn.MaxPool2d: [2]}
    assert not any(isinstance(part, nn.Dropout) for part in GroupCNN(2, dropout=0.0).build((1, 28, 28), 10).modules())


def test_the_forward_pass_written_out() -> None:
    torch.manual_seed(0)
    network = UNet(3, 1).build((1, 8, 8), 2).eval()
    images = torch.randn(2, 1, 8, 8)
    fine = network.encoders[0](images)
    coarse = network.encoders[1](max_pool2d(fine, 2))
    joined = torch.cat([fine, interpolate(coarse, scale_factor=2.0, mode="nearest")], dim=1)
    torch.testing.assert_close(network(images), network.head(network.decoders[0](joined)))
    assert (fine.shape[1], coarse.shape[1], joined.shape[1]) == (3, 6, 9)
