"""Groups that act by affine maps about the centre of the image: exact on the symmetries of the square, else by warping.

A cell of a feature map looks at a position of the image, so the same affine map, seen in cells, moves the map: about
the cell coordinates of the image's centre, which need not be the centre of the map.
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
    """An element as an affine map of cells, counted from the centre of the map: from those it fills to those it shows.

    `symmetry` is its linear part, if that is a symmetry of the square.
    """

    matrix: Matrix
    symmetry: Symmetry | None

    @property
    def is_aligned(self) -> bool:
        """Whether cells move to cells."""
        return self.symmetry is not None and all(abs(row[2] - round(row[2])) < TOLERANCE for row in self.matrix)


@dataclass(frozen=True)
class AffineGroup(Group):
    """Base of the groups whose elements are affine maps of positions, about the centre of the image.

    Elements that are symmetries of the square act without interpolation, all others bilinearly. If the group is
    `ROUND`, its other elements turn content out of the corners: then x and each g x show the inscribed disk alone, with
    the background (black where it is not known) around it, and maps are compared inside a disk.

    On a feature map whose cells are centred on the image, symmetries of the square move cells to cells
    (`is_grid_aligned`). Elsewhere the map is interpolated about the true centre, which mixes the loss of the
    interpolation into the comparison: see the ceiling beside the value.
    """

    ROUND: ClassVar[bool] = False

    def matrices(self, elements: Float[Tensor, "N P"]) -> Float[Tensor, "N 2 3"]:
        """Output-to-input matrices in pixels from the centre, as `equistudy.groups.affine.warp` takes them."""
        raise NotImplementedError

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element; black enters."""
        import torch

        from equistudy.groups.affine import warp

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
        """The image and the moved images: a central square of them where the group turns rows into columns."""
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
        """The centre of the cells must be known, and quarter turns need square maps."""
        if grid.centre is None:
            return (
                "where the centres of its cells lie over the image is not known, so the map has no centre to act about"
            )
        turned = any(
            symmetry is not None and symmetry.is_transposing
            for symmetry in (find_symmetry(self._element_matrix(element)) for element in self.elements())
        )
        if turned and grid.height != grid.width:
            return f"a map of {grid.height} x {grid.width} cells cannot be turned by 90 degrees"
        return None

    def region(self, element: Element, grid: Grid, erosion: int) -> Region:
        """The cells that lie inside and show what lies inside, less the erosion; of the disk if there is one."""
        assert grid.centre is not None
        limits = _ComparableCells(grid, erosion, self._radius(grid, erosion))
        return limits.region(self._cell_map(element, grid).matrix)

    def is_grid_aligned(self, element: Element, grid: Grid) -> bool:
        """Whether the element is a symmetry of the square and moves cells to cells: their centre error is 0.

        Or it is half a cell, or a whole one: then a turn about the centre of the image moves cells to cells as well.
        """
        return grid.centre is not None and self._cell_map(element, grid).is_aligned

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The map moved about the centre of the image; a copy of cells where they are aligned, else bilinear."""
        import torch

        from equistudy.groups.affine import warp

        cells = self._cell_map(element, grid)
        here = (..., region.rows, region.columns)
        if cells.symmetry is None or not cells.is_aligned:
            matrices = torch.tensor(cells.matrix, dtype=torch.float64).expand(len(features), 2, 3)
            return warp(features, matrices)[here]
        (a, b), (c, d) = cells.symmetry.linear
        x, y = (round(row[2]) for row in cells.matrix)
        # out(p) = in(A p + t) = turned(p + A^-1 t), and A^-1 is A transposed.
        shift = -(b * x + d * y), -(a * x + c * y)
        turned = apply_symmetry(features, cells.symmetry)
        return (torch.roll(turned, shift, dims=(-2, -1)) if any(shift) else turned)[here]

    def _element_matrix(self, element: Element) -> Matrix:
        import torch

        return _to_matrix(self.matrices(torch.tensor([element.parameters], dtype=torch.float64))[0])

    def _cell_map(self, element: Element, grid: Grid) -> _CellMap:
        """The map A (p - c) + c + b / stride, with c the image's centre as seen from the map's."""
        assert grid.centre_error is not None
        (a, b, x), (c, d, y) = self._element_matrix(element)
        row, column = (-error / grid.stride for error in grid.centre_error)
        matrix = (
            (a, b, column - a * column - b * row + x / grid.stride),
            (c, d, row - c * column - d * row + y / grid.stride),
        )
        return _CellMap(matrix, find_symmetry(((a, b, 0.0), (c, d, 0.0))))

    def _radius(self, grid: Grid, erosion: int) -> float | None:
        """The largest disk about the image's centre that lies in the map and in the image, in cells."""
        if not self.ROUND or all(
            find_symmetry(self._element_matrix(element)) is not None for element in self.elements()
        ):
            return None
        assert grid.centre is not None
        row, column = grid.centre
        image = (min(grid.image_height, grid.image_width) - 1) / 2 / grid.stride
        return min(row, column, grid.height - 1 - row, grid.width - 1 - column, image) - erosion


class _ComparableCells(NamedTuple):
    """Which cells can be compared: those of the map less the erosion, and of a disk about the image's centre."""

    grid: Grid
    erosion: int
    radius: float | None

    def region(self, matrix: Matrix) -> Region:
        """The cells inside that show cells inside. The set is convex, so that each row of it is one span."""
        spans = {row: self._find_span(row, matrix) for row in range(self.grid.height)}
        filled = {row: span for row, span in spans.items() if span[1] > span[0]}
        if not filled:
            return Region(slice(0, 0), slice(0, 0))
        first, left = min(filled), min(start for start, _ in filled.values())
        last, right = max(filled), max(stop for _, stop in filled.values())
        # A span may round to nothing between two that do not.
        inner = tuple(
            (start - left, max(start, stop) - left) for start, stop in (spans[row] for row in range(first, last + 1))
        )
        full = all(span == (0, right - left) for span in inner)
        return Region(slice(first, last + 1), slice(left, right), None if full else inner)

    def _find_span(self, row: int, matrix: Matrix) -> tuple[int, int]:
        """The columns of one row, from the first to behind the last."""
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
    """The numbers t with -half <= slope t + constant <= half: from the first to the last."""
    if abs(slope) < TOLERANCE:
        return (-inf, inf) if abs(constant) <= half + TOLERANCE else (inf, -inf)
    ends = sorted(((-half - constant) / slope, (half - constant) / slope))
    return (ends[0], ends[1]) if half > -TOLERANCE else (inf, -inf)


def _to_matrix(matrix: Float[Tensor, "2 3"]) -> Matrix:
    (a, b, x), (c, d, y) = matrix.tolist()
    return (a, b, x), (c, d, y)


def _keep_if_square(symmetry: Symmetry | None, size: tuple[int, ...]) -> Symmetry | None:
    """The symmetry, unless it would turn an image that is not square."""
    return None if symmetry is None or (symmetry.is_transposing and size[0] != size[1]) else symmetry


def crop_central_square(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h h"]:
    """The largest square about the centre, which a quarter turn maps to itself."""
    height, width = images.shape[-2:]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]


def inscribed_disk_mask(images: Float[Tensor, "B C h h"]) -> Bool[Tensor, "h h"]:
    """Which pixels have their centre in the inscribed disk, so that every turn shows four known pixels there."""
    import torch

    size = images.shape[-1]
    distance = torch.arange(size, device=images.device, dtype=torch.float64) - (size - 1) / 2
    return distance.square() + distance[:, None].square() <= ((size - 1) / 2) ** 2 + TOLERANCE
