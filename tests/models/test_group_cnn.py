"""P4CNN and Z2CNN have the paper's numbers of parameters; impossible networks are refused."""

import pytest
import torch

from equistudy.groups.finite import CyclicGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.networks.choices import Factorisation, Head


def parameters(model: GroupCNN, channels: int) -> int:
    return sum(parameter.numel() for parameter in model.build((channels, 28, 28), 10).parameters())


def test_parameters_of_the_paper():
    assert parameters(GroupCNN(), 3) == 24_990
    assert parameters(GroupCNN(20, None), 3) == 25_570


def test_parameters_of_five_padded_layers():
    """First layer, four others and the classifier, with biases, scales and shifts."""
    count = (9 * 6 + 3 * 6) + 4 * (9 * 6 * 4 * 6 + 3 * 6) + (6 * 10 + 10)
    assert parameters(GroupCNN(6, depth=5, last_padded=True), 1) == count == 5_398
    assert parameters(GroupCNN(12, None, depth=5, last_padded=True), 1) == 5_602


def test_sizes_of_the_maps():
    for size, pooled, last in ((28, 14, 11), (27, 13, 10), (29, 14, 11)):
        network, shapes = GroupCNN(2).build((1, size, size), 10), []
        for number in (1, 2, 6, 7):
            network.get_submodule(f"layer{number}").register_forward_hook(
                lambda module, given, output, shapes=shapes: shapes.append(tuple(output.shape[1:]))
            )
        network(torch.rand(2, 1, size, size))
        assert shapes == [(8, side, side) for side in (size, pooled, pooled, last)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupCNN(0), "at least 1 field and 3 convolutions, got width=0 and depth=7. The paper uses 10"),
        (lambda: GroupCNN(depth=2), "got width=10 and depth=2"),
        (lambda: GroupCNN(dropout=1.0), "at least 0 and less than 1, got dropout=1.0. Use 0.3 or 0"),
        (lambda: GroupCNN(20, None, factorisation=Factorisation.G), "Factorised kernels need a group"),
        (lambda: GroupCNN().build((1, 7, 9), 2), "at least 8 x 8 pixels, got 7 x 9. Enlarge .* last_padded=True"),
    ],
)
def test_impossible_networks_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("group", [None, CyclicGroup(2)])
def test_the_smallest_images_serve(group: CyclicGroup | None):
    for model in (GroupCNN(2, group), GroupCNN(2, group, last_padded=True)):
        size = model.smallest_image
        assert model.build((1, size, size), 3).eval()(torch.rand(2, 1, size, size)).shape == (2, 3)


def test_the_default_head_is_the_paper_s():
    """The mean over positions, then the maximum over the group; without a group nothing is left to choose."""
    network = GroupCNN(2, last_padded=True).build((1, 8, 8), 3).eval()
    maps = torch.randn(5, 8, 4, 4)
    assert torch.equal(network.pooled(maps), maps.mean((2, 3)).unflatten(1, (2, 4)).amax(2))
    assert GroupCNN().head is Head.MAXIMUM_OF_MEANS
    assert GroupCNN(20, None) == GroupCNN(20, None, head=Head.MEAN_OF_MAXIMA)
    plain = GroupCNN(2, None, last_padded=True).build((1, 8, 8), 3).eval()
    assert torch.equal(plain.pooled(maps), maps.mean((2, 3)))
