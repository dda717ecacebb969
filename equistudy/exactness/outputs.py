"""Whether an output transforms with the image: vectors are invariant, maps and tokens move."""

from collections.abc import Callable, Mapping
from functools import partial
from math import isnan, sqrt

import torch
from torch import Tensor

from equistudy.exactness.elements import ElementParameters, move_image
from equistudy.groups.finite import FiniteGroup
from equistudy.groups.group import Element

__all__ = ["measure_relative_errors"]

MOST_PREFIX_TOKENS = 8  # class and register tokens before those of positions


LEAST_TOKENS = 2
Size = tuple[int, int]
Reading = Callable[[Tensor, ElementParameters, Size], Tensor | None]


def measure_relative_errors(
    still: Tensor, moved: Mapping[ElementParameters, Tensor], size: Size, group: FiniteGroup | None
) -> dict[ElementParameters, float]:
    """The error |f(g x) - g f(x)| / |f(x)| for each element g, for the reading of the dimensions that fits best.

    `size` is that of the images and `group` that of the network's group convolutions. NaN counts as infinite.
    """
    still, moved = _to_float64(still), {row: _to_float64(tensor) for row, tensor in moved.items()}
    scale = float(still.norm().clamp_min(torch.finfo(torch.float64).tiny))
    found = []
    for read in _find_readings(still, group):
        errors = {}
        for row, tensor in moved.items():
            expected = read(still, row, size)
            if expected is None or expected.shape != tensor.shape:
                errors[row] = float("inf")
                continue
            error = float((expected - tensor).norm()) / scale
            errors[row] = float("inf") if isnan(error) else error
        found.append(errors)
    return min(found, key=lambda errors: sum(min(error, 1.0) for error in errors.values()))


def _to_float64(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_complex() else tensor.double()


def _find_readings(output: Tensor, group: FiniteGroup | None) -> list[Reading]:
    """How the output may move under an element, for each way to read its dimensions."""
    if output.ndim < 3 or (output.ndim >= 4 and max(output.shape[2:]) == 1):
        plain: list[Reading] = [_keep]
    elif output.ndim == 3:
        tokens = (
            partial(move, prefix=p) for move in (_move_tokens, _move_last_tokens) for p in range(MOST_PREFIX_TOKENS)
        )
        plain = [_keep, _move_map, *tokens]
    else:
        plain = [_move_map, _move_channels_last]
    return plain if group is None else [*plain, *(partial(_move_fields, read=read, group=group) for read in plain)]


def _keep(output: Tensor, row: ElementParameters, size: Size) -> Tensor:
    return output


def _move_map(output: Tensor, row: ElementParameters, size: Size) -> Tensor:
    return move_image(output, row)


def _move_channels_last(output: Tensor, row: ElementParameters, size: Size) -> Tensor:
    return move_image(output.movedim(-1, 1), row).movedim(1, -1)


def _move_tokens(tokens: Tensor, row: ElementParameters, size: Size, prefix: int) -> Tensor | None:
    """Tokens as a map with the aspect ratio of the image, after `prefix` tokens; None if their number does not fit."""
    count = tokens.shape[1] - prefix
    height = round(sqrt(max(count, 0) * size[0] / size[1]))
    if height < 1 or count < LEAST_TOKENS or count % height:
        return None
    maps = tokens[:, prefix:].mT.unflatten(2, (height, count // height))
    return torch.cat([tokens[:, :prefix], move_image(maps, row).flatten(2).mT], dim=1)


def _move_last_tokens(tokens: Tensor, row: ElementParameters, size: Size, prefix: int) -> Tensor | None:
    moved = _move_tokens(tokens.mT, row, size, prefix)
    return None if moved is None else moved.mT


def _move_fields(
    output: Tensor, row: ElementParameters, size: Size, read: Reading, group: FiniteGroup
) -> Tensor | None:
    """The same with the channels of regular fields transformed as well."""
    moved = read(output, row, size)
    if moved is None or moved.ndim < 2 or row not in group.element_parameters or moved.shape[1] % group.order:
        return None
    table = group.channel_permutation(Element("", 0.0, row))
    return moved.unflatten(1, (-1, group.order))[:, :, table].flatten(1, 2)
