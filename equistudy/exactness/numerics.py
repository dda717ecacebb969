"""The numerical verdict: a network with random weights, in float64, on an image and on its transformed copies.

A network without group convolutions commutes with an element g if transforming the image and the filters transforms
the output: f_gW(g x) = g f_W(x). Each pass on a transformed image therefore transforms all convolution filters too.
Group convolutions, which transform their own filters, are used as they are.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.exactness.copies import (
    RefusedError,
    describe_error,
    find_groups,
    is_learned,
    iterate_tensors,
    mark_parameters,
    propagate_learned,
    randomise_weights,
)
from equistudy.exactness.elements import ElementParameters, get_generators, move_filters, move_image
from equistudy.exactness.outputs import measure_relative_errors
from equistudy.exactness.precision import Float64Mode, run_in_float64
from equistudy.groups.finite import FiniteGroup

__all__ = ["EXACT", "NumericalJudge", "measure_deviations"]

# In float64, what commutes deviates by rounding alone. Constants that a network keeps in float32 are rounded to 6e-8,
# so that they are symmetric to that precision only.
EXACT, EXACT_IN_FLOAT32 = 1e-9, 1e-6
CONVOLUTIONS = frozenset({"conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d"})
IDENTITY: ElementParameters = (0.0, 0.0)


class NumericalJudge:
    """Measures how far a network with random weights is from commuting with a group, at any input size."""

    def __init__(
        self, network: nn.Module, group: FiniteGroup, channels: int, seed: int = 0, num_images: int = 1
    ) -> None:
        self.group, self.channels, self.seed, self.num_images = group, channels, seed, num_images
        own = find_groups(network)
        self.own_group = own[0] if own else None
        self.threshold = EXACT_IN_FLOAT32 if _has_rounded_constants(network) else EXACT
        self.network = randomise_weights(network, seed)
        mark_parameters(self.network)

    def create_image(self, height: int, width: int) -> Float[Tensor, "B C H W"]:
        """White noise."""
        rng = torch.Generator().manual_seed(self.seed)
        return torch.randn(self.num_images, self.channels, height, width, generator=rng, dtype=torch.float64)

    def measure(
        self, height: int, width: int, elements: Iterable[ElementParameters] | None = None
    ) -> dict[ElementParameters, float]:
        """The largest relative error over the outputs for each element except the identity; infinite if refused.

        Raises RefusedError if the image itself is refused, or its output is not finite.
        """
        try:
            image = self.create_image(height, width)
        except RuntimeError as error:
            raise RefusedError("there is not enough memory for an image of this size") from error
        recorder = FilterRecorder()
        still = self._run(image, recorder)
        if not still:
            raise RefusedError("its output holds no tensor")
        if not all(bool(tensor.isfinite().all()) for tensor in still):
            raise RefusedError("its output is not finite")
        rows = [row for row in (elements or self.group.element_parameters) if row != IDENTITY]
        moved = {row: self._run_moved(image, row, recorder) for row in rows}
        errors = dict.fromkeys(rows, 0.0)
        for place, output in enumerate(still):
            found = {row: outputs[place] for row, outputs in moved.items() if len(outputs) == len(still)}
            single = measure_relative_errors(output, found, (height, width), self.own_group)
            errors = {row: max(error, single.get(row, float("inf"))) for row, error in errors.items()}
        return errors

    def is_exact(self, height: int, width: int) -> bool:
        """Whether it commutes with the group at a size, tested on generators; False if the size is refused."""
        try:
            errors = self.measure(height, width, get_generators(self.group))
        except RefusedError:
            return False
        return all(error < self.threshold for error in errors.values())

    def accepts_size(self, size: int) -> bool:
        """Whether the network takes square images of this size."""
        try:
            self._run(self.create_image(size, size), Float64Mode())
        except RefusedError:
            return False
        return True

    def create_mode(self, row: ElementParameters, recorder: "FilterRecorder") -> Float64Mode:
        """The mode for the pass on the image transformed by `row`; `recorder` has seen the pass on the image itself."""
        return MovedFilters(row, recorder.filters) if self.own_group is None else Float64Mode()

    def _run_moved(self, image: Tensor, row: ElementParameters, recorder: "FilterRecorder") -> list[Tensor]:
        """The outputs for the transformed image; none if it is refused."""
        try:
            return self._run(move_image(image, row), self.create_mode(row, recorder))
        except RefusedError:  # such as a linear layer that takes the pixels of tall images, not of wide ones
            return []

    def _run(self, image: Tensor, mode: Float64Mode) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]), run_in_float64(mode):
            torch.manual_seed(self.seed)
            try:
                return list(iterate_tensors(self.network(image)))
            except Exception as error:  # every network refuses images in its own way
                raise RefusedError(describe_error(error)) from error


def _has_rounded_constants(network: nn.Module) -> bool:
    """Whether there are buffers rounded to float32; statistics of norms do not count."""
    return any(
        buffer.is_floating_point() and buffer.ndim > 1 and bool((buffer.double() * 1024 % 1 != 0).any())
        for buffer in network.buffers()
        if not buffer.is_meta
    )


class FilterRecorder(Float64Mode):
    """Records the filters of every convolution, in call order, and tracks which tensors are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.filters: list[Tensor] = []

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of the function."""
        if name in CONVOLUTIONS:
            self.filters.append(_get_filters(args, kwargs))
        output = func(*args, **kwargs)
        propagate_learned(name, args, kwargs, output)
        return output


class MovedFilters(FilterRecorder):
    """Runs every convolution with its learned filters transformed.

    Filters that depend on the image, such as a template cropped from it, may be transformed already. Of the filters as
    they are and transformed, those closer to the transformed filters of the pass on the image itself are used.
    """

    def __init__(self, row: ElementParameters, known: list[Tensor]) -> None:
        super().__init__()
        self._row, self._known = row, known

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of the function, with its filters replaced if it is a convolution."""
        if name in CONVOLUTIONS and is_learned(own := _get_filters(args, kwargs)):
            moved, place = move_filters(own, self._row), len(self.filters)
            known = self._known[place] if place < len(self._known) else own
            if known is not own and known.shape == own.shape:
                wanted = move_filters(known, self._row)
                moved = min(moved, own, key=lambda filters: float((filters - wanted).norm()))
            args, kwargs = (args[0], moved, *args[2:]), {key: kwargs[key] for key in kwargs if key != "weight"}
        return super().call(name, func, args, kwargs)


def _get_filters(args: Any, kwargs: Mapping[str, Any]) -> Tensor:
    found: Tensor = kwargs["weight"] if "weight" in kwargs else args[1]
    return found


def measure_deviations(
    network: nn.Module, images: Float[Tensor, "1 C H W"], group: FiniteGroup, seed: int = 0
) -> dict[ElementParameters, float]:
    """The errors that a `NumericalJudge` measures at the size of these images."""
    _, channels, height, width = images.shape
    return NumericalJudge(network, group, channels, seed).measure(height, width)
