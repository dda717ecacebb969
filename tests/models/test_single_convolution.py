"""The single convolution: its 14 parameters, where it is exact, and what it learns where it is not."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from equistudy.datasets.dataset import Split
from equistudy.datasets.turned_pair import Picture, TurnedPair
from equistudy.models.single_convolution import SingleConvolution

STRIDED = SingleConvolution()


def test_fourteen_parameters():
    network = STRIDED.build((1, 32, 32), 2)
    assert sum(parameter.numel() for parameter in network.parameters()) == 9 + 1 + 4
    assert list(STRIDED.stages(network)) == ["convolution", "pooled", "logits"]


@pytest.mark.parametrize("size", range(9, 14))
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (4, 2, 1), (3, 1, 1), (2, 2, 0), (3, 3, 1)])
def test_invariant_exactly_where_the_stride_divides_what_it_walks(size, kernel, stride, padding):
    network = SingleConvolution(kernel, stride, padding).build((1, size, size), 2).double()
    images = torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        logits = network(images)
        turned = torch.stack([network(torch.rot90(images, turns, dims=(2, 3))) for turns in (1, 2, 3)])
    deviation = float((turned - logits).abs().max())
    assert (deviation < 1e-12) == ((size + 2 * padding - kernel) % stride == 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "picture", "size", "learns"),
    [
        (STRIDED, Picture.LETTER, 32, True),
        (STRIDED, Picture.LETTER, 33, False),
        (SingleConvolution(4), Picture.LETTER, 32, False),
        (SingleConvolution(stride=1), Picture.LETTER, 32, False),
        (STRIDED, Picture.BLOB, 32, False),
    ],
)
def test_it_tells_an_image_from_its_turn_only_if_subsampling_drops_a_row(model, picture, size, learns):
    images, targets = TurnedPair(picture, size).load(Split.TRAIN)
    torch.manual_seed(0)
    network, inputs = model.build(images.shape[1:], 2), images / 255 / TurnedPair.std[0]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    for _ in range(800):
        loss = cross_entropy(network(inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    loss = loss.item()
    assert loss < 0.05 if learns else abs(loss - math.log(2)) < 1e-3


def test_impossible_convolutions():
    with pytest.raises(ValueError, match=r"positive kernel_size and stride.*got kernel_size=0.*The paper uses 3, 2"):
        SingleConvolution(0)
    with pytest.raises(ValueError, match=r"must fit in the padded image, got kernel_size=9 for 4 x 4.*Enlarge"):
        SingleConvolution(9).build((1, 4, 4), 2)
