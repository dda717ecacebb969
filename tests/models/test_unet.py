import pytest
import torch

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.unet import UNet


@pytest.mark.parametrize("group", [None, CyclicGroup(4), DihedralGroup(4)])
def test_a_group_makes_it_equivariant_exactly(group: FiniteGroup | None) -> None:
    """In float64, trained or not: the logits of a turned image are the turned logits."""
    torch.manual_seed(0)
    network = UNet(2, 2, group).build((3, 16, 16), 5).double().eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        own = network(images)
        error = float((torch.rot90(network(torch.rot90(images, 1, (2, 3))), -1, (2, 3)) - own).abs().max())
    assert own.shape == (2, 5, 16, 16)
    assert (error < 1e-12) == (group is not None)


def test_any_size_and_the_stages() -> None:
    model = UNet(4, 3)
    network = model.build((1, 45, 30), 2)
    assert network(torch.zeros(2, 1, 45, 30)).shape == (2, 2, 45, 30)
    stages = model.stages(network)
    assert list(stages) == [*(f"encoder{k}" for k in range(4)), *(f"decoder{k}" for k in (2, 1, 0)), "logits"]
    modules = dict(network.named_modules())
    assert all(path in modules for path in stages.values())


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1 field and 1 level, got width=0, levels=2"):
        UNet(0)
    with pytest.raises(ValueError, match=r"levels=4 needs images of at least 16 x 16 pixels, got 8 x 8"):
        UNet(4, 4).build((1, 8, 8), 2)
