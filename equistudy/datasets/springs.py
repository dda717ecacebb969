"""Bodies in the plane with a spring between every pair, and their trajectories in closed form."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target
from equistudy.datasets.draws import draw_normals, draw_uniforms

__all__ = ["Springs"]


@dataclass(frozen=True)
class Springs(Dataset):
    """`bodies` with masses m and spring constants c in the plane; the target is their states at the next `times` steps.

    The energy is sum_i |p_i|^2 / (2 m_i) + 1/2 sum_{i<j} c_i c_j |q_i - q_j|^2. The features of a body are q, p, m and
    c; q and p are standard normal, m is uniform on [0.5, 2] and c on [0.5, 1.5]. The trajectory consists of q and p at
    the first `times` multiples of `step`. Every linear map of the plane, applied to all q and p, takes trajectories to
    trajectories.

    The equations are linear, so that trajectories are computed exactly: in the eigenbasis of the mass-scaled stiffness
    matrix every mode is a harmonic oscillator, and the centre of mass moves uniformly.

    Source: the construction follows the spring dynamics of Finzi et al. 2020, arXiv:2002.12880, also used by Benton et
    al. 2020, arXiv:2010.11882, with six bodies, masses on [0.1, 3.1] and constants on [0, 5].

    >>> import equistudy as eq
    >>> eq.Springs(bodies=2, times=4).input_shape
    (2, 6)
    """

    bodies: int = 4
    times: int = 8
    step: float = 0.25
    train_size: int = 1000
    test_size: int = 500

    modality: ClassVar[Modality] = Modality.POINTS
    target: ClassVar[Target] = Target.TRAJECTORY
    space: ClassVar[int] = 2
    vectors: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.bodies < 2 or self.times < 1 or min(self.train_size, self.test_size) < 1 or not self.step > 0:
            raise ValueError(
                f"Springs needs at least 2 bodies, 1 time step and 1 example, and a positive step, got "
                f"bodies={self.bodies}, times={self.times}, step={self.step}, train_size={self.train_size}, "
                f"test_size={self.test_size}. The defaults are {Springs()}."
            )

    @property
    def num_times(self) -> int:  # type: ignore[override]
        """The number of time steps of a trajectory."""
        return self.times

    @property
    def input_shape(self) -> tuple[int, int]:
        """(bodies, 6): two coordinates, two momenta, mass and spring constant."""
        return self.bodies, 6

    def fingerprint(self) -> str:
        """A constant: the states are determined by the fields and this code."""
        return "generated"

    def load(self, split: Split) -> Examples:
        """The initial states and the trajectories. A smaller set is the start of a larger one."""
        import torch

        count, train = (self.train_size, 1) if split is Split.TRAIN else (self.test_size, 0)
        state = draw_normals(2 * train, count, self.bodies, 4)
        constants = np.array([0.5, 0.5]) + np.array([1.5, 1.0]) * draw_uniforms(2 * train + 1, count, self.bodies, 2)
        inputs = np.concatenate([state, constants], axis=-1)
        return Examples(torch.from_numpy(inputs).float(), torch.from_numpy(self.compute_trajectories(inputs)).float())

    def compute_trajectories(self, inputs: Float64[np.ndarray, "N P 6"]) -> Float64[np.ndarray, "N T P 4"]:
        """Positions and momenta at every time step, exactly."""
        q, p, m, c = inputs[..., :2], inputs[..., 2:4], inputs[..., 4], inputs[..., 5]
        root = np.sqrt(m)
        stiffness = -c[:, :, None] * c[:, None, :]
        diagonal = np.arange(self.bodies)
        stiffness[:, diagonal, diagonal] -= stiffness.sum(2)
        squares, basis = np.linalg.eigh(stiffness / (root[:, :, None] * root[:, None, :]))
        frequency = np.sqrt(np.maximum(squares, 0))[:, None, :, None]
        modes, speeds = (basis.transpose(0, 2, 1) @ part for part in (root[..., None] * q, p / root[..., None]))
        phase = frequency * (self.step * np.arange(1, self.times + 1))[:, None, None]
        # sin(w t) / w, which is t for the centre of mass, where w = 0
        times = self.step * np.arange(1, self.times + 1)[:, None, None]
        slow = times * np.sinc(phase / np.pi)
        places = np.cos(phase) * modes[:, None] + slow * speeds[:, None]
        momenta = np.cos(phase) * speeds[:, None] - frequency * np.sin(phase) * modes[:, None]
        back = (basis[:, None] @ part for part in (places, momenta))
        scale = root[:, None, :, None]
        return np.concatenate([next(back) / scale, next(back) * scale], axis=-1)
