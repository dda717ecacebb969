"""Per-sample shifts of maps by fractions of a cell: circular by Fourier phases, or between borders by Lanczos."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["LANCZOS", "fourier_shift", "lanczos_shift"]

LANCZOS = 3  # radius of the kernel, in cells


def fourier_shift(
    maps: Float[Tensor, "B C H W"], cells: Float[Tensor, "*samples"], axis: int
) -> Float[Tensor, "B C H W"]:
    """The maps shifted circularly along axis -2 or -1 by Fourier phases; differentiable in `cells`.

    `cells` is one number for all samples or one for each. Exact for band-limited maps. The Nyquist frequency of an axis
    of even size has no phase, so that only shifts by whole cells preserve it.
    """
    size = maps.shape[axis]
    frequencies = torch.fft.rfftfreq(size, device=maps.device, dtype=maps.dtype)
    angles = cells.reshape(-1, 1, 1, 1) * (-2 * pi) * (frequencies if axis == -1 else frequencies[:, None])
    spectrum = torch.fft.rfft(maps, dim=axis)
    return torch.fft.irfft(spectrum * torch.complex(angles.cos(), angles.sin()), n=size, dim=axis)


def lanczos_shift(maps: Float[Tensor, "B C H W"], cells: Float[Tensor, " B"], axis: int) -> Float[Tensor, "B C H W"]:
    """The maps shifted along axis -2 or -1 by the windowed sinc sinc(x) sinc(x / 3) over six cells; zero outside.

    The weights are normalised to sum to 1, so that constant maps stay constant. Shifts by whole cells copy cells.
    """
    size, whole = maps.shape[axis], cells.ceil()
    ahead = whole - cells  # of the cell at i - whole, in [0, 1)
    taps = torch.arange(1 - LANCZOS, LANCZOS + 1, device=maps.device)
    distances = (taps - ahead[:, None]).double()
    weights = torch.sinc(distances) * torch.sinc(distances / LANCZOS)
    weights = torch.where(ahead[:, None] == 0, (taps == 0).double(), weights / weights.sum(dim=1, keepdim=True))
    places = torch.arange(size, device=maps.device) - whole.long()[:, None]
    along = maps.transpose(axis, -1)
    found = torch.zeros_like(along)
    for tap, weight in zip(taps.tolist(), weights.to(maps.dtype).unbind(dim=1), strict=True):
        if not weight.any():
            continue
        place = places + tap
        seen = weight[:, None] * ((place >= 0) & (place < size))
        index = place.clamp(0, size - 1)[:, None, None].expand_as(along)
        found += along.gather(-1, index) * seen[:, None, None]
    return found.transpose(axis, -1)
