import torch
from torch.nn.functional import interpolate, max_pool2d

from equistudy.models.unet import UNet


def test_the_forward_pass_written_out() -> None:
    torch.manual_seed(0)
    network = UNet(3, 1).build((1, 8, 8), 2).eval()
    images = torch.randn(2, 1, 8, 8)
    fine = network.encoders[0](images)
    coarse = network.encoders[1](max_pool2d(fine, 2))
    joined = torch.cat([fine, interpolate(coarse, scale_factor=2.0, mode="nearest")], dim=1)
    torch.testing.assert_close(network(images), network.head(network.decoders[0](joined)))
    assert (fine.shape[1], coarse.shape[1], joined.shape[1]) == (3, 6, 9)
