import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.springs import Springs
from equistudy.groups.exponential import rotation_exponentials
from equistudy.models.point_network import ForceNetwork, PointNetwork
from equistudy.networks.choices import PairFeatures


def cloud(features: int) -> torch.Tensor:
    """Two sets of five points, the last two of the first one padding where there are features."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(2, 5, 3 + features, generator=rng, dtype=torch.float64)
    if features:
        points[0, 3:] = 0
    return points


def network(sight: PairFeatures, features: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return PointNetwork(8, sight).build((5, 3 + features), 2).double()


@pytest.mark.parametrize("features", [0, 4])
@pytest.mark.parametrize(
    ("sight", "shifts", "turns"),
    [
        (PairFeatures.PLACES, False, False),
        (PairFeatures.DIFFERENCES, True, False),
        (PairFeatures.DISTANCES, True, True),
    ],
)
def test_what_is_seen_decides_the_invariance(sight: PairFeatures, shifts: bool, turns: bool, features: int) -> None:
    points, built = cloud(features), network(sight, features)
    own = built(points)
    assert own.shape == (2, 2)
    torch.testing.assert_close(built(points[:, [2, 0, 1, 3, 4]]), own)  # the order of the points is none
    shifted, turned = points.clone(), points.clone()
    shifted[..., :3] += torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    turned[..., :3] @= rotation_exponentials(torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64))
    assert torch.allclose(built(shifted), own, atol=1e-10) == shifts
    assert torch.allclose(built(turned), own, atol=1e-10) == turns


@pytest.mark.parametrize("sight", list(PairFeatures))
def test_padding_counts_nowhere(sight: PairFeatures) -> None:
    """Wherever its places are moved to, and with gradients that are finite."""
    points, built = cloud(4), network(sight, 4)
    moved = points.clone()
    moved[0, 3:, :3] = 7.0
    torch.testing.assert_close(built(moved), built(points))
    points.requires_grad_()
    built(points).sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()
    assert not points.grad[0, 3:, :3].any()


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"width must be at least 1, got width=0"):
        PointNetwork(0)
    with pytest.raises(ValueError, match=r"needs points in 3D, got 2 features"):
        PointNetwork().build((5, 2), 1)
    assert PointNetwork().stages(torch.nn.Identity()) == {"output": ""}


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


def test_force_network_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"width and substeps of at least 1 and a positive step, .* substeps=0"):
        ForceNetwork(substeps=0)
    with pytest.raises(ValueError, match=r"position, momentum, mass and spring constant .* got 3\."):
        ForceNetwork().build((4, 3), 2)
    assert ForceNetwork().stages(torch.nn.Identity()) == {"output": ""}
