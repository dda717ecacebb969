import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.springs import Springs

SPRINGS = Springs(bodies=3, times=4, step=0.2, train_size=20, test_size=10)


def test_trajectories_obey_newton_s_equations() -> None:
    """Against the classical Runge-Kutta method in small steps."""
    inputs = SPRINGS.load(Split.TEST).inputs.double().numpy()
    q, p, m, c = inputs[..., :2], inputs[..., 2:4], inputs[..., 4:5], inputs[..., 5]

    def slope(state):
        places, momenta = state
        pull = (c[:, :, None] * c[:, None, :])[..., None] * (places[:, :, None] - places[:, None])
        return np.stack([momenta / m, -pull.sum(2)])

    state, step = np.stack([q, p]), 0.005
    for _ in range(160):
        first = slope(state)
        second = slope(state + step / 2 * first)
        third = slope(state + step / 2 * second)
        fourth = slope(state + step * third)
        state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
    np.testing.assert_allclose(
        SPRINGS.compute_trajectories(inputs)[:, -1], np.concatenate([*state], axis=-1), atol=1e-9
    )


def test_energy_and_momentum_are_kept() -> None:
    inputs = SPRINGS.load(Split.TRAIN).inputs.double().numpy()
    m, c = inputs[..., 4], inputs[..., 5]

    def energy(q, p):
        distances = ((q[..., :, None, :] - q[..., None, :, :]) ** 2).sum(-1)
        springs = (c[:, :, None] * c[:, None, :] * distances).sum((1, 2)) / 4
        return ((p**2).sum(-1) / (2 * m)).sum(-1) + springs

    before = energy(inputs[..., :2], inputs[..., 2:4])
    for state in SPRINGS.compute_trajectories(inputs).transpose(1, 0, 2, 3):
        np.testing.assert_allclose(energy(state[..., :2], state[..., 2:]), before, rtol=1e-10)
        np.testing.assert_allclose(state[..., 2:].sum(1), inputs[..., 2:4].sum(1), atol=1e-12)


def test_examples_are_repeatable_and_nested() -> None:
    states, trajectories = SPRINGS.load(Split.TRAIN)
    assert states.shape == (20, *SPRINGS.input_shape)
    assert trajectories.shape == (20, 4, 3, 4)
    assert torch.equal(SPRINGS.load(Split.TRAIN).inputs, states)
    assert torch.equal(Springs(3, 4, 0.2, 5, 10).load(Split.TRAIN).inputs, states[:5])
    assert not torch.equal(SPRINGS.load(Split.TEST).inputs, states[:10])
    masses, constants = states[..., 4], states[..., 5]
    assert 0.5 <= masses.min() <= masses.max() <= 2
    assert 0.5 <= constants.min() <= constants.max() <= 1.5


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 2 bodies, 1 time step.*got bodies=1"):
        Springs(bodies=1)
    with pytest.raises(ValueError, match=r"got bodies=4, times=0"):
        Springs(times=0)
