import pytest
import torch

from equistudy.models.plain_cnn import PlainCNN


@pytest.mark.parametrize(
    ("model", "shape", "outputs", "parameters"),
    [
        (PlainCNN(), (3, 32, 32), 10, 3_993_482),
        (PlainCNN(((128, 128, 256), (256,), (256,))), (1, 28, 28), 10, 1_628_810),
        (PlainCNN(((32, 64), (128,), (256,)), 0.0, max_pooled=True), (3, 32, 32), 4, 390_404),
    ],
)
def test_the_networks_of_the_paper_have_their_parameters(model, shape, outputs, parameters) -> None:
    network = model.build(shape, outputs)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    stages = model.stages(network)
    assert list(stages) == ["stage1", "stage2", "stage3", "pooled", "logits"]
    assert network.eval()(torch.zeros(2, *shape)).shape == (2, outputs)


@pytest.mark.parametrize(("max_pooled", "pool"), [(False, torch.mean), (True, torch.amax)])
def test_the_map_ends_in_one_value_of_each_channel(max_pooled, pool) -> None:
    network = PlainCNN(((4,), (8,)), 0.0, max_pooled=max_pooled).build((1, 6, 10), 3).eval()
    images = torch.rand(2, 1, 6, 10, generator=torch.Generator().manual_seed(0))
    maps = network.stage2(network.stage1(images))
    torch.testing.assert_close(network(images), network.classifier(pool(maps, dim=(2, 3))))


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks of at least one convolution .* got blocks=\(\(8,\), \(\)\)"):
        PlainCNN(((8,), ()))
    with pytest.raises(ValueError, match=r"Dropout must be at least 0 and less than 1, got dropout=1"):
        PlainCNN(dropout=1.0)
    with pytest.raises(ValueError, match=r"PlainCNN with 3 blocks needs images of at least 4 x 4 pixels, got 3 x 3"):
        PlainCNN(((1,), (1,), (1,))).build((1, 3, 3), 2)
