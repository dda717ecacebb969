"""Images and maps resampled, each sample by its own element: bilinear affine warps, and shifts by parts of a cell."""

from math import pi

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

__all__ = [
    "LANCZOS",
    "fourier_shift",
    "lanczos_shift",
    "rotation_matrices",
    "translation_matrices",
    "warp",
    "warp_labels",
]


def warp(images: Float[Tensor, "B C H W"], matrices: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B C H W"]:
    """Images resampled through affine maps from output to input: out(p) = in(A p + b), with [A | b] the matrix.

    Coordinates are pixels from the image centre, x to the right and y down: pixel i of an axis of n lies at
    i - (n - 1) / 2. Bilinear; zero outside the image. Keeps the dtype; differentiable in images and matrices.
    Multiples of 90 degrees on square images and whole-pixel shifts are exact up to rounding.
    """
    dtype = images.dtype if images.dtype == torch.float64 else torch.float32
    grid = _sampling_grid(images.shape[-2:], matrices.to(images.device, dtype))
    warped = grid_sample(images.to(dtype), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return warped.to(images.dtype)


def warp_labels(
    labels: UInt8[Tensor, "B H W"], matrices: Float[Tensor, "B 2 3"], outside: int
) -> UInt8[Tensor, "B H W"]:
    """Labels resampled as `warp` resamples images, but by nearest neighbour, so that no two labels are mixed.

    `outside` is the label of pixels that come from beyond the border.
    """
    grid = _sampling_grid(labels.shape[-2:], matrices.to(labels.device, torch.float32))
    shifted = (labels[:, None] + 1.0).float()  # 0 then marks pixels from outside
    found = grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]
    return torch.where(found > 0, found - 1, outside).to(torch.uint8)


def _sampling_grid(size: torch.Size, matrices: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B H W 2"]:
    """The sampling position of each output pixel, in the normalised coordinates of `grid_sample`."""
    height, width = size
    dtype = matrices.dtype
    x = torch.arange(width, dtype=dtype, device=matrices.device)[:, None] - (width - 1) / 2
    y = torch.arange(height, dtype=dtype, device=matrices.device)[:, None, None] - (height - 1) / 2
    # torch's affine_grid is a matrix product, which autocast would run in 16 bits. This keeps the dtype.
    rows = matrices[:, None, None]
    # [B, 1, W, 2] + [B, H, 1, 2]: only the sum has the size of the images
    places = (rows[..., 0] * x + rows[..., 1] * y).add_(rows[..., 2])
    return places.mul_(torch.tensor([2 / width, 2 / height], dtype=dtype, device=matrices.device))


def rotation_matrices(degrees: Float[Tensor, " B"]) -> Float[Tensor, "B 2 3"]:
    """Output-to-input matrices that rotate the content about the centre, counter-clockwise as displayed.

    90 degrees equals `torch.rot90(images, 1, dims=(2, 3))`.
    """
    # Sines in float64, so that 90 degrees gives 6e-17 in place of float32's 4e-8.
    radians = torch.deg2rad(degrees.double())
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    rows = [torch.stack([cos, -sin, zero], dim=-1), torch.stack([sin, cos, zero], dim=-1)]
    return torch.stack(rows, dim=-2).to(degrees.dtype)


def translation_matrices(dx: Float[Tensor, " B"], dy: Float[Tensor, " B"]) -> Float[Tensor, "B 2 3"]:
    """Output-to-input matrices that move the content by `dx` pixels to the right and `dy` pixels down."""
    zero, one = torch.zeros_like(dx), torch.ones_like(dx)
    return torch.stack([torch.stack([one, zero, -dx], dim=-1), torch.stack([zero, one, -dy], dim=-1)], dim=-2)


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
