import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.springs import Springs
from equistudy.models.force_network import ForceNetwork

SPRINGS = Springs(times=4, step=0.1, train_size=2, test_size=6)
TURN = torch.tensor([[0.6, -0.8], [0.8, 0.6]])


@pytest.mark.parametrize("central", [False, True])
def test_momentum_is_kept_and_central_forces_turn_with_the_bodies(central: bool) -> None:
    torch.manual_seed(0)
    network = ForceNetwork(8, 0.1, 2, central).build((4, 6), 4)
    states = SPRINGS.load(Split.TEST).inputs
    with torch.no_grad():
        own = network(states)
        turned = states.clone()
        turned[..., :2], turned[..., 2:4] = states[..., :2] @ TURN.T, states[..., 2:4] @ TURN.T
        back = network(turned)
    assert own.shape == (6, 4, 4, 4)
    torch.testing.assert_close(own[..., 2:].sum(2), states[:, None, :, 2:4].sum(2).expand(-1, 4, -1), atol=1e-5, rtol=0)
    expected = torch.cat([own[..., :2] @ TURN.T, own[..., 2:] @ TURN.T], dim=-1)
    assert torch.allclose(back, expected, atol=1e-4) == central


@pytest.mark.parametrize("central", [False, True])
def test_before_training_no_trajectory_flies_apart(central: bool) -> None:
    states = Springs(train_size=2, test_size=30).load(Split.TEST).inputs
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            assert ForceNetwork(central=central).build((4, 6), 8)(states).abs().max() < 1e3


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"width and substeps of at least 1 and a positive step, .* substeps=0"):
        ForceNetwork(substeps=0)
    with pytest.raises(ValueError, match=r"position, momentum, mass and spring constant .* got 3\."):
        ForceNetwork().build((4, 3), 2)
    assert ForceNetwork().stages(torch.nn.Identity()) == {"output": ""}
