import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.springs import Springs
from equistudy.models.point_network import ForceNetwork


class Spring(torch.nn.Module):
    """The factor of the true force: - c_i c_j along the difference."""

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return -(seen[..., 1:2] * seen[..., 2:3])


def test_the_true_force_gives_the_true_trajectories() -> None:
    """The leapfrog is of second order: half the step leaves a quarter of the error."""
    springs = Springs(times=4, step=0.2, train_size=2, test_size=8)
    states, trajectories = springs.load(Split.TEST)
    errors = []
    for substeps in (8, 16):
        network = ForceNetwork(4, 0.2, substeps, central=True).build((4, 6), 4)
        network.force = Spring()
        errors.append(float((network(states) - trajectories).abs().max()))
    assert errors[0] < 0.02
    assert 3 < errors[0] / errors[1] < 5
