"""Groups that act by affine maps about the image centre: exactly for symmetries of the square, otherwise by warping.

Each cell of a feature map corresponds to a position in the image, so the same affine map, in units of cells, also moves
the feature map. Its fixed point is the image centre in cell coordinates, which need not be the centre of the map.
"""

from dataclasses import dataclass
from math import ceil, floor, inf, sqrt
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float

from equistudy.groups.group import Element, Grid, Group, Region, Views
from equistudy.groups.square import TOLERANCE, Matrix, Symmetry, apply_symmetry, find_symmetry
from equistudy.spec import Tensor

__all__ = ["AffineGroup", "crop_central_square", "inscribed_disk_mask"]


class _CellMap(NamedTuple):
    """An element as an affine map of cell coordinates about the centre of the map, from output to input.

    `symmetry` is its linear part if that is a symmetry of the square, and None otherwise.
    """

    matrix: Matrix
    symmetry: Symmetry | None

    @property
    def is_aligned(self) -> bool:
        """Whether the map takes cells to cells."""
        return self.symmetry is not None and all(abs(row[2] - round(row[2])) < TOLERANCE for row in self.matrix)


@dataclass(frozen=True)
class AffineGroup(Group):
    """Base of the groups whose elements are affine maps of positions, about the centre of the image.

    Elements that are symmetries of the square act without interpolation, all others bilinearly. In a `ROUND` group the
    other elements rotate content out of the corners: x and every g x are then masked to the inscribed disk, filled
    outside with the background (black if it is unknown), and feature maps are compared inside a disk.

    On a feature map whose cells are centred on the image, symmetries of the square take cells to cells
    (`is_grid_aligned`). Otherwise the map is interpolated about the true centre, and the interpolation error becomes
    part of the comparison: the ceiling beside each value says how large it is.
    """

    ROUND: ClassVar[bool] = False

    def matrices(self, elements: Float[Tensor, "N P"]) -> Float[Tensor, "N 2 3"]:
        """Output-to-input matrices in pixels from the centre, as `equistudy.groups.resampling.warp` takes them."""
        raise NotImplementedError

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element; pixels from beyond the border are black."""
        import torch

        from equistudy.groups.resampling import warp

        matrices = self.matrices(elements.double())
        symmetries = [_keep_if_square(find_symmetry(_to_matrix(matrix)), images.shape[-2:]) for matrix in matrices]
        if not any(symmetries):
            return warp(images, matrices)
        return torch.cat(
            [
                warp(image[None], matrix[None]) if symmetry is None else apply_symmetry(image[None], symmetry)
                for image, matrix, symmetry in zip(images, matrices, symmetries, strict=True)
            ]
        )

    def act_on_points(self, points: Float[Tensor, "B N 2"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B N 2"]:
        """Each set of points moved by the inverse of its element's output-to-input matrix."""
        import torch

        matrices = self.matrices(elements.double())
        offsets = points.double() - matrices[:, None, :, 2]
        return torch.linalg.solve(matrices[:, :, :2], offsets.transpose(1, 2)).transpose(1, 2).to(points)

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> Views:
        """The image and the moved images, cropped to the central square if the group swaps rows and columns."""
        import torch

        elements = self.elements()
        symmetries = [find_symmetry(self._element_matrix(element)) for element in elements]
        if any(symmetry is None or symmetry.is_transposing for symmetry in symmetries) and self.ROUND:
            images = crop_central_square(images)
        outside = background if background is not None else 0.0
        rows = images.new_tensor([element.parameters for element in elements], dtype=torch.float64)
        disk = inscribed_disk_mask(images) if self.ROUND and None in symmetries else None

        def view(number: int) -> Tensor:
            shown = images
            if number and (symmetry := symmetries[number - 1]) is not None:
                shown = apply_symmetry(images, symmetry)
            elif number:
                shown = self.act(images - outside, rows[number - 1].expand(len(images), -1)) + outside
            return shown if disk is None else torch.where(disk, shown, outside)

        return Views(1 + len(elements), view)

    def obstacle(self, grid: Grid) -> str | None:
        """Maps need known cell positions, and square ones for quarter turns."""
        if grid.centre is None:
            return "the positions of its cells over the image are unknown, so the map has no centre to act about"
        turned = any(
            symmetry is not None and symmetry.is_transposing
            for symmetry in (find_symmetry(self._element_matrix(element)) for element in self.elements())
        )
        if turned and grid.height != grid.width:
            return f"a map of {grid.height} x {grid.width} cells cannot be turned by 90 degrees"
        return None

    def region(self, element: Element, grid: Grid, erosion: int) -> Region:
        """The cells whose source also lies inside the map (or the disk), less the erosion."""
        assert grid.centre is not None
        limits = _ComparableCells(grid, erosion, self._radius(grid, erosion))
        return limits.region(self._cell_map(element, grid).matrix)

    def is_grid_aligned(self, element: Element, grid: Grid) -> bool:
        """Whether the element is a symmetry of the square that takes cells to cells.

        It does where the centre error is 0, and also where it is a multiple of half a cell.
        """
        return grid.centre is not None and self._cell_map(element, grid).is_aligned

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The map moved about the image centre: by copying cells where they are aligned, otherwise bilinearly."""
        import torch

        from equistudy.groups.resampling import warp

        cells = self._cell_map(element, grid)
        here = (..., region.rows, region.columns)
        if cells.symmetry is None or not cells.is_aligned:
            matrices = torch.tensor(cells.matrix, dtype=torch.float64).expand(len(features), 2, 3)
            return warp(features, matrices)[here]
        (a, b), (c, d) = cells.symmetry.linear
        x, y = (round(row[2]) for row in cells.matrix)
        # out(p) = in(A p + t) = rotated(p + A^-1 t), and A^-1 is the transpose of A.
        shift = -(b * x + d * y), -(a * x + c * y)
        turned = apply_symmetry(features, cells.symmetry)
        return (torch.roll(turned, shift, dims=(-2, -1)) if any(shift) else turned)[here]

    def _element_matrix(self, element: Element) -> Matrix:
        import torch

        return _to_matrix(self.matrices(torch.tensor([element.parameters], dtype=torch.float64))[0])

    def _cell_map(self, element: Element, grid: Grid) -> _CellMap:
        """The map A (p - c) + c + b / stride, where c is the image centre relative to the centre of the map."""
        assert grid.centre_error is not None
        (a, b, x), (c, d, y) = self._element_matrix(element)
        row, column = (-error / grid.stride for error in grid.centre_error)
        matrix = (
            (a, b, column - a * column - b * row + x / grid.stride),
            (c, d, row - c * column - d * row + y / grid.stride),
        )
        return _CellMap(matrix, find_symmetry(((a, b, 0.0), (c, d, 0.0))))

    def _radius(self, grid: Grid, erosion: int) -> float | None:
        """Radius in cells of the largest disk about the image centre that fits in the map and in the image."""
        if not self.ROUND or all(
            find_symmetry(self._element_matrix(element)) is not None for element in self.elements()
        ):
            return None
        assert grid.centre is not None
        row, column = grid.centre
        image = (min(grid.image_height, grid.image_width) - 1) / 2 / grid.stride
        return min(row, column, grid.height - 1 - row, grid.width - 1 - column, image) - erosion


class _ComparableCells(NamedTuple):
    """The cells that can be compared: those of the map less the erosion, within a disk about the image centre."""

    grid: Grid
    erosion: int
    radius: float | None

    def region(self, matrix: Matrix) -> Region:
        """The comparable cells whose source is comparable too. The set is convex, so each of its rows is one span."""
        spans = {row: self._find_span(row, matrix) for row in range(self.grid.height)}
        filled = {row: span for row, span in spans.items() if span[1] > span[0]}
        if not filled:
            return Region(slice(0, 0), slice(0, 0))
        first, left = min(filled), min(start for start, _ in filled.values())
        last, right = max(filled), max(stop for _, stop in filled.values())
        # A span between two others may round to an empty one.
        inner = tuple(
            (start - left, max(start, stop) - left) for start, stop in (spans[row] for row in range(first, last + 1))
        )
        full = all(span == (0, right - left) for span in inner)
        return Region(slice(first, last + 1), slice(left, right), None if full else inner)

    def _find_span(self, row: int, matrix: Matrix) -> tuple[int, int]:
        """The half-open range of columns of one row."""
        (a, b, x), (c, d, y) = matrix
        tall, wide = (self.grid.height - 1) / 2, (self.grid.width - 1) / 2
        below = row - tall
        low, high = _solve_interval(0.0, below, tall - self.erosion)
        for slope, constant, half in ((1.0, 0.0, wide), (a, b * below + x, wide), (c, d * below + y, tall)):
            start, stop = _solve_interval(slope, constant, half - self.erosion)
            low, high = max(low, start), min(high, stop)
        if self.radius is not None:
            assert self.grid.centre is not None
            height = self.radius**2 - (row - self.grid.centre[0]) ** 2
            if self.radius < 0 or height < -TOLERANCE:
                return 0, 0
            middle, reach = self.grid.centre[1] - wide, sqrt(max(0.0, height))
            low, high = max(low, middle - reach), min(high, middle + reach)
        if low > high + TOLERANCE:
            return 0, 0
        return ceil(low + wide - TOLERANCE), floor(high + wide + TOLERANCE) + 1


def _solve_interval(slope: float, constant: float, half: float) -> tuple[float, float]:
    """The interval of numbers t with -half <= slope t + constant <= half."""
    if abs(slope) < TOLERANCE:
        return (-inf, inf) if abs(constant) <= half + TOLERANCE else (inf, -inf)
    ends = sorted(((-half - constant) / slope, (half - constant) / slope))
    return (ends[0], ends[1]) if half > -TOLERANCE else (inf, -inf)


def _to_matrix(matrix: Float[Tensor, "2 3"]) -> Matrix:
    (a, b, x), (c, d, y) = matrix.tolist()
    return (a, b, x), (c, d, y)


def _keep_if_square(symmetry: Symmetry | None, size: tuple[int, ...]) -> Symmetry | None:
    """The symmetry, or None if it would swap rows and columns of an image that is not square."""
    return None if symmetry is None or (symmetry.is_transposing and size[0] != size[1]) else symmetry


def crop_central_square(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h h"]:
    """The largest square about the centre, which a quarter turn maps to itself."""
    height, width = images.shape[-2:]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]


def inscribed_disk_mask(images: Float[Tensor, "B C h h"]) -> Bool[Tensor, "h h"]:
    """The pixels whose centre lies in the inscribed disk, where every rotation interpolates four known pixels."""
    import torch

    size = images.shape[-1]
    distance = torch.arange(size, device=images.device, dtype=torch.float64) - (size - 1) / 2
    return distance.square() + distance[:, None].square() <= ((size - 1) / 2) ** 2 + TOLERANCE
